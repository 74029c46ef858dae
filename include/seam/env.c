/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Closes a host's handles, whichever host opened them.
 */
#include <unistd.h>

#include "include/seam/env.h"

void
env_close(struct env *env)
{
	if (env->names_fd >= 0)
		(void)close(env->names_fd);
	if (env->disk != NULL)
		env->disk->ops->close(env->disk);
	if (env->store != NULL)
		env->store->ops->close(env->store);
	if (env->hv != NULL)
		env->hv->ops->close(env->hv);
	*env = (struct env){ .names_fd = -1 };
}
