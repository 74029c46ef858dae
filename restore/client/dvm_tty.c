/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The user's terminal.  Runs in dvm.  While it is raw the guest drives it.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "restore/client/dvm_tty.h"

int
dvm_tty_raw(struct dvm_tty *t, struct err *e)
{
	struct termios raw;

	if (!t->is_raw && tcgetattr(t->fd, &t->before) != 0)
		return err_set(e, ERR_SYS, errno, "the terminal");
	raw = t->before;
	cfmakeraw(&raw);
	if (tcsetattr(t->fd, TCSANOW, &raw) != 0)
		return err_set(e, ERR_SYS, errno, "the terminal");
	t->is_raw = true;
	return 0;
}

void
dvm_tty_restore(struct dvm_tty *t)
{
	if (t->is_raw) {
		/* Keys meant for the guest, answers to what it asked the
		 * terminal: a shell would take them as commands. */
		(void)tcflush(t->fd, TCIFLUSH);
		(void)tcsetattr(t->fd, TCSANOW, &t->before);
	}
	t->is_raw = false;
}

void
dvm_tty_size(int fd, uint16_t *rows, uint16_t *cols)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 ||
	    size.ws_col == 0)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	*rows = size.ws_row;
	*cols = size.ws_col;
}
