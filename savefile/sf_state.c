/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state records.  Decodes bytes whose digest is right but whose maker may
 * still be anybody: checks every size before use.
 */
#include <inttypes.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_state.h"

#define RECORD_HEADER_BYTES 8u
#define NR_RECORDS ((unsigned)SF_RECORD_CONFIG)

/* Where PLATFORM's fields are in its payload. */
enum platform_offset {
	PLAT_GUEST_TYPE = 0,
	PLAT_NR_VCPUS = 4,
	PLAT_MAX_MEM_KB = 8,
	PLAT_TARGET_MEM_KB = 16,
	PLAT_XEN_MAJOR = 24,
	PLAT_XEN_MINOR = 28,
	PLAT_XEN_EXTRA = 32,
	PLAT_TSC_MODE = 48,
	PLAT_TSC_KHZ = 52,
	PLAT_TSC_NSEC = 56,
	PLAT_TSC_INCARNATION = 64,
	PLAT_MAX_GRANT_FRAMES = 68,
	PLAT_LAUNCH_GFN = 72
};

/* What each record must look like; by type, of which 0 is none. */
static const struct record_rule {
	const char *name;
	uint32_t multiple;	/* of the payload's size */
} record_rules[NR_RECORDS + 1] = {
	[SF_RECORD_PLATFORM] = { "PLATFORM", SF_PLATFORM_BYTES },
	[SF_RECORD_CPUID] = { "CPUID", 24 },
	[SF_RECORD_MSRS] = { "MSRS", 16 },
	[SF_RECORD_HVM_CONTEXT] = { "HVM_CONTEXT", 1 },
	[SF_RECORD_HVM_PARAMS] = { "HVM_PARAMS", 16 },
	[SF_RECORD_KEY] = { "KEY", 1 },
	[SF_RECORD_CONFIG] = { "CONFIG", 1 },
};

static size_t
record_bytes(size_t payload_bytes)
{
	return RECORD_HEADER_BYTES + (size_t)sf_round_up(payload_bytes, 8);
}

size_t
sf_state_encoded_bytes(const struct sf_state *s)
{
	return record_bytes(SF_PLATFORM_BYTES) + record_bytes(s->cpuid.len) +
	    record_bytes(s->msrs.len) + record_bytes(s->hvm_context.len) +
	    record_bytes(s->hvm_params.len) + record_bytes(s->key.len) +
	    record_bytes(s->config.len);
}

static uint8_t *
put_record(uint8_t *out, enum sf_record_type type, const struct sf_blob *b)
{
	size_t len = record_bytes(b->len);

	memset(out, 0, len);
	sf_put_u32(out, type);
	sf_put_u32(out + 4, (uint32_t)b->len);
	if (b->len > 0)
		memcpy(out + RECORD_HEADER_BYTES, b->bytes, b->len);
	return out + len;
}

static void
encode_platform(const struct sf_state *s, uint8_t *p)
{
	memset(p, 0, SF_PLATFORM_BYTES);
	sf_put_u32(p + PLAT_GUEST_TYPE, s->guest_type);
	sf_put_u32(p + PLAT_NR_VCPUS, s->nr_vcpus);
	sf_put_u64(p + PLAT_MAX_MEM_KB, s->max_mem_kb);
	sf_put_u64(p + PLAT_TARGET_MEM_KB, s->target_mem_kb);
	sf_put_u32(p + PLAT_XEN_MAJOR, s->xen_major);
	sf_put_u32(p + PLAT_XEN_MINOR, s->xen_minor);
	memcpy(p + PLAT_XEN_EXTRA, s->xen_extra,
	    strnlen(s->xen_extra, sizeof(s->xen_extra)));
	sf_put_u32(p + PLAT_TSC_MODE, s->tsc_mode);
	sf_put_u32(p + PLAT_TSC_KHZ, s->tsc_khz);
	sf_put_u64(p + PLAT_TSC_NSEC, s->tsc_nsec);
	sf_put_u32(p + PLAT_TSC_INCARNATION, s->tsc_incarnation);
	sf_put_u32(p + PLAT_MAX_GRANT_FRAMES, s->max_grant_frames);
	sf_put_u64(p + PLAT_LAUNCH_GFN, s->launch_gfn);
}

void
sf_state_encode(const struct sf_state *s, uint8_t *out)
{
	uint8_t platform[SF_PLATFORM_BYTES];
	struct sf_blob b = { platform, sizeof(platform) };

	encode_platform(s, platform);
	out = put_record(out, SF_RECORD_PLATFORM, &b);
	out = put_record(out, SF_RECORD_CPUID, &s->cpuid);
	out = put_record(out, SF_RECORD_MSRS, &s->msrs);
	out = put_record(out, SF_RECORD_HVM_CONTEXT, &s->hvm_context);
	out = put_record(out, SF_RECORD_HVM_PARAMS, &s->hvm_params);
	out = put_record(out, SF_RECORD_KEY, &s->key);
	(void)put_record(out, SF_RECORD_CONFIG, &s->config);
}

/* Finds the line of `name` in text, whose lines up to there are well-formed;
 * NULL if there is none.  Sets *value_len. */
static const uint8_t *
find_value(const uint8_t *text, size_t len, const uint8_t *name,
    size_t name_len, size_t *value_len)
{
	const uint8_t *end, *eol;

	if (len == 0)
		return NULL;
	for (end = text + len; text < end; text = eol + 1) {
		eol = memchr(text, '\n', (size_t)(end - text));
		if (eol == NULL)
			return NULL;
		if ((size_t)(eol - text) > name_len &&
		    text[name_len] == '=' &&
		    memcmp(text, name, name_len) == 0) {
			*value_len = (size_t)(eol - text) - name_len - 1;
			return text + name_len + 1;
		}
	}
	return NULL;
}

/* Is this one line (its newline not counted) a new, well-formed one?  The
 * reason if not. */
static const char *
check_line(const uint8_t *text, size_t line, size_t line_len)
{
	const uint8_t *p = text + line;
	const uint8_t *equals = memchr(p, '=', line_len);
	size_t i, ignored;

	for (i = 0; i < line_len; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return "has a byte that is not printable ASCII";
	if (equals == NULL)
		return "has no '='";
	if (equals == p)
		return "has no name";
	if (find_value(text, line, p, (size_t)(equals - p), &ignored) != NULL)
		return "has a name that came before";
	return NULL;
}

static int
check_text(const struct sf_blob *text, const char *record, struct err *e)
{
	const uint8_t *eol;
	const char *reason;
	size_t at = 0, line_len;
	unsigned line;

	if (text->len > SF_TEXT_BYTES_MAX)
		return err_set(e, ERR_INPUT, 0, "record %s has %zu bytes of "
		    "text, more than %u", record, text->len,
		    SF_TEXT_BYTES_MAX);
	for (line = 1; at < text->len; line++) {
		if (line > SF_TEXT_LINES_MAX)
			return err_set(e, ERR_INPUT, 0, "record %s has more "
			    "than %u lines", record, SF_TEXT_LINES_MAX);
		eol = memchr(text->bytes + at, '\n', text->len - at);
		if (eol == NULL)
			return err_set(e, ERR_INPUT, 0, "record %s, line %u "
			    "has no end", record, line);
		line_len = (size_t)(eol - text->bytes) - at;
		reason = check_line(text->bytes, at, line_len);
		if (reason != NULL)
			return err_set(e, ERR_INPUT, 0,
			    "record %s, line %u %s", record, line, reason);
		at += line_len + 1;
	}
	return 0;
}

static int
decode_platform(const uint8_t *p, struct sf_state *s, struct err *e)
{
	size_t used, i;

	s->guest_type = sf_get_u32(p + PLAT_GUEST_TYPE);
	s->nr_vcpus = sf_get_u32(p + PLAT_NR_VCPUS);
	s->max_mem_kb = sf_get_u64(p + PLAT_MAX_MEM_KB);
	s->target_mem_kb = sf_get_u64(p + PLAT_TARGET_MEM_KB);
	s->xen_major = sf_get_u32(p + PLAT_XEN_MAJOR);
	s->xen_minor = sf_get_u32(p + PLAT_XEN_MINOR);
	memcpy(s->xen_extra, p + PLAT_XEN_EXTRA, sizeof(s->xen_extra));
	s->tsc_mode = sf_get_u32(p + PLAT_TSC_MODE);
	s->tsc_khz = sf_get_u32(p + PLAT_TSC_KHZ);
	s->tsc_nsec = sf_get_u64(p + PLAT_TSC_NSEC);
	s->tsc_incarnation = sf_get_u32(p + PLAT_TSC_INCARNATION);
	s->max_grant_frames = sf_get_u32(p + PLAT_MAX_GRANT_FRAMES);
	s->launch_gfn = sf_get_u64(p + PLAT_LAUNCH_GFN);
	if (s->guest_type != SF_GUEST_PVH)
		return err_set(e, ERR_INPUT, 0, "record PLATFORM: guest type "
		    "%" PRIu32 " is unknown, only PVH (%u) is known",
		    s->guest_type, SF_GUEST_PVH);
	if (s->nr_vcpus == 0 || s->nr_vcpus > SF_NR_VCPUS_MAX)
		return err_set(e, ERR_INPUT, 0, "record PLATFORM: %" PRIu32
		    " vCPUs, not from 1 to %u", s->nr_vcpus, SF_NR_VCPUS_MAX);
	used = strnlen(s->xen_extra, sizeof(s->xen_extra));
	for (i = 0; i < used; i++)
		if (s->xen_extra[i] < 0x20 || s->xen_extra[i] > 0x7e)
			return err_set(e, ERR_INPUT, 0, "record PLATFORM: "
			    "xen_extra is not printable ASCII");
	if (used == sizeof(s->xen_extra) ||
	    sf_first_nonzero(p, PLAT_XEN_EXTRA + used, PLAT_TSC_MODE) <
	    PLAT_TSC_MODE)
		return err_set(e, ERR_INPUT, 0, "record PLATFORM: xen_extra "
		    "is not padded with zeros");
	return 0;
}

static int
accept_record(uint32_t type, const struct sf_blob *payload,
    struct sf_state *s, struct err *e)
{
	switch ((enum sf_record_type)type) {
	case SF_RECORD_PLATFORM:
		return decode_platform(payload->bytes, s, e);
	case SF_RECORD_CPUID:
		s->cpuid = *payload;
		return 0;
	case SF_RECORD_MSRS:
		s->msrs = *payload;
		return 0;
	case SF_RECORD_HVM_CONTEXT:
		s->hvm_context = *payload;
		return 0;
	case SF_RECORD_HVM_PARAMS:
		s->hvm_params = *payload;
		return 0;
	case SF_RECORD_KEY:
		s->key = *payload;
		return check_text(payload, "KEY", e);
	case SF_RECORD_CONFIG:
		s->config = *payload;
		return check_text(payload, "CONFIG", e);
	}
	return err_set(e, ERR_INPUT, 0, "record type %" PRIu32, type);
}

/* One record at `at`, which must be of type `want`; returns its end, 0 on
 * failure. */
static size_t
decode_record(const uint8_t *p, size_t len, size_t at, uint32_t want,
    struct sf_state *s, struct err *e)
{
	const struct record_rule *rule = &record_rules[want];
	struct sf_blob payload;
	uint32_t type, bytes;
	size_t end;

	if (len - at < RECORD_HEADER_BYTES) {
		(void)err_set(e, ERR_INPUT, 0, "the state (%zu bytes) ends "
		    "before record %s", len, rule->name);
		return 0;
	}
	type = sf_get_u32(p + at);
	bytes = sf_get_u32(p + at + 4);
	if (type != want) {
		(void)err_set(e, ERR_INPUT, 0, "state byte %zu: record type "
		    "%" PRIu32 " is %s, expected %s (%" PRIu32 ")", at, type,
		    type == 0 || type > NR_RECORDS ? "unknown" :
		    "out of order", rule->name, want);
		return 0;
	}
	payload.bytes = p + at + RECORD_HEADER_BYTES;
	payload.len = bytes;
	if (bytes > len - at - RECORD_HEADER_BYTES ||
	    record_bytes(bytes) > len - at) {
		(void)err_set(e, ERR_INPUT, 0, "state byte %zu: record %s of "
		    "%" PRIu32 " bytes ends after the state", at, rule->name,
		    bytes);
		return 0;
	}
	if (bytes % rule->multiple != 0 ||
	    (want == SF_RECORD_PLATFORM && bytes != SF_PLATFORM_BYTES)) {
		(void)err_set(e, ERR_INPUT, 0, "state byte %zu: record %s has "
		    "%" PRIu32 " bytes, not %s %" PRIu32, at, rule->name,
		    bytes, want == SF_RECORD_PLATFORM ? "exactly" :
		    "a multiple of", rule->multiple);
		return 0;
	}
	end = at + record_bytes(bytes);
	if (sf_first_nonzero(p, at + RECORD_HEADER_BYTES + bytes, end) < end) {
		(void)err_set(e, ERR_INPUT, 0, "state byte %zu: record %s is "
		    "not padded with zeros", at, rule->name);
		return 0;
	}
	return accept_record(type, &payload, s, e) == 0 ? end : 0;
}

int
sf_state_decode(const uint8_t *untrusted_bytes, size_t len,
    struct sf_state *s, struct err *e)
{
	uint32_t type;
	size_t at = 0;

	memset(s, 0, sizeof(*s));
	for (type = SF_RECORD_PLATFORM; type <= NR_RECORDS; type++) {
		at = decode_record(untrusted_bytes, len, at, type, s, e);
		if (at == 0)
			return -1;
	}
	if (at != len)
		return err_set(e, ERR_INPUT, 0, "state byte %zu: bytes after "
		    "the last record", at);
	return 0;
}

int
sf_state_text_get(const struct sf_blob *text, const char *name, char *value,
    size_t cap, struct err *e)
{
	const uint8_t *found;
	size_t len = 0;

	found = find_value(text->bytes, text->len, (const uint8_t *)name,
	    strlen(name), &len);
	if (found == NULL)
		return err_set(e, ERR_INPUT, 0, "there is no line \"%s=\"",
		    name);
	if (len >= cap)
		return err_set(e, ERR_INPUT, 0, "the value of \"%s\" has %zu "
		    "bytes, more than %zu", name, len, cap - 1);
	memcpy(value, found, len);
	value[len] = '\0';
	return 0;
}

int
sf_state_text_get_u64(const struct sf_blob *text, const char *name,
    uint64_t *value, struct err *e)
{
	char digits[24];
	uint64_t v = 0;
	const char *p;

	if (sf_state_text_get(text, name, digits, sizeof(digits), e) == -1)
		return -1;
	for (p = digits; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return err_set(e, ERR_INPUT, 0,
			    "the value of \"%s\" is too large", name);
	if (p == digits || *p != '\0')
		return err_set(e, ERR_INPUT, 0,
		    "the value of \"%s\" is not a decimal number", name);
	*value = v;
	return 0;
}
