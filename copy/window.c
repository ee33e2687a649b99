/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/window.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

int window_init(struct window *window, size_t room, const struct side *source,
	const struct target *target, const struct copy_options *options, int wake,
	struct error *err)
{
	*window = (struct window) {
		.room = room,
		.source = source,
		.target = target,
		.options = options,
		.wake = wake,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
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
	assert(!window->running && window->pending == 0);
	window->from = window->to = from;
	window->used = 0;
	window->cleared = 0;
}

void window_add(struct window *window, uint64_t offset, uint64_t length,
	const struct copy_digest *digest)
{
	assert(window->used < window->room);
	window->chunks[window->used++] = (struct chunk) {
		.offset = offset,
		.length = length,
		.digest = *digest,
	};
}

void window_chain(const struct window *window, struct copy_digest *chain)
{
	for (size_t i = 0; i < window->used; i++) {
		const struct chunk *chunk = &window->chunks[i];
		digest_chain(chain, chunk->offset, chunk->length, &chunk->digest);
	}
}

int window_explain(struct window *window, uint64_t offset, size_t length,
	const struct copy_digest *expected, struct error *err)
{
	struct copy_digest now = { 0 };

	if (side_read(window->source, window->other, offset, length, err) < 0 ||
		sides_compare(window->other, window->buffer, offset, length, err) < 0)
		return -1;
	if (!chunk_is_zero(window->other, length))
		digest_of(window->other, length, &now);
	if (!digest_equal(&now, expected))
		return error_set(err, ERR_MISMATCH,
			"source changed while it was copied, at or after offset "
			"%" PRIu64,
			offset);
	return error_set(err, ERR_MISMATCH,
		"target differed from source at or after offset %" PRIu64
		", and does not when read again",
		offset);
}

static int check_chunk(
	struct window *window, const struct chunk *chunk, struct error *err)
{
	struct copy_digest digest;
	size_t length = (size_t)chunk->length;

	if (side_read_back(&window->target->side, window->buffer, chunk->offset, length,
		    err) < 0)
		return -1;
	digest_of(window->buffer, length, &digest);
	if (digest_equal(&digest, &chunk->digest))
		return 0;
	return window_explain(window, chunk->offset, length, &chunk->digest, err);
}

/* Where the file system says hole there is nothing to read; all else must be zeroes. */
static int check_zeroes(
	struct window *window, uint64_t offset, uint64_t end, struct error *err)
{
	static const struct copy_digest zeroes;

	while (offset < end && !atomic_load(&window->stop)) {
		uint64_t data, length;

		if (side_next_data(&window->target->side, offset, end, &data, err) < 0)
			return -1;
		if (data == end)
			return 0;
		data -= data % SIDE_ALIGNMENT;
		offset = data > offset ? data : offset;
		length = end - offset < CHUNK_SIZE ? end - offset : CHUNK_SIZE;
		if (side_read_back(&window->target->side, window->buffer, offset,
			    (size_t)length, err) < 0)
			return -1;
		if (!chunk_is_zero(window->buffer, (size_t)length))
			return window_explain(
				window, offset, (size_t)length, &zeroes, err);
		offset += length;
	}
	return 0;
}

static int check(struct window *window, struct error *err)
{
	uint64_t offset = window->from;

	if (window->target->remote)
		return window_check_remote(window, err);

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
	eventfd_write(window->wake, 1);
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

static bool is_finished(struct window *window)
{
	bool finished;

	pthread_mutex_lock(&window->mutex);
	finished = window->finished;
	pthread_mutex_unlock(&window->mutex);
	return finished;
}

int window_check_done(struct window *window, struct error *err)
{
	assert(window->running);
	if (!is_finished(window))
		return 0;
	pthread_join(window->thread, NULL);
	window->running = false;
	if (window->answer == 0)
		return 1;
	if (err)
		*err = window->error;
	return -1;
}
