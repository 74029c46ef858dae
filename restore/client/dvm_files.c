/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of a session.  Runs in dvm, as their user.  The agent's frames are
 * in order, chan_next() sees to that; what they say is not trusted.
 */
#include <stdio.h>
#include <string.h>

#include "restore/client/dvm_files.h"
#include "restore/client/dvm_text.h"

#define STATUS_CHANGED 5
#define STATUS_FAILED 125

/* For a terminal, and its end if it is long; the name may be anybody's. */
static const char *
shown(const char *name, char text[CHAN_NAME_MAX + 1])
{
	size_t len = strlen(name), from = 0;

	if (len > CHAN_NAME_MAX)
		from = len - CHAN_NAME_MAX;
	(void)snprintf(text, CHAN_NAME_MAX + 1, "%s", name + from);
	(void)dvm_text_clean((uint8_t *)text, strlen(text),
	    dvm_text_is_utf8(), true);
	for (char *at = text; *at != '\0'; at++)
		if (*at == '\n' || *at == '\r' || *at == '\t')
			*at = '?';
	return text;
}

static void
complain(struct dvm_files *files, struct dvm_file *f, const char *what)
{
	char name[CHAN_NAME_MAX + 1];

	(void)fprintf(stderr, "dvm: %s is as it was: %s\n",
	    shown(f->path, name), what);
	files->status = STATUS_FAILED;
}

static bool
is_there(const struct dvm_files *files, const char *name)
{
	for (unsigned i = 0; i < files->nr; i++)
		if (strcmp(files->all[i].name, name) == 0)
			return true;
	return false;
}

int
dvm_files_add(struct dvm_files *files, const char *path, bool view_only,
    uint64_t size_max, struct err *e)
{
	struct dvm_file *f = &files->all[files->nr];
	char name[CHAN_NAME_MAX + 1];
	struct stat *st = &f->back.replace.sent;
	const char *slash = strrchr(path, '/');

	if (files->nr == CHAN_FILES_MAX)
		return err_set(e, ERR_USAGE, 0, "at most %u files at once",
		    CHAN_FILES_MAX);
	*f = (struct dvm_file){ .path = path };
	files->view_only = view_only;
	if (dvm_back_open(&f->back, path, size_max, view_only ? 0 : size_max,
	    e) != 0) {
		dvm_back_close(&f->back);
		return err_prefix(e, "%s", shown(f->path, name));
	}
	files->nr++;
	for (unsigned i = 0; i + 1 < files->nr; i++)
		if (files->all[i].back.replace.sent.st_dev == st->st_dev &&
		    files->all[i].back.replace.sent.st_ino == st->st_ino)
			return err_set(e, ERR_USAGE, 0, "%s: is there twice",
			    shown(f->path, name));
	for (unsigned nr = 1; f->name[0] == '\0'; nr++) {
		dvm_text_name(slash != NULL ? slash + 1 : path, nr, name);
		if (!is_there(files, name))
			memcpy(f->name, name, sizeof(f->name));
	}
	return 0;
}

static uint8_t
stream_of(unsigned nr)
{
	return (uint8_t)(CHAN_FILE_0 + nr);
}

/* 1: this file is sent. */
static int
send_file(struct dvm_files *files, struct dvm_file *f, struct chan *c,
    struct err *e)
{
	uint64_t size = (uint64_t)f->back.replace.sent.st_size;
	uint8_t stream = stream_of(files->sending), data[CHAN_PAYLOAD_MAX];
	size_t len;

	if (!files->put && chan_has_room(c)) {
		if (chan_send_put(c, stream, size, f->name, e) != 0)
			return -1;
		files->put = true;
	}
	while (files->put && files->sent < size) {
		len = chan_may_send(c, stream);
		if (len > size - files->sent)
			len = (size_t)(size - files->sent);
		if (len == 0)
			return 0;
		if (dvm_back_read(&f->back, files->sent, data, len, e) != 0 ||
		    chan_send(c, CHAN_DATA, stream, data, len, e) != 0)
			return -1;
		files->sent += len;
	}
	if (!files->put || !chan_has_room(c))
		return 0;
	if (dvm_back_sent(&f->back, e) != 0 ||
	    chan_send_end(c, stream, size, f->back.hash, e) != 0)
		return -1;
	return 1;
}

int
dvm_files_send(struct dvm_files *files, struct chan *c, struct err *e)
{
	char name[CHAN_NAME_MAX + 1];
	int rc = 1;

	while (files->sending < files->nr && rc == 1) {
		struct dvm_file *f = &files->all[files->sending];

		rc = send_file(files, f, c, e);
		if (rc < 0)
			return err_prefix(e, "%s", shown(f->path, name));
		if (rc == 0)
			break;
		files->sending++;
		files->put = false;
		files->sent = 0;
	}
	return rc;
}

static int
take_back(struct dvm_files *files, struct dvm_file *f,
    const struct chan_frame *untrusted_f, struct err *e)
{
	char name[CHAN_NAME_MAX + 1];
	enum chan_back how;
	uint64_t size;
	struct err why;

	chan_get_back(untrusted_f, &how, &size);
	f->answered = true;
	switch (how) {
	case CHAN_UNCHANGED:
		break;
	case CHAN_CHANGED:
		if (dvm_back_begin(&f->back, size, &why) == 0)
			break;
		complain(files, f, why.msg);
		/* It was told how much: no agent of ours says so, and it
		 * could go on for hours. */
		if (why.code == ERR_INPUT)
			return err_set(e, ERR_INPUT, 0, "more than was asked "
			    "for");
		break;
	case CHAN_GONE:
		(void)fprintf(stderr, "dvm: %s was removed in the disposable, "
		    "and is kept here\n", shown(f->path, name));
		break;
	case CHAN_TOO_LARGE:
		complain(files, f, "its new version is too large; see "
		    "--max-size");
		break;
	case CHAN_BROKEN:
		complain(files, f, "the disposable could not read its new "
		    "version");
		break;
	}
	return 0;
}

/* All of a file has come, and it is in its place or will not be. */
static void
take_end(struct dvm_files *files, struct dvm_file *f,
    const struct chan_frame *untrusted_f, const char *disposable)
{
	char name[CHAN_NAME_MAX + 1], other[CHAN_NAME_MAX + 1];
	const struct dvm_replace *r = &f->back.replace;
	bool changed;
	struct err e;

	if (dvm_back_end(&f->back, chan_u64(untrusted_f->data),
	    untrusted_f->data + 8, disposable, &e) == 0)
		return;
	if (r->old[0] != '\0') {
		(void)fprintf(stderr, "dvm: %s changed while it was replaced, "
		    "and cannot be put back: your version is in %s beside "
		    "it\n", shown(f->path, name), shown(r->old, other));
		files->status = STATUS_FAILED;
		return;
	}
	changed = e.code == ERR_BUSY && r->beside[0] != '\0';
	if (changed && files->status == 0)
		files->status = STATUS_CHANGED;
	if (!changed)
		complain(files, f, e.msg);
	if (r->beside[0] == '\0')
		return;
	(void)fprintf(stderr, "dvm: %s %sthe disposable's version is in %s "
	    "beside it\n", shown(f->path, name),
	    changed ? "changed meanwhile; " : "is kept; ",
	    shown(r->beside, other));
}

int
dvm_files_take(struct dvm_files *files, const struct chan_frame *untrusted_f,
    const char *disposable, struct err *e)
{
	struct dvm_file *f;
	struct err why;

	/* Only streams that were sent come: the channel's rules. */
	f = &files->all[untrusted_f->stream - CHAN_FILE_0];
	if (files->view_only)
		return err_set(e, ERR_INPUT, 0, "a file comes back that was "
		    "to be viewed only");
	if (untrusted_f->type == CHAN_BACK)
		return take_back(files, f, untrusted_f, e);
	if (untrusted_f->type == CHAN_END) {
		take_end(files, f, untrusted_f, disposable);
		return 0;
	}
	if (dvm_back_data(&f->back, untrusted_f->data, untrusted_f->len,
	    &why) != 0)
		complain(files, f, why.msg);
	f->uncredited += untrusted_f->len;
	return 0;
}

int
dvm_files_credit(struct dvm_files *files, struct chan *c, struct err *e)
{
	for (unsigned i = 0; i < files->nr; i++) {
		struct dvm_file *f = &files->all[i];

		if (f->uncredited < CHAN_CREDIT_MIN || !chan_has_room(c))
			continue;
		if (chan_send_u32(c, CHAN_CREDIT, stream_of(i), f->uncredited,
		    e) != 0)
			return -1;
		f->uncredited = 0;
	}
	return 0;
}

bool
dvm_files_is_coming(const struct dvm_files *files, const struct chan *c)
{
	for (unsigned i = 0; i < files->nr; i++)
		if (c->in.opened[stream_of(i)] && !c->in.done[stream_of(i)])
			return true;
	return false;
}

int
dvm_files_finish(struct dvm_files *files, bool exited)
{
	for (unsigned i = 0; i < files->nr && !files->view_only; i++) {
		struct dvm_file *f = &files->all[i];

		if (f->back.state == DVM_BACK_COMES)
			complain(files, f, "its new version did not come "
			    "completely");
		else if (!f->answered)
			complain(files, f, exited ? "the disposable does not "
			    "say whether it changed" : "nothing has come "
			    "back");
	}
	return files->status;
}

void
dvm_files_close(struct dvm_files *files)
{
	for (unsigned i = 0; i < files->nr; i++)
		dvm_back_close(&files->all[i].back);
	files->nr = 0;
}
