/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fakes keep the seams' contracts, as far as launches lean on them.
 */
#include <string.h>

#include "tests/fake/fake_disk.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_store.h"
#include "tests/unit/tap.h"

#define BACKEND "/local/domain/0/backend/vbd/7/51712"

static void
test_fault(void)
{
	struct fake_fault f = { .fail_at = 3 };
	unsigned i, nr = 0, at = 0;

	for (i = 1; i <= 10; i++) {
		if (fake_fault_hit(&f)) {
			nr++;
			at = i;
		}
	}
	ok(nr == 1 && at == 3 && f.nr_calls == 10,
	    "the third call fails and no other");
	ok(!fake_fault_hit(NULL), "without a plan none does");
}

static void
test_store_tree(void)
{
	const struct store_node nodes[] = {
		{ "/d", NULL, 0, 7, 0 },
		{ "/d/name", "x", STORE_NO_PERMS, STORE_NOBODY, 0 },
		{ "/d/deep/er", "y", 7, STORE_NOBODY, 0 },
	};
	const char *const gone[] = { "/d/deep", "/nowhere", "/d/n" };
	struct store *s = fake_store_open(NULL, NULL);
	char text[16];
	uint32_t owner, reader;
	struct err e;

	ok(s->ops->write(s, nodes, 3, &e) == 0 && fake_store_held(s) == 4,
	    "nodes are written, with their parents");
	ok(fake_store_perms(s, "/d/name", &owner, &reader) && owner == 0 &&
	    reader == 7, "children inherit permissions");
	ok(fake_store_perms(s, "/d/deep/er", &owner, &reader) &&
	    owner == 7 && reader == STORE_NOBODY, "or have their own");
	ok(s->ops->read(s, "/d/name", text, sizeof(text), &e) == 1 &&
	    strcmp(text, "x") == 0, "a value is read");
	ok(s->ops->read(s, "/d/none", text, sizeof(text), &e) == 0,
	    "no such node is 0");
	ok(s->ops->read(s, "/d/name", text, 1, &e) == -1,
	    "one that does not fit is an error");
	ok(s->ops->list(s, "/d", text, sizeof(text), &e) == 2 &&
	    memcmp(text, "name\0deep", 10) == 0, "names are listed");
	ok(s->ops->remove(s, gone, 3, &e) == 0 && fake_store_held(s) == 2,
	    "trees are removed, and nothing that only looks alike");
	ok(!fake_store_introduced(s, 7) &&
	    s->ops->introduce(s, 7, 1, 1, &e) == 0 &&
	    fake_store_introduced(s, 7), "a domain is introduced");
	s->ops->close(s);
}

static void
test_store_backend(void)
{
	const struct fake_store_reaction vbd = {
		fake_store_vbd_backend, NULL,
	};
	const struct store_node nodes[] = {
		{ BACKEND "/state", "1", 0, 7, 0 },
		{ BACKEND "/frontend", "/local/domain/7", 0, 7, 0 },
	};
	const struct store_node stop = { BACKEND "/state", "5", 0, 7, 0 };
	const char *const path = BACKEND "/state";
	const char *const two = "2", *const six = "6";
	struct fake_fault fault = { 0 };
	struct store *s = fake_store_open(&fault, &vbd);
	struct err e;

	ok(s->ops->write(s, nodes, 1, &e) == 0 &&
	    s->ops->wait(s, &path, &two, 1, 0, -1, &e) == -1 &&
	    e.code == ERR_TIMEOUT, "half a backend does nothing");
	ok(s->ops->write(s, nodes + 1, 1, &e) == 0 &&
	    s->ops->wait(s, &path, &two, 1, 0, -1, &e) == 0,
	    "a whole one goes to state 2");
	ok(s->ops->wait(s, &path, NULL, 1, 0, -1, &e) == 0,
	    "any value will do");
	ok(s->ops->write(s, &stop, 1, &e) == 0 &&
	    s->ops->wait(s, &path, &six, 1, 0, -1, &e) == 0,
	    "told to close it goes to state 6");
	fault.fail_at = fault.nr_calls + 2;
	ok(s->ops->write(s, nodes, 2, &e) == -1 && e.code == ERR_STORE,
	    "a batch fails in its middle");
	s->ops->close(s);
}

static void
test_disk(void)
{
	struct fake_fault fault = { 0 };
	struct disk *d = fake_disk_open(&fault);
	struct disk_dev base, again, cow, other, gone;
	char names[64];
	struct err e;

	ok(d->ops->open_base(d, "dvm-g-1", "o", "d", &base, &e) == 0 &&
	    d->ops->open_base(d, "dvm-g-1", "o", "d", &again, &e) == -1 &&
	    fake_disk_held(d) == 1, "a base is its opener's own");
	ok(d->ops->make_cow(d, "dvm-d-1", &base, 4096, &cow, &e) == 0 &&
	    fake_disk_held(d) == 2, "a disk stands on it");
	ok(d->ops->make_cow(d, "dvm-d-1", &base, 4096, &other, &e) == -1 &&
	    other.name[0] == '\0', "not two of one name");
	ok(d->ops->make_cow_of(d, "dvm-d-3", "o", 4096, &other, &e) == 0 &&
	    d->ops->remove(d, &other, &e) == 0 && fake_disk_held(d) == 2,
	    "or on an origin alone");
	gone = base;
	gone.minor += 9;
	ok(d->ops->make_cow(d, "dvm-d-2", &gone, 4096, &other, &e) == -1 &&
	    e.code == ERR_DISK, "none stands on nothing");
	ok(d->ops->remove(d, &base, &e) == -1 && e.code == ERR_BUSY &&
	    base.name[0] != '\0', "a base in use stays");
	fake_disk_set_open(d, "dvm-d-1", true);
	ok(d->ops->remove(d, &cow, &e) == -1 && e.code == ERR_BUSY,
	    "so does a disk that a backend has open");
	fake_disk_set_open(d, "dvm-d-1", false);
	ok(d->ops->list(d, "dvm-d-", names, sizeof(names), &e) == 1 &&
	    strcmp(names, "dvm-d-1") == 0, "disks are listed by prefix");
	fault.fail_at = fault.nr_calls + 1;
	ok(d->ops->remove(d, &cow, &e) == -1 && cow.name[0] != '\0',
	    "a failed removal leaves it");
	ok(d->ops->remove(d, &cow, &e) == 0 &&
	    d->ops->remove(d, &base, &e) == 0 && fake_disk_held(d) == 0,
	    "then both go");
	ok(d->ops->make_delta(d, "dvm-p-1", "o", "d", 1000, &cow, &e) == -1 &&
	    d->ops->make_delta(d, "dvm-p-1", "o", "d", 1024, &cow, &e) == 0 &&
	    d->ops->remove(d, &cow, &e) == 0, "a delta is made and goes");
	d->ops->close(d);
}

int
main(void)
{
	test_fault();
	test_store_tree();
	test_store_backend();
	test_disk();
	return tap_done();
}
