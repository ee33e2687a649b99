/* SPDX-License-Identifier: Apache-2.0 */
/* A window whose target is on another host, which reads it back and answers with digests. */
#include <inttypes.h>
#include <string.h>

#include "copy/window.h"

#define EXPLAIN_SECONDS 10.0

static int tick(void *arg, struct error *err)
{
	struct window *window = arg;

	if (!atomic_load(&window->stop))
		return 0;
	return error_set(err, ERR_CANCELLED, "the copy ends");
}

static int await(struct window *window, struct remote *remote, unsigned *pending,
	struct error *err)
{
	while (*pending > 0)
		if (tick(window, err) < 0 || remote_poll(remote, -1, 0.25, err) < 0)
			return -1;
	return 0;
}

/* Through a connection of its own: those of the copy belong to its thread. */
static int fetch(
	struct window *window, uint64_t offset, size_t length, struct error *err)
{
	const struct remote_wait wait = { .tick = tick, .arg = window };
	AUTO(remote_close) struct remote *remote = NULL;
	unsigned char *buffer = window->buffer;
	unsigned pending = 0;

	if (remote_open("target", window->target->end, EXPLAIN_SECONDS, 1, &wait,
		    &remote, err) < 0)
		return -1;
	for (size_t at = 0, part; at < length; at += part) {
		part = length - at < remote->request_bytes ? length - at
							   : remote->request_bytes;
		if (remote_read(remote, buffer + at, offset + at, part, &pending, err) <
				0 ||
			await(window, remote, &pending, err) < 0)
			return -1;
	}
	return 0;
}

/* What the server reads, from its host's page cache, need not be what the disk has. */
static int explain(struct window *window, uint64_t offset, size_t length,
	const struct copy_digest *expected, struct error *err)
{
	struct error error;

	if (fetch(window, offset, length, &error) < 0)
		return error_set(err, ERR_MISMATCH,
			"target differs from source at or after offset %" PRIu64,
			offset);
	return window_explain(window, offset, length, expected, err);
}

/* next is the first chunk at or after from. */
static int compare(struct window *window, uint64_t from, uint64_t to,
	const struct copy_digest *digests, size_t *next, struct error *err)
{
	static const struct copy_digest zeroes;

	for (size_t i = 0; from < to; i++) {
		uint64_t length = to - from < CHUNK_SIZE ? to - from : CHUNK_SIZE;
		const struct chunk *chunk = &window->chunks[*next];
		const struct copy_digest *expected = &zeroes;

		if (*next < window->used && chunk->offset == from) {
			expected = &chunk->digest;
			++*next;
		}
		if (!digest_equal(&digests[i], expected))
			return explain(window, from, (size_t)length, expected, err);
		from += length;
	}
	return 0;
}

int window_check_remote(struct window *window, struct error *err)
{
	const struct copy_options *options = window->options;
	AUTO(free)
	struct copy_digest *digests = calloc(COPY_READ_BACK_CHUNKS, sizeof(*digests));
	uint64_t from, to;
	size_t next = 0;

	if (!digests)
		return error_no_memory(err);
	for (from = window->from; from < window->to; from = to) {
		uint64_t most = COPY_READ_BACK_CHUNKS * CHUNK_SIZE;
		size_t count;

		if (tick(window, err) < 0)
			return -1;
		to = window->to - from < most ? window->to : from + most;
		count = copy_digest_count(from, to);
		/* What nobody fills in is not taken for zeroes. */
		memset(digests, 0xff, count * sizeof(*digests));
		if (options->read_back(options->arg, from, to, digests, count, err) < 0)
			return error_context(err,
				"read back target '%s' at offset %" PRIu64,
				window->target->remote->name, from);
		if (compare(window, from, to, digests, &next, err) < 0)
			return -1;
	}
	return 0;
}
