/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real host: Xen, its xenstore daemon, the kernel's device mapper.
 */
#include <unistd.h>

#include "restore/host/disk_dm.h"
#include "restore/host/hv_xen.h"
#include "restore/host/store_xen.h"
#include "restore/launch/host.h"
#include "restore/launch/names.h"

int
rs_host_open(const char *state_dir, struct env *env, struct err *e)
{
	*env = (struct env){ .names_fd = -1 };
	if (geteuid() != 0)
		return err_set(e, ERR_USAGE, 0, "only root in dom0 can launch "
		    "domains");
	env->hv = hv_xen_open(e);
	if (env->hv == NULL)
		return -1;
	env->store = store_xen_open(NULL, STORE_XEN_TIMEOUT_MS, e);
	if (env->store == NULL)
		goto fail;
	env->disk = disk_dm_open(e);
	if (env->disk == NULL)
		goto fail;
	env->names_fd = rs_names_open(state_dir, e);
	if (env->names_fd >= 0)
		return 0;
fail:
	env_close(env);
	return -1;
}
