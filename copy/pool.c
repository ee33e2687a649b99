/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "copy/file_io.h"

#define THREADS_MAX 8

struct pool {
	const struct side *side;
	unsigned most, running, idle;
	pthread_t threads[THREADS_MAX];
	int wake; /* eventfd: something ended */
	pthread_mutex_t mutex; /* for all below, and idle */
	pthread_cond_t changed;
	struct fifo waiting, ended;
	bool stop;
};

static struct file_request *take(struct fifo *fifo)
{
	struct fifo_link *link = fifo_take(fifo);

	return link ? container_of(link, struct file_request, link) : NULL;
}

int pool_open(
	const struct side *side, unsigned threads, struct pool **out, struct error *err)
{
	AUTO(free) struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return error_no_memory(err);
	pool->side = side;
	pool->most = threads < THREADS_MAX ? threads : THREADS_MAX;
	pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake < 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot make an eventfd");
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->changed, NULL);
	fifo_init(&pool->waiting);
	fifo_init(&pool->ended);
	*out = steal(pool);
	return 0;
}

void pool_close(struct pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	pool->stop = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < pool->running; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_mutex_destroy(&pool->mutex);
	pthread_cond_destroy(&pool->changed);
	close(pool->wake);
	free(pool);
}

/* Calls are whole chunks, and to wake whoever gives them takes a good part of the time of
 * one: it is woken when there are none left to begin. With the mutex held. */
static void tell(const struct pool *pool, const struct file_request *ended)
{
	if (ended->op != FILE_CALL || !pool->waiting.first)
		eventfd_write(pool->wake, 1);
}

/* With the mutex held; NULL: the pool ends. */
static struct file_request *next_waiting(struct pool *pool)
{
	struct file_request *request = NULL;

	pool->idle++;
	while (!pool->stop && !(request = take(&pool->waiting)))
		pthread_cond_wait(&pool->changed, &pool->mutex);
	pool->idle--;
	if (pool->ended.first && !pool->waiting.first)
		eventfd_write(pool->wake, 1);
	return request;
}

static void *work(void *arg)
{
	struct pool *pool = arg;
	struct file_request *request;

	pthread_mutex_lock(&pool->mutex);
	while ((request = next_waiting(pool))) {
		pthread_mutex_unlock(&pool->mutex);
		request->answer =
			file_request_perform(pool->side, request, &request->error);
		pthread_mutex_lock(&pool->mutex);
		fifo_add(&pool->ended, &request->link);
		tell(pool, request);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

int pool_start(struct pool *pool, struct file_request *request, struct error *err)
{
	bool more;

	pthread_mutex_lock(&pool->mutex);
	fifo_add(&pool->waiting, &request->link);
	more = pool->idle == 0 && pool->running < pool->most;
	pthread_cond_signal(&pool->changed);
	pthread_mutex_unlock(&pool->mutex);
	if (!more)
		return 0;
	errno = pthread_create(&pool->threads[pool->running], NULL, work, pool);
	if (errno == 0)
		pool->running++;
	else if (pool->running == 0)
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	return 0;
}

void pool_prepare(struct pool *pool, struct pollfd *fd)
{
	*fd = (struct pollfd) { .fd = pool->wake, .events = POLLIN };
}

void pool_seen(struct pool *pool)
{
	eventfd_t count;

	eventfd_read(pool->wake, &count);
}

struct file_request *pool_next(struct pool *pool)
{
	struct file_request *request;

	pthread_mutex_lock(&pool->mutex);
	request = take(&pool->ended);
	pthread_mutex_unlock(&pool->mutex);
	return request;
}
