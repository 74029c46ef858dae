/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the state decoder.  There is one encoding: what it accepts
 * encodes to the same bytes.  The custom mutator starts from a good state.
 */
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_state.h"
#include "tests/fake/sf_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
    unsigned seed);

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
    unsigned seed)
{
	struct sf_state_room room;
	struct sf_state s;

	if (size < 88) {
		sf_build_state(seed, 1, 20, &room, &s);
		s.cpuid.len = 24;
		if (sf_state_encoded_bytes(&s) <= max_size) {
			size = sf_state_encoded_bytes(&s);
			sf_state_encode(&s, data);
		}
	}
	return LLVMFuzzerMutate(data, size, max_size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sf_state s;
	uint64_t number;
	uint8_t *again;
	char value[64];
	struct err e;

	if (sf_state_decode(data, size, &s, &e) == -1) {
		if (e.code != ERR_INPUT || e.msg[0] == '\0')
			abort();
		return 0;
	}
	(void)sf_state_text_get(&s.key, "name", value, sizeof(value), &e);
	(void)sf_state_text_get_u64(&s.config, "n", &number, &e);
	if (sf_state_encoded_bytes(&s) != size)
		abort();
	again = malloc(size);
	if (again == NULL)
		return 0;
	sf_state_encode(&s, again);
	if (memcmp(again, data, size) != 0)
		abort();
	free(again);
	return 0;
}
