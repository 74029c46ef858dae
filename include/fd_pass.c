/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SCM_RIGHTS.  Who sends a descriptor is not trusted: what it is, and whether
 * it is wanted, is the caller's to check.
 */
#include <string.h>
#include <sys/socket.h>

#include "include/fd_pass.h"

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

ssize_t
fd_pass_send(int socket_fd, const void *data, size_t len, int fd)
{
	struct iovec part = { .iov_len = len };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	union control control = { .bytes = { 0 } };
	struct cmsghdr *c;

	memcpy(&part.iov_base, &data, sizeof(data));	/* it is only read */
	if (fd < 0)
		return send(socket_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	m.msg_control = control.bytes;
	m.msg_controllen = sizeof(control.bytes);
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t
fd_pass_receive(int socket_fd, void *data, size_t len, int *fd)
{
	struct iovec part = { .iov_base = data, .iov_len = len };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	union control control;
	struct cmsghdr *c;
	ssize_t n;

	/* Without room for them the kernel closes what comes. */
	if (fd == NULL)
		return recv(socket_fd, data, len, MSG_DONTWAIT);
	*fd = -1;
	m.msg_control = control.bytes;
	/* Not CMSG_SPACE(): its padding has room for another. */
	m.msg_controllen = CMSG_LEN(sizeof(*fd));
	n = recvmsg(socket_fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n;
}
