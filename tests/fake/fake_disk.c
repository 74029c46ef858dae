/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk seam in plain memory.  Test code only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/fake_disk.h"

#define MAX_DEVICES 2048
#define FAKE_MAJOR 254
#define FAKE_SECTORS 2048

struct device {
	struct disk_dev dev;	/* name "": free */
	uint32_t base_minor;	/* of a cow */
	bool is_cow, is_base, is_open;
};

_Static_assert(sizeof(struct device) * MAX_DEVICES <= FAKE_HEAP_DISK_BYTES,
    "they fit");

struct fake {
	struct disk disk;
	struct fake_fault *fault;
	struct fake_heap *heap;
	struct device *devices;		/* in the heap, by minor */
};

static struct fake *
of(struct disk *d)
{
	return (struct fake *)d;
}

static int
fault(struct fake *f, const char *doing, struct err *e)
{
	if (fake_fault_hit(f->fault))
		return err_set(e, ERR_DISK, 0, "fault: %s", doing);
	return 0;
}

/* The functions from here to the operations want the lock held. */
static struct device *
find(const struct fake *f, const char *name)
{
	size_t i;

	for (i = 0; i < MAX_DEVICES; i++) {
		if (name[0] != '\0' &&
		    strcmp(f->devices[i].dev.name, name) == 0)
			return &f->devices[i];
	}
	return NULL;
}

/* A new device of that name; NULL and *e if there is one already. */
static struct device *
add(struct fake *f, const char *name, struct err *e)
{
	struct device *new;
	uint32_t i;

	if (find(f, name) != NULL) {
		(void)err_set(e, ERR_BUSY, EEXIST, "cannot make %s", name);
		return NULL;
	}
	if (strncmp(name, DISK_PREFIX, strlen(DISK_PREFIX)) != 0 ||
	    strlen(name) >= DISK_NAME_MAX) {
		(void)err_set(e, ERR_DISK, 0, "%s is not a name for a disk of "
		    "ours", name);
		return NULL;
	}
	for (i = 0; i < MAX_DEVICES; i++) {
		new = &f->devices[i];
		if (new->dev.name[0] != '\0')
			continue;
		fake_heap_note(f->heap, new, sizeof(*new));
		*new = (struct device){ 0 };
		(void)snprintf(new->dev.name, sizeof(new->dev.name), "%s",
		    name);
		new->dev.major = FAKE_MAJOR;
		new->dev.minor = i;
		new->dev.sectors = FAKE_SECTORS;
		return new;
	}
	(void)err_set(e, ERR_DISK, 0, "too many devices");
	return NULL;
}

/* Adds it and fills *dev. */
static int
make(struct fake *f, const char *name, const struct device *as,
    struct disk_dev *dev, struct err *e)
{
	struct device *new;

	fake_heap_lock(f->heap);
	new = add(f, name, e);
	if (new != NULL) {
		new->base_minor = as->base_minor;
		new->is_cow = as->is_cow;
		new->is_base = as->is_base;
		*dev = new->dev;
	}
	fake_heap_unlock(f->heap);
	return new != NULL ? 0 : -1;
}

static void
fake_close(struct disk *d)
{
	fake_heap_close(of(d)->heap);
	free(of(d));
}

static int
fake_make_delta(struct disk *d, const char *name, const char *origin_path,
    const char *delta_path, uint64_t delta_bytes, struct disk_dev *dev,
    struct err *e)
{
	const struct device plain = { .is_cow = false };
	struct fake *f = of(d);

	(void)origin_path;
	(void)delta_path;
	dev->name[0] = '\0';
	if (fault(f, "make_delta", e) != 0)
		return -1;
	if (delta_bytes == 0 || delta_bytes % 512 != 0)
		return err_set(e, ERR_DISK, 0, "no whole sectors");
	return make(f, name, &plain, dev, e);
}

static int
fake_open_base(struct disk *d, const char *name, const char *origin_path,
    const char *delta_path, struct disk_dev *dev, struct err *e)
{
	const struct device base = { .is_base = true };
	struct fake *f = of(d);

	(void)origin_path;
	(void)delta_path;
	dev->name[0] = '\0';
	if (fault(f, "open_base", e) != 0)
		return -1;
	return make(f, name, &base, dev, e);
}

static int
fake_make_cow(struct disk *d, const char *name, const struct disk_dev *base,
    uint64_t store_bytes, struct disk_dev *dev, struct err *e)
{
	struct device cow = { .is_cow = true, .base_minor = base->minor };
	struct fake *f = of(d);
	const struct device *below;
	int rc = -1;

	dev->name[0] = '\0';
	if (fault(f, "make_cow", e) != 0)
		return -1;
	if (store_bytes == 0 || store_bytes % 512 != 0)
		return err_set(e, ERR_DISK, 0, "no whole sectors");
	fake_heap_lock(f->heap);
	below = find(f, base->name);
	if (below == NULL || !below->is_base ||
	    below->dev.minor != base->minor)
		(void)err_set(e, ERR_DISK, ENODEV, "%s stands on nothing",
		    name);
	else
		rc = make(f, name, &cow, dev, e);
	fake_heap_unlock(f->heap);
	return rc;
}

static int
fake_make_cow_of(struct disk *d, const char *name, const char *origin_path,
    uint64_t store_bytes, struct disk_dev *dev, struct err *e)
{
	const struct device plain = { .is_cow = false };
	struct fake *f = of(d);

	(void)origin_path;
	dev->name[0] = '\0';
	if (fault(f, "make_cow_of", e) != 0)
		return -1;
	if (store_bytes == 0 || store_bytes % 512 != 0)
		return err_set(e, ERR_DISK, 0, "no whole sectors");
	return make(f, name, &plain, dev, e);
}

static bool
is_used(const struct fake *f, const struct device *dev)
{
	size_t i;

	for (i = 0; i < MAX_DEVICES; i++) {
		if (f->devices[i].dev.name[0] != '\0' &&
		    f->devices[i].is_cow &&
		    f->devices[i].base_minor == dev->dev.minor)
			return true;
	}
	return dev->is_open;
}

static int
fake_remove(struct disk *d, struct disk_dev *dev, struct err *e)
{
	struct fake *f = of(d);
	struct device *gone;
	bool busy;

	if (dev->name[0] == '\0')
		return 0;
	if (fault(f, "remove", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	gone = find(f, dev->name);
	busy = gone != NULL && is_used(f, gone);
	if (gone != NULL && !busy) {
		fake_heap_note(f->heap, gone, sizeof(*gone));
		*gone = (struct device){ 0 };
	}
	fake_heap_unlock(f->heap);
	if (busy) {
		return err_set(e, ERR_BUSY, EBUSY, "cannot remove %s",
		    dev->name);
	}
	*dev = (struct disk_dev){ 0 };
	return 0;
}

static int
fake_list(struct disk *d, const char *prefix, char *names, size_t cap,
    struct err *e)
{
	struct fake *f = of(d);
	const char *name;
	size_t i, len, used = 0;
	int nr = 0;

	if (fault(f, "list", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	for (i = 0; i < MAX_DEVICES; i++) {
		name = f->devices[i].dev.name;
		if (name[0] == '\0' ||
		    strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		len = strlen(name) + 1;
		if (len > cap - used) {
			nr = err_set(e, ERR_DISK, 0, "names do not fit");
			break;
		}
		memcpy(names + used, name, len);
		used += len;
		nr++;
	}
	fake_heap_unlock(f->heap);
	return nr;
}

static const struct disk_ops fake_ops = {
	.close = fake_close,
	.make_delta = fake_make_delta,
	.open_base = fake_open_base,
	.make_cow = fake_make_cow,
	.make_cow_of = fake_make_cow_of,
	.remove = fake_remove,
	.list = fake_list,
};

struct disk *
fake_disk_attach(struct fake_fault *f_fault, struct fake_heap *heap)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->disk.ops = &fake_ops;
	f->fault = f_fault;
	f->heap = fake_heap_again(heap);
	f->devices = fake_heap_part(heap, FAKE_HEAP_DISK);
	return &f->disk;
}

struct disk *
fake_disk_open(struct fake_fault *f_fault)
{
	struct fake_heap *heap = fake_heap_private();
	struct disk *d = fake_disk_attach(f_fault, heap);

	fake_heap_close(heap);
	return d;
}

size_t
fake_disk_held(const struct disk *d)
{
	const struct fake *f = (const struct fake *)d;
	size_t i, nr = 0;

	fake_heap_lock(f->heap);
	for (i = 0; i < MAX_DEVICES; i++)
		nr += f->devices[i].dev.name[0] != '\0';
	fake_heap_unlock(f->heap);
	return nr;
}

void
fake_disk_set_open(struct disk *d, const char *name, bool is_open)
{
	struct fake *f = of(d);
	struct device *dev;

	fake_heap_lock(f->heap);
	dev = find(f, name);
	if (dev != NULL)
		FAKE_SET(f->heap, dev->is_open, is_open);
	fake_heap_unlock(f->heap);
}
