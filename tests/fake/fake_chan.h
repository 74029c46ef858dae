/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * restore/courier/chan_open.h for a host of fakes: the agent is a program that
 * we start.
 */
#ifndef FAKE_CHAN_H
#define FAKE_CHAN_H

/* Its path and arguments, with blanks between; the channel is descriptor 3. */
#define FAKE_CHAN_ENV "DVM_FAKE_AGENT"

#endif
