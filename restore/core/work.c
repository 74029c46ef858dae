/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A queue in, a queue out, and threads between.  Runs in core.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "restore/core/work.h"

STAILQ_HEAD(jobs, rs_job);

struct worker {
	struct rs_work *work;
	const struct env *env;
	pthread_t thread;
};

struct rs_work {
	pthread_mutex_t lock;		/* of all but the workers */
	pthread_cond_t wake;
	struct jobs todo, finished;
	bool ending;
	int done_fd;
	unsigned nr;			/* threads started */
	struct worker workers[];
};

static void *
work(void *arg)
{
	struct worker *self = arg;
	struct rs_work *w = self->work;
	struct rs_job *job;

	(void)pthread_mutex_lock(&w->lock);
	for (;;) {
		job = STAILQ_FIRST(&w->todo);
		if (job == NULL && w->ending)
			break;
		if (job == NULL) {
			(void)pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&w->todo, entry);
		(void)pthread_mutex_unlock(&w->lock);
		job->run(job, self->env);
		(void)pthread_mutex_lock(&w->lock);
		STAILQ_INSERT_TAIL(&w->finished, job, entry);
		(void)eventfd_write(w->done_fd, 1);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct rs_work *
rs_work_new(const struct env *envs, unsigned nr, int done_fd,
    struct err *e)
{
	struct rs_work *w = calloc(1, sizeof(*w) + nr * sizeof(w->workers[0]));
	int rc;

	if (w == NULL) {
		(void)err_set(e, ERR_NOMEM, errno, "workers");
		return NULL;
	}
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	STAILQ_INIT(&w->todo);
	STAILQ_INIT(&w->finished);
	w->done_fd = done_fd;
	for (; w->nr < nr; w->nr++) {
		struct worker *self = &w->workers[w->nr];

		*self = (struct worker){ .work = w, .env = &envs[w->nr] };
		rc = pthread_create(&self->thread, NULL, work, self);
		if (rc != 0) {
			(void)err_set(e, ERR_SYS, rc, "cannot start a thread");
			rs_work_free(w);
			return NULL;
		}
	}
	return w;
}

void
rs_work_put(struct rs_work *w, struct rs_job *job)
{
	(void)pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->todo, job, entry);
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

struct rs_job *
rs_work_take(struct rs_work *w)
{
	struct rs_job *job;

	(void)pthread_mutex_lock(&w->lock);
	job = STAILQ_FIRST(&w->finished);
	if (job != NULL)
		STAILQ_REMOVE_HEAD(&w->finished, entry);
	(void)pthread_mutex_unlock(&w->lock);
	return job;
}

void
rs_work_free(struct rs_work *w)
{
	if (w == NULL)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->ending = true;
	(void)pthread_cond_broadcast(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	while (w->nr > 0)
		(void)pthread_join(w->workers[--w->nr].thread, NULL);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
