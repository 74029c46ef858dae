/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes a corpus of savefiles into a directory, good ones of every shape and
 * changed ones that are signed again, so that the rules behind the digest
 * decide, together with what this reader says of each:
 *
 *	verdicts: NAME<TAB>ok|input|auth<TAB>message
 *
 * sf_agree.py then asks the independent verifier.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_io.h"
#include "savefile/sf_reader.h"
#include "tests/fake/sf_build.h"

struct corpus {
	const char *dir;
	FILE *verdicts;
	unsigned nr;
};

/* Writes one file and what the reader says with the key. */
static bool
add(struct corpus *c, const char *kind, const uint8_t *file, size_t len)
{
	static const struct sf_limits limits = { UINT64_C(1) << 40 };
	char path[4096];
	struct sf_reader *r;
	struct err e = { .code = ERR_NONE, .msg = "" };
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s-%03u", c->dir, kind, c->nr);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || sf_io_write_at(fd, file, len, 0, &e) == -1) {
		(void)fprintf(stderr, "sf_corpus: %s: %s\n", path,
		    strerror(errno));
		return false;
	}
	r = sf_reader_open(fd, sf_build_key, &limits, &e);
	if (r != NULL)
		(void)sf_reader_verify_data(r, &e);
	sf_reader_close(r);
	(void)close(fd);
	(void)fprintf(c->verdicts, "%s-%03u\t%s\t%s\n", kind, c->nr++,
	    e.code == ERR_NONE ? "ok" : e.code == ERR_AUTH ? "auth" : "input",
	    e.msg);
	return true;
}

static bool
add_shape(struct corpus *c, const char *shape, enum sf_codec codec,
    const uint8_t *key)
{
	struct sf_state_room room;
	struct sf_state s;
	struct sf_guest g;
	uint8_t *file = NULL;
	bool good = false;
	size_t len = 0;
	struct err e;
	int fd = -1;

	sf_build_state(c->nr, 1 + c->nr % 4, 500 + c->nr, &room, &s);
	if (sf_guest_make(shape, c->nr, &g))
		fd = sf_build_file(&g, &s, codec, key, &e);
	if (fd != -1)
		file = sf_build_slurp(fd, &len);
	if (file != NULL)
		good = add(c, "good", file, len);
	free(file);
	if (fd != -1)
		(void)close(fd);
	sf_guest_free(&g);
	return good;
}

/* Changes a small number of `size` bytes a little or a lot. */
static void
change_number(struct sf_rng *rng, uint8_t *p, size_t size)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0xff };
	size_t i;

	switch (sf_rng_below(rng, 4)) {
	case 0:
		p[0] = (uint8_t)(p[0] + 1);
		break;
	case 1:
		p[0] = (uint8_t)(p[0] - 1);
		break;
	case 2:
		p[sf_rng_below(rng, size)] ^=
		    (uint8_t)(1u << sf_rng_below(rng, 8));
		break;
	default:
		i = sf_rng_below(rng, sizeof(edges));
		memset(p, edges[i], size);
		break;
	}
}

/* One aimed change: a header field, a byte of the state, a field of a table,
 * or of the data, whose hash is then made right.  `good` says where these
 * are. */
static void
change(struct sf_rng *rng, const uint8_t *good, uint8_t *file)
{
	uint32_t state = sf_get_u32(good + SF_OFF_STATE_BYTES), stored;
	uint64_t data_off = sf_get_u64(good + SF_OFF_DATA_OFF), off;
	uint32_t nr_chunks = sf_get_u32(good + SF_OFF_NR_CHUNKS);
	size_t tables = SF_HEADER_BYTES + state;
	size_t index = tables + sf_get_u32(good + SF_OFF_NR_EXTENTS) * 16u +
	    sf_get_u32(good + SF_OFF_NR_BITMAPS) * 64u;
	size_t end = index + nr_chunks * 32u, at;

	switch (sf_rng_below(rng, 6)) {
	case 0:
		at = 4 * sf_rng_below(rng, 20);
		change_number(rng, file + at, 4);
		break;
	case 1:
		at = SF_HEADER_BYTES + 4 * sf_rng_below(rng, state / 4);
		change_number(rng, file + at, 4);
		break;
	case 2:
		at = tables + 4 * sf_rng_below(rng, (index - tables) / 4);
		change_number(rng, file + at, 4);
		break;
	case 3:
		at = index + 2 * sf_rng_below(rng, (end - index) / 2);
		change_number(rng, file + at, 2);
		break;
	case 4:
		at = end + sf_rng_below(rng, data_off - end);
		file[at] ^= (uint8_t)(sf_rng_below(rng, 4) == 0 ? 1 : 0);
		break;
	default:
		at = index + 32 * sf_rng_below(rng, nr_chunks);
		off = sf_get_u64(good + at);
		stored = sf_get_u32(good + at + 20);
		change_number(rng, file + off + sf_rng_below(rng,
		    stored < 40 ? stored : 40), 1);
		sf_put_u64(file + at + 8, XXH3_64bits(file + off, stored));
		break;
	}
}

static bool
add_changed(struct corpus *c, unsigned nr, uint64_t seed)
{
	struct sf_rng rng = { seed };
	uint8_t *good, *file;
	bool done = false;
	size_t len;

	good = sf_build_small(seed, sf_build_key, &len);
	file = good == NULL ? NULL : malloc(len);
	for (; file != NULL && nr > 0; nr--) {
		memcpy(file, good, len);
		change(&rng, good, file);
		if (sf_rng_below(&rng, 8) == 0)
			change(&rng, good, file);
		sf_build_resign(file, len,
		    sf_rng_below(&rng, 50) == 0 ? NULL : sf_build_key);
		if (!add(c, "changed", file, len))
			break;
		done = nr == 1;
	}
	free(file);
	free(good);
	return done;
}

int
main(int argc, char **argv)
{
	struct corpus c = { .dir = argv[1] };
	const char *const *shape;
	char path[4096];
	bool good = true;
	int fd;
	struct err e;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: sf_corpus DIR COUNT SEED\n");
		return 2;
	}
	(void)snprintf(path, sizeof(path), "%s/key", c.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || sf_io_write(fd, sf_build_key, SF_KEY_BYTES, &e) == -1)
		return 2;
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/verdicts", c.dir);
	c.verdicts = fopen(path, "w");
	if (c.verdicts == NULL)
		return 2;
	for (shape = sf_guest_shapes; *shape != NULL; shape++)
		good = good && add_shape(&c, *shape, SF_CODEC_RAW,
		    sf_build_key) && add_shape(&c, *shape, SF_CODEC_LZ4,
		    sf_build_key);
	good = good && add_shape(&c, "small", SF_CODEC_LZ4, NULL) &&
	    add_changed(&c, (unsigned)strtoul(argv[2], NULL, 10),
	    strtoull(argv[3], NULL, 10));
	return fclose(c.verdicts) == 0 && good ? 0 : 1;
}
