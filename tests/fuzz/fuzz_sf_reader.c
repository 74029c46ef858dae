/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: a whole file, signed again so that it gets past the digest, is
 * opened, checked and exported.  The corpus starts from a good file, which the
 * custom mutator puts in for inputs that are none.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_export.h"
#include "savefile/sf_format.h"
#include "savefile/sf_reader.h"
#include "tests/fake/sf_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
    unsigned seed);

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
    unsigned seed)
{
	uint8_t *good;
	size_t len;

	if (size >= SF_HEADER_BYTES)
		return LLVMFuzzerMutate(data, size, max_size);
	good = sf_build_small(seed, NULL, &len);
	if (good != NULL && len <= max_size) {
		memcpy(data, good, len);
		size = len;
	}
	free(good);
	return LLVMFuzzerMutate(data, size, max_size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sf_limits limits = { UINT64_C(1) << 30 };
	struct sf_reader *r;
	struct err e;
	uint8_t *copy;
	int fd, null;

	if (size < SF_HEADER_BYTES)
		return 0;
	copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	sf_build_resign(copy, size, NULL);
	fd = sf_build_memfd(copy, size);
	free(copy);
	if (fd == -1)
		return 0;
	r = sf_reader_open(fd, NULL, &limits, &e);
	if (r != NULL && sf_reader_verify_data(r, &e) == 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		/* Small ones only: a declared zero page costs no input. */
		if (sf_reader_header(r)->nr_pages < 8192 &&
		    sf_export(r, null, true, &e) == -1)
			abort();
		(void)close(null);
	}
	sf_reader_close(r);
	(void)close(fd);
	return 0;
}
