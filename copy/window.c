/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/window.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int window_init(struct window *window, size_t room, const struct side *source,
	const struct side *target, struct error *err)
{
	*window = (struct window) {
		.room = room,
		.source = source,
		.target = target,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
		.answered = PTHREAD_COND_INITIALIZER,
	};
	window->chunks = calloc(room, sizeof(*window->chunks));
	window->buffer = side_buffer();
	window->other = side_buffer();
	if (!window->chunks || !window->buffer || !window->other)
		return error_no_memory(err);
	return 0;
}

void window_clear(struct window *window)
{
	if (window->running) {
		atomic_store(&window->stop, true);
		pthread_join(window->thread, NULL);
		window->running = false;
	}
	free(window->chunks);
	free(window->buffer);
	free(window->other);
	window->chunks = window->buffer = window->other = NULL;
}

void window_reset(struct window *window, uint64_t from)
{
	assert(!window->running);
	window->from = window->to = from;
	window->used = 0;
	window->cleared = 0;
}

void window_add(struct window *window, uint64_t offset, uint64_t length,
	const struct digest *digest)
{
	assert(window->used < window->room);
	window->chunks[window->used++] = (struct chunk) {
		.offset = offset,
		.length = length,
		.digest = *digest,
	};
}

void window_chain(const struct window *window, struct digest *chain)
{
	for (size_t i = 0; i < window->used; i++) {
		const struct chunk *chunk = &window->chunks[i];
		digest_chain(chain, chunk->offset, chunk->length, &chunk->digest);
	}
}

/* The target's bytes, in window->buffer, are not what came from the source. Says which
 * byte, with a fresh look at the source. */
static int explain(
	struct window *window, uint64_t offset, size_t length, struct error *err)
{
	if (side_read(window->source, window->other, offset, length, err) < 0)
		return -1;
	if (sides_compare(window->other, window->buffer, offset, length, err) < 0)
		return -1;
	return error_set(err, ERR_MISMATCH,
		"source changed while it was copied, at or after offset %" PRIu64,
		offset);
}

static int check_chunk(
	struct window *window, const struct chunk *chunk, struct error *err)
{
	struct digest digest;
	size_t length = (size_t)chunk->length;

	if (side_read_back(window->target, window->buffer, chunk->offset, length, err) <
		0)
		return -1;
	digest_of(window->buffer, length, &digest);
	if (digest_equal(&digest, &chunk->digest))
		return 0;
	return explain(window, chunk->offset, length, err);
}

/* Where the file system says hole there is nothing to read; all else must be zeroes. */
static int check_zeroes(
	struct window *window, uint64_t offset, uint64_t end, struct error *err)
{
	while (offset < end && !atomic_load(&window->stop)) {
		uint64_t data, length;

		if (side_next_data(window->target, offset, end, &data, err) < 0)
			return -1;
		if (data == end)
			return 0;
		data -= data % SIDE_ALIGNMENT;
		offset = data > offset ? data : offset;
		length = end - offset < CHUNK_SIZE ? end - offset : CHUNK_SIZE;
		if (side_read_back(window->target, window->buffer, offset,
			    (size_t)length, err) < 0)
			return -1;
		if (!chunk_is_zero(window->buffer, (size_t)length))
			return explain(window, offset, (size_t)length, err);
		offset += length;
	}
	return 0;
}

static int check(struct window *window, struct error *err)
{
	uint64_t offset = window->from;

	for (size_t i = 0; i < window->used; i++) {
		const struct chunk *chunk = &window->chunks[i];
		if (atomic_load(&window->stop))
			break;
		if (check_zeroes(window, offset, chunk->offset, err) < 0 ||
			check_chunk(window, chunk, err) < 0)
			return -1;
		offset = chunk->offset + chunk->length;
	}
	return check_zeroes(window, offset, window->to, err);
}

static void *check_thread(void *arg)
{
	struct window *window = arg;

	window->answer = check(window, &window->error);
	pthread_mutex_lock(&window->mutex);
	window->finished = true;
	pthread_cond_signal(&window->answered);
	pthread_mutex_unlock(&window->mutex);
	return NULL;
}

int window_check_start(struct window *window, struct error *err)
{
	assert(!window->running);
	atomic_store(&window->stop, false);
	window->finished = false;
	errno = pthread_create(&window->thread, NULL, check_thread, window);
	if (errno)
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	window->running = true;
	return 0;
}

static struct timespec time_from_now(double seconds)
{
	struct timespec time;
	long whole = (long)seconds;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += whole;
	time.tv_nsec += (long)((seconds - (double)whole) * 1e9);
	if (time.tv_nsec >= 1000000000) {
		time.tv_nsec -= 1000000000;
		time.tv_sec++;
	}
	return time;
}

static bool await_answer(struct window *window, double timeout_s)
{
	const struct timespec until = time_from_now(timeout_s);
	bool finished;
	int errnum = 0;

	pthread_mutex_lock(&window->mutex);
	while (!window->finished && errnum == 0)
		errnum = pthread_cond_clockwait(
			&window->answered, &window->mutex, CLOCK_MONOTONIC, &until);
	finished = window->finished;
	pthread_mutex_unlock(&window->mutex);
	return finished;
}

int window_check_wait(struct window *window, double timeout_s, struct error *err)
{
	assert(window->running);
	if (!await_answer(window, timeout_s))
		return 0;
	pthread_join(window->thread, NULL);
	window->running = false;
	if (window->answer == 0)
		return 1;
	if (err)
		*err = window->error;
	return -1;
}

bool window_check_finished(struct window *window)
{
	bool finished;

	pthread_mutex_lock(&window->mutex);
	finished = window->running && window->finished;
	pthread_mutex_unlock(&window->mutex);
	return finished;
}
