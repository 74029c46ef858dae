/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading a template's xl.cfg, and the CONFIG text made of it.
 */
#include "prep/pr_cfg.h"
#include "savefile/gen/gen_key.h"
#include "savefile/sf_state.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

static struct t_pr_files files;

/* A configuration with these lines after the ones that every guest has; later
 * settings replace earlier ones. */
static int
read_cfg(const char *lines, struct pr_config *c, struct err *e)
{
	char text[8192];

	(void)snprintf(text, sizeof(text), "name=\"other\"\ntype=\"pvh\"\n"
	    "kernel=\"%s/kernel\"\nramdisk=\"%s/ramdisk\"\nmemory=64\n"
	    "disk=[ \"format=raw,vdev=xvda,access=rw,target=%s/disk\" ]\n"
	    "%s\n", files.dir, files.dir, files.dir, lines);
	t_pr_write(files.config.cfg, text);
	e->code = ERR_NONE;
	e->msg[0] = '\0';
	return pr_cfg_read(files.config.cfg, c, e);
}

static void
test_good(void)
{
	struct pr_config c;
	char want[PATH_MAX];
	struct err e;

	ok(read_cfg("", &c, &e) == 0, "a plain template is read (%s)", e.msg);
	ok(strcmp(c.name, "tiny") == 0, "its name is the file's");
	(void)snprintf(want, sizeof(want), "%s/kernel", files.dir);
	ok(strcmp(c.kernel, want) == 0 && c.memory_kb == 65536 &&
	    c.nr_vcpus == 1 && c.max_grant_frames == 0, "kernel and sizes");
	(void)snprintf(want, sizeof(want), "%s/disk", files.dir);
	ok(c.nr_disks == 1 && strcmp(c.disks[0].vdev, "xvda") == 0 &&
	    c.disks[0].devid == 51712 && c.disks[0].writable &&
	    c.disks[0].sectors == 128 && strcmp(c.disks[0].origin, want) == 0,
	    "its disk");
	ok(read_cfg("vcpus=2\nmaxvcpus=4\nmax_grant_frames=32\nvif=[]", &c,
	    &e) == 0 && c.nr_vcpus == 4 && c.max_grant_frames == 32,
	    "more settings; an empty list of interfaces is none (%s)", e.msg);
}

/* A link in a path stays one, so that the key sees where it leads later. */
static void
test_link(void)
{
	char line[256], link[128], kernel[128], cwd[PATH_MAX], config[8192];
	char key_text[GEN_KEY_BYTES_MAX];
	struct gen_text t = { .buf = config, .cap = sizeof(config) };
	static struct hv_host host;
	struct sf_blob text, key;
	struct pr_config c;
	struct err e;

	(void)snprintf(link, sizeof(link), "%s/link", files.dir);
	(void)snprintf(kernel, sizeof(kernel), "%s/kernel", files.dir);
	(void)snprintf(line, sizeof(line), "kernel=\"%s\"", link);
	if (symlink(kernel, link) != 0 || getcwd(cwd, sizeof(cwd)) == NULL)
		abort();
	ok(read_cfg(line, &c, &e) == 0 && strcmp(c.kernel, link) == 0,
	    "the kernel is a link (%s)", e.msg);
	if (pr_config_text(&c, true, &t, &e) != 0)
		abort();
	text = gen_text_blob(&t);
	ok(gen_key_build(&text, &host, key_text, sizeof(key_text), &e) == 0,
	    "a key (%s)", e.msg);
	key = (struct sf_blob){ (const uint8_t *)key_text, strlen(key_text) };
	ok(gen_key_check(&key, &text, &host, &e) == 0, "it matches");
	(void)snprintf(kernel, sizeof(kernel), "%s/ramdisk", files.dir);
	if (unlink(link) != 0 || symlink(kernel, link) != 0)
		abort();
	ok(gen_key_check(&key, &text, &host, &e) == -1 && e.code == ERR_STALE,
	    "a link that leads elsewhere now is stale (%s)", e.msg);
	if (unlink(link) != 0 || chdir(files.dir) != 0)
		abort();
	ok(read_cfg("kernel=\"./kernel\"", &c, &e) == 0 &&
	    strncmp(c.kernel, files.dir, strlen(files.dir)) == 0 &&
	    strcmp(c.kernel + strlen(files.dir), "/kernel") == 0,
	    "a relative path is made absolute (%s)", e.msg);
	if (chdir(cwd) != 0)
		abort();
}

/* The settings of our own, as they reach the agent. */
static void
test_settle(void)
{
	static const struct {
		const char *line, *named;
	} bad[] = {
		{ "dvm_prerun=\"prerun\"", "absolute" },
		{ "dvm_prerun=\"/a b\"", "one word" },
		{ "dvm_prerun=\"\"", "dvm_prerun" },
		{ "dvm_user=\"a-user-with-a-name-longer-than-32-characters\"",
		    "dvm_user" },
		{ "dvm_caches=\"some\"", "keep or drop" },
		{ "dvm_quiet_cpu=101", "dvm_quiet_cpu" },
		{ "dvm_boot_limit=0", "dvm_boot_limit" },
	};
	struct pr_config c;
	char buf[1024];
	struct gen_text t = { .buf = buf, .cap = sizeof(buf) };
	struct err e;

	ok(read_cfg("dvm_prerun=\"/usr/bin/warm\"\ndvm_user=\"user\"\n"
	    "dvm_caches=\"drop\"\ndvm_quiet_cpu=50", &c, &e) == 0 &&
	    pr_config_settle_text(&c.settle, &t, &e) == 0,
	    "settings for the agent (%s)", e.msg);
	ok(strcmp(buf, "prerun=/usr/bin/warm\nuser=user\ncaches=drop\n"
	    "boot_limit=300\nprerun_limit=300\nquiet_limit=120\n"
	    "quiet_cpu=50\nquiet_disk=256\nquiet_seconds=3\n") == 0,
	    "as it reads them");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(read_cfg(bad[i].line, &c, &e) == -1 && e.code == ERR_INPUT &&
		    strstr(e.msg, bad[i].named) != NULL, "refused: %s (%s)",
		    bad[i].line, e.msg);
}

static void
test_disks(void)
{
	struct pr_config c;
	char lines[1024];
	struct err e;

	(void)snprintf(lines, sizeof(lines), "disk=[ \"%s/disk,raw,xvda,w\", "
	    "\"phy:%s/disk,xvdb1,r\" ]", files.dir, files.dir);
	ok(read_cfg(lines, &c, &e) == 0 && c.nr_disks == 2 &&
	    c.disks[1].devid == (202 << 8 | 17) && !c.disks[1].writable,
	    "two disks in the short notation (%s)", e.msg);
	(void)snprintf(lines, sizeof(lines), "disk=[ \"%s/disk,raw,xvda,w\", "
	    "\"%s/disk,raw,xvda,w\" ]", files.dir, files.dir);
	ok(read_cfg(lines, &c, &e) == -1 && e.code == ERR_INPUT,
	    "refused: two disks of one name (%s)", e.msg);
	(void)snprintf(lines, sizeof(lines), "disk=[ \"%s/disk,qcow2,xvda,w\" "
	    "]", files.dir);
	ok(read_cfg(lines, &c, &e) == -1 && e.code == ERR_INPUT,
	    "refused: qcow2 (%s)", e.msg);
	(void)snprintf(lines, sizeof(lines), "disk=[ \"%s/disk,raw,hda,w\" ]",
	    files.dir);
	ok(read_cfg(lines, &c, &e) == -1 && e.code == ERR_INPUT,
	    "refused: hda (%s)", e.msg);
	(void)snprintf(lines, sizeof(lines), "disk=[ \"backend=storage,vdev="
	    "xvda,target=%s/disk\" ]", files.dir);
	ok(read_cfg(lines, &c, &e) == -1 && e.code == ERR_INPUT,
	    "refused: another domain's disk (%s)", e.msg);
	(void)snprintf(lines, sizeof(lines), "disk=[ \"%s/disk,raw,xvda,cdrom"
	    "\" ]", files.dir);
	ok(read_cfg(lines, &c, &e) == -1 && e.code == ERR_INPUT,
	    "refused: a CD-ROM (%s)", e.msg);
}

static void
test_refused(void)
{
	static const struct {
		const char *lines, *mention;
	} bad[] = {
		{ "type=\"hvm\"", "pvh" },
		{ "type=\"pv\"", "pvh" },
		{ "vif=[ \"bridge=xenbr0\" ]", "network" },
		{ "pci=[ \"01:00.0\" ]", "PCI" },
		{ "vfb=[ \"vnc=1\" ]", "frame buffer" },
		{ "usbdev=[ \"hostbus=1\" ]", "USB" },
		{ "bootloader=\"pygrub\"", "kernel" },
		{ "maxmem=128", "maxmem" },
		{ "memory=0", "memory" },
		{ "vcpus=\"many\"", "vcpus" },
		{ "vcpus=1000", "vcpus" },
		{ "disk=[]", "disk" },
		{ "disk=[ \"/nonexistent,raw,xvda,w\" ]", "/nonexistent" },
		{ "disk=[ \"format=raw,vdev=xvda,target=/dev/null\" ]",
		    "block device" },
		{ "disk=[ \"format=raw,vdev=xvda\" ]", "target" },
		{ "disk=[ \"format=nonsense,vdev=xvda,target=/x\" ]",
		    "nonsense" },
		{ "kernel=\"/nonexistent\"", "/nonexistent" },
		{ "ramdisk=\"/nonexistent\"", "/nonexistent" },
		{ "this is no configuration", "tiny.cfg" },
		{ "disk=[ \"unfinished", "tiny.cfg" },
	};
	struct pr_config c;
	struct err e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(read_cfg(bad[i].lines, &c, &e) == -1 &&
		    e.code == ERR_INPUT && strstr(e.msg, bad[i].mention) !=
		    NULL, "refused: %s (%s)", bad[i].lines, e.msg);
	(void)unlink(files.config.cfg);
	ok(pr_cfg_read(files.config.cfg, &c, &e) == -1 &&
	    e.code == ERR_INPUT, "refused: no file (%s)", e.msg);
}

static void
test_devid(void)
{
	static const struct {
		const char *vdev;
		uint32_t devid;		/* 0: refused */
	} cases[] = {
		{ "xvda", 51712 }, { "xvdb", 51728 }, { "xvda2", 51714 },
		{ "xvdp15", 51967 }, { "xvdq", 1u << 28 | 16 << 8 },
		{ "xvda16", 1u << 28 | 16 }, { "xvdaa", 1u << 28 | 26 << 8 },
		{ "", 0 }, { "xvd", 0 }, { "xvd1", 0 }, { "xvda0", 0 },
		{ "xvdA", 0 }, { "xvda/", 0 }, { "sda", 0 }, { "xvda256", 0 },
		{ "xvdzzzzzzzzz", 0 }, { "xv", 0 },
	};
	uint32_t devid;
	struct err e;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		devid = 0;
		(void)pr_config_devid(cases[i].vdev, &devid, &e);
		ok(devid == cases[i].devid, "'%s' is %u", cases[i].vdev,
		    cases[i].devid);
	}
}

static void
test_text(void)
{
	static char buf[PR_CONFIG_TEXT_MAX];
	struct gen_text t = { .buf = buf, .cap = sizeof(buf) };
	struct sf_blob text;
	char value[PATH_MAX];
	uint64_t number;
	struct err e;

	if (!ok(pr_config_text(&files.config, true, &t, &e) == 0,
	    "the text is made"))
		return;
	text = gen_text_blob(&t);
	ok(sf_state_text_get(&text, "name", value, sizeof(value), &e) == 0 &&
	    strcmp(value, "tiny") == 0 &&
	    sf_state_text_get(&text, "agent", value, sizeof(value), &e) == 0
	    && strcmp(value, "1") == 0, "name and agent");
	ok(sf_state_text_get_u64(&text, "disk.count", &number, &e) == 0 &&
	    number == 1 && sf_state_text_get_u64(&text, "disk.0.devid",
	    &number, &e) == 0 && number == 51712, "numbers");
	ok(sf_state_text_get(&text, "disk.0.delta", value, sizeof(value), &e)
	    == 0 && strcmp(value, "xvda.delta") == 0 &&
	    sf_state_text_get(&text, "disk.0.mode", value, sizeof(value), &e)
	    == 0 && strcmp(value, "w") == 0, "the disk");
}

int
main(void)
{
	t_pr_files_make(&files);
	test_good();
	test_link();
	test_settle();
	test_disks();
	test_refused();
	test_devid();
	test_text();
	t_pr_remove_tree(files.dir);
	return tap_done();
}
