/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a terminal may be given, and a file's name for the guest.
 */
#include <stdlib.h>
#include <string.h>

#include "restore/client/dvm_text.h"
#include "tests/unit/tap.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *in, *utf8, *ascii;
} texts[] = {
	{ "plain text\t\r\n", "plain text\t\r\n", "plain text\t\r\n" },
	{ "\033[31mred\033[0m", "?[31mred?[0m", "?[31mred?[0m" },
	{ "\a\b\v\f\177\001", "??????", "??????" },
	{ "gr\303\274n \342\202\254 \360\237\230\200",
	    "gr\303\274n \342\202\254 \360\237\230\200", "gr??n ??? ????" },
	/* Control characters of eight bits, and as UTF-8. */
	{ "a\233b\302\233c", "a?b??c", "a?b??c" },
	/* Overlong, a surrogate, beyond the end, a character cut off. */
	{ "\300\233", "??", "??" },
	{ "\340\202\233", "???", "???" },
	{ "\355\240\200", "???", "???" },
	{ "\364\220\200\200", "????", "????" },
	{ "\342\202x\303", "??x?", "??x?" },
};

static void
test_clean(void)
{
	for (size_t i = 0; i < NR(texts); i++) {
		const char *wants[] = { texts[i].ascii, texts[i].utf8 };
		size_t len = strlen(texts[i].in);

		for (int utf8 = 0; utf8 < 2; utf8++) {
			uint8_t buf[64];
			size_t done;

			memcpy(buf, texts[i].in, len);
			done = dvm_text_clean(buf, len, utf8 != 0, true);
			ok(done == len && memcmp(buf, wants[utf8], len) == 0,
			    "clean: text %zu, %s", i, utf8 ? "UTF-8" :
			    "ASCII");
		}
	}
}

/* In two pieces, cut anywhere, it is the same. */
static void
test_pieces(void)
{
	unsigned nr_wrong = 0, nr = 0;

	for (size_t i = 0; i < NR(texts); i++) {
		size_t len = strlen(texts[i].in);

		for (size_t cut = 0; cut <= len; cut++, nr++) {
			uint8_t buf[64];
			size_t done;

			memcpy(buf, texts[i].in, len);
			done = dvm_text_clean(buf, cut, true, false);
			if (done > cut || cut - done > 3)
				nr_wrong++;
			done += dvm_text_clean(buf + done, len - done, true,
			    true);
			nr_wrong += done != len ||
			    memcmp(buf, texts[i].utf8, len) != 0;
		}
	}
	ok(nr_wrong == 0, "clean: %u cuts, %u differ", nr, nr_wrong);
}

/* Whatever the bytes, none that drives a terminal is left. */
static void
test_all_bytes(void)
{
	unsigned nr_wrong = 0;

	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			uint8_t buf[2] = { (uint8_t)a, (uint8_t)b };

			(void)dvm_text_clean(buf, 2, true, true);
			for (int i = 0; i < 2; i++)
				nr_wrong += buf[i] == 0x7f ||
				    (buf[i] < 0x20 && buf[i] != '\n' &&
				    buf[i] != '\r' && buf[i] != '\t');
			/* Of two bytes, one in 80 to 9f is C1. */
			nr_wrong += buf[0] == 0xc2 && buf[1] < 0xa0;
			nr_wrong += buf[0] < 0xc2 && buf[0] >= 0x80;
		}
	ok(nr_wrong == 0, "clean: all pairs of bytes");
}

static void
test_names(void)
{
	static const struct {
		const char *base;
		unsigned nr;
		const char *want;
	} names[] = {
		{ "report.pdf", 1, "report.pdf" },
		{ "report.pdf", 2, "report-2.pdf" },
		{ "report", 12, "report-12" },
		{ "a.tar.gz", 2, "a.tar-2.gz" },
		{ "-rf", 1, "_rf" },
		{ "..", 1, "_." },
		{ ".profile", 3, "_profile-3" },
		{ "", 1, "_" },
		{ "gr\303\274n.txt", 1, "gr\303\274n.txt" },
		{ "a\nb\033c\302\205d\377.x", 1, "a_b_c__d_.x" },
	};
	char name[CHAN_NAME_MAX + 1], base[300];
	unsigned nr_wrong = 0;

	for (size_t i = 0; i < NR(names); i++) {
		dvm_text_name(names[i].base, names[i].nr, name);
		ok(strcmp(name, names[i].want) == 0 &&
		    chan_is_name(name, strlen(name)), "name: %s", name);
	}
	for (size_t len = 1; len <= 255; len++) {
		/* Two bytes each: a cut can be amid one. */
		for (size_t i = 0; i < len; i++)
			base[i] = i % 2 == 0 ? '\303' : '\274';
		base[len] = '\0';
		for (unsigned nr = 1; nr < 4; nr++) {
			dvm_text_name(base, nr, name);
			nr_wrong += !chan_is_name(name, strlen(name));
		}
	}
	ok(nr_wrong == 0, "name: cut between characters");
	memset(base, 'x', 255);
	(void)snprintf(base + 250, 6, ".jpeg");
	dvm_text_name(base, 7, name);
	ok(strlen(name) == 255 && strcmp(name + 248, "-7.jpeg") == 0,
	    "name: cut, with its number and extension");
	for (unsigned seed = 1; seed < 20000; seed++) {
		unsigned state = seed;
		size_t len = seed % 256;

		for (size_t i = 0; i < len; i++)
			base[i] = (char)(1 + rand_r(&state) % 255);
		base[len] = '\0';
		dvm_text_name(base, 1 + seed % 3, name);
		nr_wrong += !chan_is_name(name, strlen(name));
	}
	ok(nr_wrong == 0, "name: of any bytes");
}

int
main(void)
{
	test_clean();
	test_pieces();
	test_all_bytes();
	test_names();
	return tap_done();
}
