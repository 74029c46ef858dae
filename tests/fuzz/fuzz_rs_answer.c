/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: what a guest writes to acknowledge its identity.  The first byte
 * says how it behaves, the next how long its first word is; then that word,
 * and what it changes it to before it is read.  Only the launch id, and
 * nothing beside it, may be taken; its words may come out only as text.
 */
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "restore/launch/ack.h"

#define SLICES_MASK 0x03u	/* waits that end before it answers */
#define ENDS 0x04u		/* it ends instead */
#define SAYS_WHY 0x08u		/* the words are its reason to give up */
#define CHANGES 0x10u		/* the second word replaces the first */
#define GONE 0x20u		/* or the node is gone again */
#define IS_RIGHT 0x40u		/* the word begins as it should */
#define WORD_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct guest {
	struct store store;
	struct hv hv;
	uint8_t how;
	unsigned nr_slices;
	char words[2][WORD_MAX];
	struct rs_domain domain;
};

static struct guest *
of_store(struct store *s)
{
	return (struct guest *)(void *)s;
}

/* As the real one: a value with a NUL, or too long, is a failure. */
static int
guest_read(struct store *s, const char *path, char *value, size_t cap,
    struct err *e)
{
	const struct guest *g = of_store(s);
	bool is_why = strstr(path, IDENT_AGENT_FAILED) != NULL;
	const char *word = g->words[!is_why && (g->how & CHANGES) != 0];

	if (is_why ? !(g->how & SAYS_WHY) : (g->how & GONE) != 0)
		return 0;
	if (strlen(word) >= cap)
		return err_set(e, ERR_STORE, 0, "%s does not fit", path);
	memcpy(value, word, strlen(word) + 1);
	return 1;
}

static int
guest_wait(struct store *s, const char *const *paths, const char *const *want,
    size_t nr, uint64_t deadline_ns, int interrupt_fd, struct err *e)
{
	struct guest *g = of_store(s);

	(void)want;
	(void)nr;
	(void)deadline_ns;
	(void)interrupt_fd;
	if (g->nr_slices == 0 && !(g->how & (ENDS | SAYS_WHY)))
		return 0;
	if (g->nr_slices > 0)
		g->nr_slices--;
	return err_set(e, ERR_TIMEOUT, 0, "%s", paths[0]);
}

static int
guest_info(struct hv *hv, uint32_t domid, struct hv_domain_info *info,
    struct err *e)
{
	const struct guest *g = (const struct guest *)(void *)((char *)hv -
	    offsetof(struct guest, hv));

	(void)domid;
	(void)e;
	memset(info, 0, sizeof(*info));
	memcpy(info->uuid, g->domain.uuid, sizeof(info->uuid));
	info->shutdown = (g->how & ENDS) != 0 && g->nr_slices == 0;
	return 1;
}

static const struct store_ops store_ops = { .read = guest_read,
    .wait = guest_wait };
static const struct hv_ops hv_ops = { .info = guest_info };

static void
take_words(struct guest *g, const uint8_t *data, size_t size)
{
	size_t first = data[0] < size ? data[0] : size - 1;
	char *to = g->words[0];

	data++;
	size--;
	if (g->how & IS_RIGHT) {
		launch_page_id_text(launch_page_id(g->domain.uuid), to);
		to += strlen(to);
	}
	memcpy(to, data, first);
	size -= first;
	if (size >= WORD_MAX)
		size = WORD_MAX - 1;
	memcpy(g->words[1], data + first, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest g = { .store.ops = &store_ops, .hv.ops = &hv_ops,
	    .domain = { .domid = 7, .name = "disp0007",
	    .uuid = "dvm1\1\2\3\4\5\6\7\x08\xde\xad\xbe" } };
	const struct env env = { .hv = &g.hv, .store = &g.store };
	struct rs_timings timings = { .start_ns = clock_now_ns() };
	char right[LAUNCH_PAGE_ID_TEXT];
	struct err e = { .code = ERR_NONE };
	bool is_right;
	int rc;

	if (size < 2)
		return 0;
	g.how = data[0];
	g.nr_slices = g.how & SLICES_MASK;
	take_words(&g, data + 1, size - 1);
	rc = rs_ack_wait(&env, &g.domain, 60, -1, &timings, &e);
	launch_page_id_text(launch_page_id(g.domain.uuid), right);
	is_right = strcmp(g.words[(g.how & CHANGES) != 0], right) == 0 &&
	    !(g.how & (ENDS | SAYS_WHY | GONE));
	if ((rc == 0) != is_right ||
	    (rc == 0) != (timings.end_ns[RS_STAGE_ANSWER] != 0))
		abort();
	for (const char *at = e.msg; rc != 0 && *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			abort();
	if (rc != 0 && (e.code == ERR_NONE || e.msg[0] == '\0'))
		abort();
	return 0;
}
