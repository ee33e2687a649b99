/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/loop.h"

#define MOST_THREADS 16

struct queue {
	struct job *first, **end;
};

struct jobs {
	struct loop *loop;
	ev_async back; /* something is in done */
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t given;
	struct queue todo, done;
	bool stopping;
	pthread_t threads[MOST_THREADS];
	unsigned count;
};

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->end = &queue->first;
}

static void queue_add(struct queue *queue, struct job *job)
{
	job->next = NULL;
	*queue->end = job;
	queue->end = &job->next;
}

static struct job *queue_take(struct queue *queue)
{
	struct job *job = queue->first;

	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->end = &queue->first;
	return job;
}

/* NULL: it is time to end. */
static struct job *wait_for_one(struct jobs *jobs)
{
	struct job *job = NULL;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stopping && !jobs->todo.first)
		pthread_cond_wait(&jobs->given, &jobs->lock);
	if (!jobs->stopping)
		job = queue_take(&jobs->todo);
	pthread_mutex_unlock(&jobs->lock);
	return job;
}

static void *work(void *arg)
{
	struct jobs *jobs = arg;
	struct job *job;

	while ((job = wait_for_one(jobs))) {
		job->run(job);
		pthread_mutex_lock(&jobs->lock);
		queue_add(&jobs->done, job);
		pthread_mutex_unlock(&jobs->lock);
		ev_async_send(loop_ev(jobs->loop), &jobs->back);
	}
	return NULL;
}

static void on_back(EV_P_ ev_async *watcher, int events)
{
	struct jobs *jobs = watcher->data;
	struct job *job;

	for (;;) {
		pthread_mutex_lock(&jobs->lock);
		job = queue_take(&jobs->done);
		pthread_mutex_unlock(&jobs->lock);
		if (!job)
			return;
		job->done(job);
	}
}

/* Signals are the loop's. */
static int start_thread(struct jobs *jobs, struct error *err)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&jobs->threads[jobs->count], NULL, work, jobs);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return error_set(err, ERR_NO_MEMORY, "cannot start a thread");
	jobs->count++;
	return 0;
}

int jobs_new(struct loop *loop, unsigned threads, struct jobs **out, struct error *err)
{
	AUTO(jobs_free) struct jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return error_no_memory(err);
	jobs->loop = loop;
	queue_init(&jobs->todo);
	queue_init(&jobs->done);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->given, NULL);
	ev_async_init(&jobs->back, on_back);
	jobs->back.data = jobs;
	ev_async_start(loop_ev(loop), &jobs->back);
	while (jobs->count < threads && jobs->count < MOST_THREADS)
		if (start_thread(jobs, err) < 0)
			return -1;
	*out = steal(jobs);
	return 0;
}

void jobs_free(struct jobs *jobs)
{
	struct job *job;

	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->stopping = true;
	pthread_cond_broadcast(&jobs->given);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->count; i++)
		pthread_join(jobs->threads[i], NULL);
	while ((job = queue_take(&jobs->todo)) || (job = queue_take(&jobs->done)))
		job->done(job);
	ev_async_stop(loop_ev(jobs->loop), &jobs->back);
	pthread_cond_destroy(&jobs->given);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
}

void jobs_give(struct jobs *jobs, struct job *job)
{
	pthread_mutex_lock(&jobs->lock);
	queue_add(&jobs->todo, job);
	pthread_cond_signal(&jobs->given);
	pthread_mutex_unlock(&jobs->lock);
}
