/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/window.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "copy/side.h"
#include "copy/slot.h"

#define EXPLAIN_SECONDS 10.0

int window_init(
	struct window *window, size_t room, struct check *check, struct error *err)
{
	*window = (struct window) {
		.room = room,
		.check = check,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
	};
	window->chunks = calloc(room ? room : 1, sizeof(*window->chunks));
	return window->chunks ? 0 : error_no_memory(err);
}

void window_clear(struct window *window)
{
	if (window->running) {
		atomic_store(&window->stop, true);
		pthread_join(window->thread, NULL);
		window->running = false;
	}
	free(window->chunks);
	window->chunks = NULL;
}

void window_reset(struct window *window, uint64_t from)
{
	assert(!window->running && window->pending == 0);
	window->from = window->to = from;
	window->used = 0;
	window->work = 0;
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

int window_tick(void *arg, struct error *err)
{
	struct window *window = arg;

	if (!atomic_load(&window->stop))
		return 0;
	return error_set(err, ERR_CANCELLED, "the copy ends");
}

static int fetch(struct window *window, const char *role,
	const struct endpoint *endpoint, unsigned char *buffer, uint64_t offset,
	size_t length, struct error *err)
{
	const struct end_options options = {
		.one_connection = true,
		.deadline_s = EXPLAIN_SECONDS,
		.wait = { .tick = window_tick, .arg = window },
	};
	unsigned pending = 0; /* outlives the end */
	AUTO(end_close) struct end *end = NULL;

	if (end_open(role, endpoint, &options, &end, err) < 0)
		return -1;
	return end_fetch(end, buffer, offset, length, &pending, &options.wait, err);
}

/* What the digest of the source is now. */
static int compare_with_source(struct window *window, uint64_t offset, size_t length,
	const unsigned char *data, const struct copy_digest *expected,
	unsigned char *buffer, struct error *err)
{
	struct copy_digest now;
	struct error error;

	if (fetch(window, "source", window->check->source, buffer, offset, length,
		    &error) < 0)
		return error_set(err, ERR_MISMATCH,
			"target differs from source at or after offset %" PRIu64,
			offset);
	if (sides_compare(buffer, data, offset, length, err) < 0)
		return -1;
	digest_chunk(buffer, length, &now);
	return error_set(err, ERR_MISMATCH,
		digest_equal(&now, expected)
			? "target differed from source at or after offset %" PRIu64
			  ", and does not when read again"
			: "source changed while it was copied, at or after offset "
			  "%" PRIu64,
		offset);
}

int window_explain(struct window *window, uint64_t offset, size_t length,
	const unsigned char *data, const struct copy_digest *expected,
	struct error *err)
{
	AUTO(free) unsigned char *source = side_buffer();
	AUTO(free) unsigned char *target = side_buffer();
	struct error error;

	if (!source || !target)
		return error_no_memory(err);
	if (!data &&
		fetch(window, "target", window->check->target, target, offset, length,
			&error) < 0)
		return error_set(err, ERR_MISMATCH,
			"target differs from source at or after offset %" PRIu64,
			offset);
	return compare_with_source(
		window, offset, length, data ? data : target, expected, source, err);
}

/* What is no chunk of the window came as zeroes, and what was not reported is a hole. */
static int expect_holes(struct window *window, uint64_t to, struct error *err)
{
	const struct chunk *chunk = &window->chunks[window->next];

	if (window->next < window->used && chunk->offset < to)
		return window_explain(window, chunk->offset, (size_t)chunk->length,
			NULL, &chunk->digest, err);
	return 0;
}

static int on_chunk(void *arg, struct slot *slot, const struct copy_digest *digest,
	struct error *err)
{
	static const struct copy_digest zeroes;
	struct window *window = arg;
	const struct chunk *chunk = &window->chunks[window->next];
	const struct copy_digest *expected = &zeroes;

	if (expect_holes(window, slot->offset, err) < 0)
		return -1;
	if (window->next < window->used && chunk->offset == slot->offset) {
		expected = &chunk->digest;
		window->next++;
	}
	if (digest_equal(digest, expected))
		return 0;
	slot_fill(slot);
	return window_explain(
		window, slot->offset, slot->length, slot->data, expected, err);
}

static int open_target(struct window *window, struct end **out, struct error *err)
{
	struct check *check = window->check;
	const struct end_options options = {
		.deadline_s = check->options->deadline_s,
		.wait = { .tick = window_tick, .arg = window },
	};

	if (!check->scan && !(check->scan = scan_new()))
		return error_no_memory(err);
	*out = check->shared ? check->shared : check->end;
	if (*out)
		return 0;
	if (end_open("target", check->target, &options, &check->end, err) < 0)
		return -1;
	*out = check->end;
	return 0;
}

static int check(struct window *window, struct error *err)
{
	const struct end_wait wait = { .tick = window_tick, .arg = window };
	struct check *check = window->check;
	struct end *end = NULL;

	window->next = 0;
	if (check->by_host)
		return window_check_remote(window, err);
	if (open_target(window, &end, err) < 0)
		return -1;
	end->ops->forget(end, window->from, window->to);
	if (scan_run(check->scan, end, window->from, window->to, &wait, on_chunk,
		    window, err) < 0)
		return -1;
	return expect_holes(window, window->to, err);
}

static void *check_thread(void *arg)
{
	struct window *window = arg;

	window->answer = check(window, &window->error);
	pthread_mutex_lock(&window->mutex);
	window->finished = true;
	eventfd_write(window->check->wake, 1);
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

int window_check_now(struct window *window, struct error *err)
{
	assert(window->check->shared);
	atomic_store(&window->stop, false);
	return check(window, err);
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
