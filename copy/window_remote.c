/* SPDX-License-Identifier: Apache-2.0 */
/* A window whose target is on another host, which reads it back and answers with digests. */
#include <inttypes.h>
#include <string.h>

#include "copy/window.h"

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
			return window_explain(
				window, from, (size_t)length, NULL, expected, err);
		from += length;
	}
	return 0;
}

int window_check_remote(struct window *window, struct error *err)
{
	const struct copy_options *options = window->check->options;
	AUTO(free)
	struct copy_digest *digests = calloc(COPY_READ_BACK_CHUNKS, sizeof(*digests));
	uint64_t from, to;
	size_t next = 0;

	if (!digests)
		return error_no_memory(err);
	for (from = window->from; from < window->to; from = to) {
		uint64_t most = COPY_READ_BACK_CHUNKS * CHUNK_SIZE;
		size_t count;

		if (window_tick(window, err) < 0)
			return -1;
		to = window->to - from < most ? window->to : from + most;
		count = copy_digest_count(from, to);
		/* What nobody fills in is not taken for zeroes. */
		memset(digests, 0xff, count * sizeof(*digests));
		if (options->read_back(options->arg, from, to, digests, count, err) < 0)
			return error_context(err,
				"read back target '%s' at offset %" PRIu64,
				window->check->target_name, from);
		if (compare(window, from, to, digests, &next, err) < 0)
			return -1;
	}
	return 0;
}
