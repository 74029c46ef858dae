/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A shared object to be preloaded into Xen's own xenstored or oxenstored, so
 * that the real daemons run where there is no Xen: every domain exists, every
 * page of one can be mapped (and is an empty page), event channels never fire.
 * What the daemons look for in /proc/xen and put into /run/xenstored is looked
 * for and put into the directory FAKEXEN_DIR instead.  Test code only.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define XC_WANT_COMPAT_MAP_FOREIGN_API
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE_BYTES 4096

/* No handle is looked into by its owner; none may be NULL. */
static void *
some_handle(void)
{
	return malloc(sizeof(int));
}

/* The path to use instead of `path`: itself, or one in `there`. */
static const char *
moved(const char *path, char *there, size_t cap)
{
	static const char *const prefixes[] = {
		"/run/xenstored", "/var/run/xenstored", "/proc/xen",
	};
	const char *dir = getenv("FAKEXEN_DIR");
	size_t i, len;

	for (i = 0; dir != NULL && i < sizeof(prefixes) / sizeof(*prefixes);
	    i++) {
		len = strlen(prefixes[i]);
		if (strncmp(path, prefixes[i], len) != 0)
			continue;
		if (snprintf(there, cap, "%s%s", dir, path + len) < (int)cap)
			return there;
	}
	return path;
}

int
open(const char *path, int flags, ...)
{
	char there[PATH_MAX];
	mode_t mode = 0;
	va_list ap;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return (int)syscall(SYS_openat, AT_FDCWD,
	    moved(path, there, sizeof(there)), flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return open(path, flags, mode);
}

int
unlink(const char *path)
{
	char there[PATH_MAX];

	return (int)syscall(SYS_unlink, moved(path, there, sizeof(there)));
}

int
mkdir(const char *path, mode_t mode)
{
	char there[PATH_MAX];

	return (int)syscall(SYS_mkdir, moved(path, there, sizeof(there)),
	    mode);
}

int
chmod(const char *path, mode_t mode)
{
	char there[PATH_MAX];

	return (int)syscall(SYS_chmod, moved(path, there, sizeof(there)),
	    mode);
}

int
bind(int fd, __CONST_SOCKADDR_ARG untyped, socklen_t len)
{
	const struct sockaddr *addr = untyped.__sockaddr__;
	struct sockaddr_un un;
	char there[sizeof(un.sun_path)];
	const char *path;

	if (addr->sa_family == AF_UNIX && len <= sizeof(un)) {
		memset(&un, 0, sizeof(un));
		memcpy(&un, addr, len);
		path = moved(un.sun_path, there, sizeof(there));
		if (path == there) {
			memcpy(un.sun_path, there, sizeof(there));
			return (int)syscall(SYS_bind, fd, &un, sizeof(un));
		}
	}
	return (int)syscall(SYS_bind, fd, addr, len);
}

/* Raising limits needs privileges that a test need not have. */
int
setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	(void)resource;
	(void)limit;
	return 0;
}

xc_interface *
xc_interface_open(xentoollog_logger *logger, xentoollog_logger *builder,
    unsigned flags)
{
	(void)logger;
	(void)builder;
	(void)flags;
	return some_handle();
}

int
xc_interface_close(xc_interface *xch)
{
	free(xch);
	return 0;
}

int
xc_domain_getinfo(xc_interface *xch, uint32_t first, unsigned int max,
    xc_dominfo_t *info)
{
	(void)xch;
	if (max == 0)
		return 0;
	memset(info, 0, sizeof(*info));
	info->domid = first;
	info->running = 1;
	return 1;
}

int
xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
    xc_domaininfo_t *info)
{
	(void)xch;
	if (max == 0)
		return 0;
	memset(info, 0, sizeof(*info));
	info->domain = (domid_t)first;
	info->flags = XEN_DOMINF_running;
	return 1;
}

static void *
empty_page(size_t len)
{
	void *page;

	page = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? NULL : page;
}

void *
xc_map_foreign_range(xc_interface *xch, uint32_t dom, int size, int prot,
    unsigned long mfn)
{
	(void)xch;
	(void)dom;
	(void)prot;
	(void)mfn;
	return empty_page((size_t)size);
}

xengnttab_handle *
xengnttab_open(struct xentoollog_logger *logger, unsigned flags)
{
	(void)logger;
	(void)flags;
	return some_handle();
}

int
xengnttab_close(xengnttab_handle *xgt)
{
	free(xgt);
	return 0;
}

int
xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr)
{
	(void)xgt;
	(void)nr;
	return 0;
}

void *
xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref,
    int prot)
{
	(void)xgt;
	(void)domid;
	(void)ref;
	(void)prot;
	return empty_page(PAGE_BYTES);
}

int
xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	(void)xgt;
	return munmap(start, (size_t)count * PAGE_BYTES);
}

xenevtchn_handle *
xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	int *handle = some_handle();

	(void)logger;
	(void)flags;
	if (handle != NULL)
		*handle = eventfd(0, EFD_CLOEXEC);
	return (xenevtchn_handle *)handle;
}

int
xenevtchn_close(xenevtchn_handle *xce)
{
	if (xce == NULL)
		return 0;
	(void)close(xenevtchn_fd(xce));
	free(xce);
	return 0;
}

int
xenevtchn_fd(xenevtchn_handle *xce)
{
	return *(int *)(void *)xce;
}

int
xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	(void)port;
	return 0;
}

xenevtchn_port_or_error_t
xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
    evtchn_port_t port)
{
	(void)xce;
	(void)domid;
	return (xenevtchn_port_or_error_t)port;
}

xenevtchn_port_or_error_t
xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
	(void)xce;
	return (xenevtchn_port_or_error_t)virq;
}

int
xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	(void)port;
	return 0;
}

xenevtchn_port_or_error_t
xenevtchn_pending(xenevtchn_handle *xce)
{
	(void)xce;
	errno = EAGAIN;
	return -1;
}

int
xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	(void)port;
	return 0;
}
