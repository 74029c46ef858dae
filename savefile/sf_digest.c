/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * BLAKE2b over a savefile's header, state and index.  Runs on bytes nobody has
 * looked at yet; trusts only their length, which is at least a header.
 */
#include <sodium.h>
#include <string.h>

#include "savefile/sf_digest.h"

#define DIGESTS_END (SF_OFF_KEYED_DIGEST + SF_DIGEST_BYTES)

static int
compute(const uint8_t *meta, size_t len, const uint8_t *host_key,
    uint8_t *digest, struct err *e)
{
	static const uint8_t zeros[DIGESTS_END - SF_OFF_DIGEST];
	crypto_generichash_state st;

	/* Chooses the fastest code for this CPU; a no-op after the first. */
	if (sodium_init() == -1)
		return err_set(e, ERR_SYS, 0, "libsodium does not start");
	if (crypto_generichash_init(&st, host_key,
	    host_key != NULL ? SF_KEY_BYTES : 0, SF_DIGEST_BYTES) != 0 ||
	    crypto_generichash_update(&st, meta, SF_OFF_DIGEST) != 0 ||
	    crypto_generichash_update(&st, zeros, sizeof(zeros)) != 0 ||
	    crypto_generichash_update(&st, meta + DIGESTS_END,
	    len - DIGESTS_END) != 0 ||
	    crypto_generichash_final(&st, digest, SF_DIGEST_BYTES) != 0)
		return err_set(e, ERR_SYS, 0, "BLAKE2b failed");
	return 0;
}

int
sf_digest_sign(uint8_t *meta, size_t len, const uint8_t *host_key,
    struct err *e)
{
	uint8_t digest[SF_DIGEST_BYTES], keyed[SF_DIGEST_BYTES] = { 0 };

	if (compute(meta, len, NULL, digest, e) == -1)
		return -1;
	if (host_key != NULL && compute(meta, len, host_key, keyed, e) == -1)
		return -1;
	memcpy(meta + SF_OFF_DIGEST, digest, sizeof(digest));
	memcpy(meta + SF_OFF_KEYED_DIGEST, keyed, sizeof(keyed));
	return 0;
}

int
sf_digest_check(const uint8_t *untrusted_meta, size_t len,
    const uint8_t *host_key, struct err *e)
{
	uint8_t digest[SF_DIGEST_BYTES];

	if (compute(untrusted_meta, len, NULL, digest, e) == -1)
		return -1;
	if (sodium_memcmp(digest, untrusted_meta + SF_OFF_DIGEST,
	    sizeof(digest)) != 0)
		return err_set(e, ERR_INPUT, 0, "bytes 0 to %zu are damaged: "
		    "their digest (byte %d) differs", len, SF_OFF_DIGEST);
	if (host_key == NULL)
		return 0;
	if (compute(untrusted_meta, len, host_key, digest, e) == -1)
		return -1;
	if (sodium_memcmp(digest, untrusted_meta + SF_OFF_KEYED_DIGEST,
	    sizeof(digest)) != 0)
		return err_set(e, ERR_AUTH, 0, "not signed with this key: the "
		    "keyed digest (byte %d) differs", SF_OFF_KEYED_DIGEST);
	return 0;
}
