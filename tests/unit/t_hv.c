/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Listing all domains and finding one, on a host whose list is a table.
 */
#include <stdlib.h>

#include "include/container_of.h"
#include "include/seam/hv.h"
#include "tests/unit/tap.h"

#define DOMAINS_MAX 200u

struct host {
	struct hv hv;
	unsigned nr, nr_calls;
	unsigned fail_at;	/* the first call is 1; 0: none fails */
};

/* Domain i has the number 3 * i, as gaps are usual. */
static int
list(struct hv *hv, uint32_t first, struct hv_domain_info *infos, size_t cap,
    struct err *e)
{
	struct host *h = container_of(hv, struct host, hv);
	unsigned i = (first + 2) / 3, nr = 0;

	if (++h->nr_calls == h->fail_at)
		return err_set(e, ERR_XEN, 0, "as the test wants it");
	for (; i < h->nr && nr < cap; i++, nr++)
		infos[nr] = (struct hv_domain_info){ .domid = 3 * i,
		    .uuid = { (uint8_t)i, 7 } };
	return (int)nr;
}

static const struct hv_ops ops = { .list = list };

static void
test_number(unsigned nr)
{
	struct host h = { .hv = { .ops = &ops }, .nr = nr };
	uint8_t last[HV_UUID_BYTES] = { (uint8_t)(nr - 1), 7 };
	uint8_t none[HV_UUID_BYTES] = { (uint8_t)nr, 8 };
	struct hv_domain_info *all, info = { .domid = 1 };
	bool in_order = true;
	unsigned nr_calls;
	struct err e;
	size_t got;

	all = hv_list_all(&h.hv, &got, &e);
	for (size_t i = 0; all != NULL && i < got; i++)
		in_order = in_order && all[i].domid == 3 * i;
	free(all);
	ok(all != NULL && got == nr && in_order, "%u domains are listed, each "
	    "once and in order", nr);
	ok(hv_find(&h.hv, none, &info, &e) == 0 && info.domid == 1, "among %u "
	    "one that is not there is not found", nr);
	if (nr > 0)
		ok(hv_find(&h.hv, last, &info, &e) == 1 &&
		    info.domid == 3 * (nr - 1), "the last of %u is found", nr);
	h.nr_calls = 0;
	free(hv_list_all(&h.hv, &got, &e));
	nr_calls = h.nr_calls;
	for (h.fail_at = 1; h.fail_at <= nr_calls; h.fail_at++) {
		h.nr_calls = 0;
		all = hv_list_all(&h.hv, &got, &e);
		ok(all == NULL && got == 0 && e.code == ERR_XEN, "%u domains, "
		    "call %u fails: no half of a list", nr, h.fail_at);
		h.nr_calls = 0;
		ok(hv_find(&h.hv, none, &info, &e) == -1, "%u domains, call %u "
		    "fails: nor is one said not to be there", nr, h.fail_at);
	}
}

int
main(void)
{
	static const unsigned numbers[] = { 0, 1, 63, 64, 65, 128, 129,
	    DOMAINS_MAX };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		test_number(numbers[i]);
	return tap_done();
}
