/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The small state of a recorded domain: all but its memory.  In the file a
 * sequence of records { u32 type, u32 payload bytes, payload, zeros to 8 },
 * each type exactly once and in ascending order.
 */
#ifndef SF_STATE_H
#define SF_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

enum sf_record_type {
	SF_RECORD_PLATFORM = 1,		/* the fixed fields, 80 bytes */
	SF_RECORD_CPUID = 2,		/* xen_cpuid_leaf_t, 24 bytes each */
	SF_RECORD_MSRS = 3,		/* xen_msr_entry_t, 16 bytes each */
	SF_RECORD_HVM_CONTEXT = 4,	/* as xc_domain_hvm_getcontext */
	SF_RECORD_HVM_PARAMS = 5,	/* { u64 index, u64 value } each */
	SF_RECORD_KEY = 6,		/* text: what it was made from */
	SF_RECORD_CONFIG = 7		/* text: what a launch needs */
};

#define SF_GUEST_PVH 1u
#define SF_NR_VCPUS_MAX 128u
/* Of each text; they bound the search for names that come twice. */
#define SF_TEXT_BYTES_MAX 65536u
#define SF_TEXT_LINES_MAX 1024u

struct sf_blob {
	const uint8_t *bytes;
	size_t len;
};

/* Blobs point into a buffer that the owner of the struct names: for a decoded
 * state the reader's, for one to encode the caller's. */
struct sf_state {
	uint32_t guest_type;		/* SF_GUEST_PVH */
	uint32_t nr_vcpus;
	uint64_t max_mem_kb;		/* as xc_domain_setmaxmem */
	uint64_t target_mem_kb;		/* xenstore memory/target */
	uint32_t xen_major, xen_minor;
	char xen_extra[16];		/* "-pre", NUL-padded; 15 at most */
	uint32_t tsc_mode;		/* the TSC_INFO record's four fields */
	uint32_t tsc_khz;
	uint64_t tsc_nsec;
	uint32_t tsc_incarnation;
	uint32_t max_grant_frames;	/* as XEN_DOMCTL_createdomain */
	uint64_t launch_gfn;		/* of the launch page; 0: none */
	struct sf_blob cpuid, msrs, hvm_context, hvm_params;
	/* Lines "name=value\n" of printable ASCII (0x20 to 0x7e), names not
	 * empty and unique; the first '=' ends a name. */
	struct sf_blob key, config;
};

/* PLATFORM payload: guest_type u32, nr_vcpus u32, max_mem_kb u64,
 * target_mem_kb u64, xen_major u32, xen_minor u32, xen_extra 16 bytes,
 * tsc_mode u32, tsc_khz u32, tsc_nsec u64, tsc_incarnation u32,
 * max_grant_frames u32, launch_gfn u64. */
#define SF_PLATFORM_BYTES 80u

size_t sf_state_encoded_bytes(const struct sf_state *s);
void sf_state_encode(const struct sf_state *s, uint8_t *out);

/* The blobs point into `untrusted_bytes`, which must outlive *s.  Checks
 * sizes, multiples, text; unknown record types are refused by number. */
int sf_state_decode(const uint8_t *untrusted_bytes, size_t len,
    struct sf_state *s, struct err *e);

/* The value of `name` in a key or config text (as decoded or built), copied
 * NUL-terminated.  ERR_INPUT if it is absent or does not fit. */
int sf_state_text_get(const struct sf_blob *text, const char *name,
    char *value, size_t cap, struct err *e);
/* The same, as an unsigned decimal number. */
int sf_state_text_get_u64(const struct sf_blob *text, const char *name,
    uint64_t *value, struct err *e);

#endif
