/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fakes' memory, its lock, and the notes by which a dead holder's changes
 * are undone.  Test code only.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "tests/fake/fake_heap.h"

#define MAGIC UINT64_C(0x64766d66616b6531)
#define NOTES_MAX 16384u

/* Some bytes as they were. */
struct note {
	uint64_t at;		/* from the image's start */
	uint32_t len;
	uint8_t bytes[52];
};

struct image {
	uint64_t magic;		/* last, when all else is made */
	struct fake_heap_config config;
	pthread_mutex_t lock;
	unsigned depth;		/* how often the holder has it */
	_Atomic uint32_t nr_notes;
	struct note notes[NOTES_MAX];
	_Alignas(4096) uint8_t hv[FAKE_HEAP_HV_BYTES];
	_Alignas(4096) uint8_t store[FAKE_HEAP_STORE_BYTES];
	_Alignas(4096) uint8_t disk[FAKE_HEAP_DISK_BYTES];
};

struct fake_heap {
	struct image *image;
	unsigned nr_users;
	bool is_shared;
};

static void
init_image(struct image *image, const struct fake_heap_config *config)
{
	pthread_mutexattr_t attr;

	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	(void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(&image->lock, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	image->config = *config;
	image->magic = MAGIC;
}

static struct fake_heap *
new_heap(struct image *image, bool is_shared)
{
	struct fake_heap *h = calloc(1, sizeof(*h));

	if (h == NULL)
		abort();
	*h = (struct fake_heap){ .image = image, .nr_users = 1,
	    .is_shared = is_shared };
	return h;
}

static struct image *
map(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE :
	    MAP_SHARED;
	void *image = mmap(NULL, sizeof(struct image), PROT_READ | PROT_WRITE,
	    flags, fd, 0);

	return image != MAP_FAILED ? image : NULL;
}

struct fake_heap *
fake_heap_private(void)
{
	const struct fake_heap_config config = { .host_pages = 0 };
	struct image *image = map(-1);

	if (image == NULL)
		abort();
	init_image(image, &config);
	return new_heap(image, false);
}

int
fake_heap_make(const char *path, const struct fake_heap_config *config,
    struct err *e)
{
	AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct image *image;

	if (fd < 0 || ftruncate(fd, (off_t)sizeof(*image)) != 0)
		return err_set(e, ERR_SYS, errno, "%s", path);
	image = map(fd);
	if (image == NULL)
		return err_set(e, ERR_SYS, errno, "cannot map %s", path);
	init_image(image, config);
	(void)munmap(image, sizeof(*image));
	return 0;
}

struct fake_heap *
fake_heap_open(const char *path, struct err *e)
{
	AUTO_FD fd = open(path, O_RDWR | O_CLOEXEC);
	struct image *image = NULL;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 &&
	    st.st_size == (off_t)sizeof(*image))
		image = map(fd);
	if (image != NULL && image->magic == MAGIC)
		return new_heap(image, true);
	(void)err_set(e, ERR_SYS, errno, "%s is no fake host's state", path);
	if (image != NULL)
		(void)munmap(image, sizeof(*image));
	return NULL;
}

struct fake_heap *
fake_heap_again(struct fake_heap *h)
{
	h->nr_users++;
	return h;
}

void
fake_heap_close(struct fake_heap *h)
{
	if (--h->nr_users > 0)
		return;
	(void)munmap(h->image, sizeof(*h->image));
	free(h);
}

bool
fake_heap_is_shared(const struct fake_heap *h)
{
	return h->is_shared;
}

const struct fake_heap_config *
fake_heap_config(const struct fake_heap *h)
{
	return &h->image->config;
}

void *
fake_heap_part(struct fake_heap *h, enum fake_heap_part part)
{
	switch (part) {
	case FAKE_HEAP_HV:
		return h->image->hv;
	case FAKE_HEAP_STORE:
		return h->image->store;
	case FAKE_HEAP_DISK:
		return h->image->disk;
	}
	abort();
}

/* Newest first, so that of two notes of one place the older one counts. */
static void
undo(struct image *image)
{
	uint32_t i = atomic_load(&image->nr_notes);

	while (i-- > 0) {
		const struct note *n = &image->notes[i];

		memcpy((uint8_t *)image + n->at, n->bytes, n->len);
	}
}

void
fake_heap_lock(struct fake_heap *h)
{
	struct image *image = h->image;
	int rc = pthread_mutex_lock(&image->lock);

	if (rc == EOWNERDEAD) {
		/* If this one dies too, the next undoes the same again. */
		undo(image);
		image->depth = 0;
		atomic_store(&image->nr_notes, 0);
		rc = pthread_mutex_consistent(&image->lock);
	}
	if (rc != 0)
		abort();
	image->depth++;
}

void
fake_heap_unlock(struct fake_heap *h)
{
	struct image *image = h->image;

	if (--image->depth == 0)
		atomic_store(&image->nr_notes, 0);
	(void)pthread_mutex_unlock(&image->lock);
}

void
fake_heap_note(struct fake_heap *h, const void *at, size_t len)
{
	struct image *image = h->image;
	const uint8_t *from = at;

	while (len > 0) {
		uint32_t i = atomic_load(&image->nr_notes);
		struct note *n = &image->notes[i];
		size_t part = len < sizeof(n->bytes) ? len : sizeof(n->bytes);

		if (i == NOTES_MAX)
			abort();
		n->at = (uint64_t)(from - (const uint8_t *)image);
		n->len = (uint32_t)part;
		memcpy(n->bytes, from, part);
		atomic_store(&image->nr_notes, i + 1);
		from += part;
		len -= part;
	}
}
