/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/ahead.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "copy/digest.h"

void ahead_init(struct ahead *ahead, const struct side *source, int wake)
{
	*ahead = (struct ahead) {
		.source = source,
		.wake = wake,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
}

void ahead_clear(struct ahead *ahead)
{
	if (ahead->running) {
		pthread_mutex_lock(&ahead->mutex);
		ahead->stop = true;
		pthread_cond_signal(&ahead->changed);
		pthread_mutex_unlock(&ahead->mutex);
		pthread_join(ahead->thread, NULL);
		ahead->running = false;
	}
	free(ahead->chunk.data);
	ahead->chunk.data = NULL;
}

static int read_it(struct ahead *ahead)
{
	struct ahead_chunk *chunk = &ahead->chunk;

	if (side_read(ahead->source, chunk->data, ahead->offset, ahead->length,
		    &ahead->error) < 0)
		return -1;
	chunk->zero = chunk_is_zero(chunk->data, ahead->length);
	if (!chunk->zero)
		digest_of(chunk->data, ahead->length, &chunk->digest);
	return 0;
}

static void *read_thread(void *arg)
{
	struct ahead *ahead = arg;

	pthread_mutex_lock(&ahead->mutex);
	for (;;) {
		int answer;

		while (!ahead->stop && ahead->state != AHEAD_READING)
			pthread_cond_wait(&ahead->changed, &ahead->mutex);
		if (ahead->stop)
			break;
		pthread_mutex_unlock(&ahead->mutex);
		answer = read_it(ahead);
		pthread_mutex_lock(&ahead->mutex);
		ahead->answer = answer;
		ahead->state = AHEAD_DONE;
		eventfd_write(ahead->wake, 1);
	}
	pthread_mutex_unlock(&ahead->mutex);
	return NULL;
}

static int run(struct ahead *ahead, struct error *err)
{
	if (ahead->running)
		return 0;
	errno = pthread_create(&ahead->thread, NULL, read_thread, ahead);
	if (errno)
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	ahead->running = true;
	return 0;
}

int ahead_start(struct ahead *ahead, uint64_t offset, size_t length, struct error *err)
{
	if (!ahead->chunk.data && !(ahead->chunk.data = side_buffer()))
		return error_no_memory(err);
	if (run(ahead, err) < 0)
		return -1;
	pthread_mutex_lock(&ahead->mutex);
	assert(ahead->state != AHEAD_READING);
	ahead->offset = offset;
	ahead->length = length;
	ahead->state = AHEAD_READING;
	pthread_cond_signal(&ahead->changed);
	pthread_mutex_unlock(&ahead->mutex);
	return 0;
}

static enum ahead_state state_of(struct ahead *ahead)
{
	enum ahead_state state;

	pthread_mutex_lock(&ahead->mutex);
	state = ahead->state;
	pthread_mutex_unlock(&ahead->mutex);
	return state;
}

static void set_idle(struct ahead *ahead)
{
	pthread_mutex_lock(&ahead->mutex);
	assert(ahead->state == AHEAD_DONE);
	ahead->state = AHEAD_IDLE;
	pthread_mutex_unlock(&ahead->mutex);
}

bool ahead_has(struct ahead *ahead, uint64_t offset, size_t length)
{
	return state_of(ahead) != AHEAD_IDLE && ahead->offset == offset &&
		ahead->length == length;
}

bool ahead_is_done(struct ahead *ahead)
{
	return state_of(ahead) != AHEAD_READING;
}

int ahead_take(struct ahead *ahead, void **data, bool *zero, struct copy_digest *digest,
	struct error *err)
{
	void *unused = *data;

	set_idle(ahead);
	if (ahead->answer < 0) {
		if (err)
			*err = ahead->error;
		return -1;
	}
	*data = ahead->chunk.data;
	*zero = ahead->chunk.zero;
	*digest = ahead->chunk.digest;
	ahead->chunk.data = unused;
	return 0;
}
