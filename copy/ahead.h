/* SPDX-License-Identifier: Apache-2.0 */
/* ahead.h - reads the source's next chunk in a thread while the one before is written.
 *
 * One chunk at a time: ahead_start(), then ahead_is_done() until it is, then ahead_take().
 * All calls from the thread of the copy.
 */
#ifndef COPY_AHEAD_H
#define COPY_AHEAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "copy/copy.h"
#include "copy/side.h"

enum ahead_state { AHEAD_IDLE, AHEAD_READING, AHEAD_DONE };

struct ahead_chunk {
	void *data; /* from side_buffer() */
	bool zero; /* all of it */
	struct copy_digest digest; /* unless zero */
};

struct ahead {
	const struct side *source;
	int wake; /* eventfd, written to when a chunk has been read */
	uint64_t offset; /* of the chunk */
	size_t length;
	bool running;
	pthread_t thread;
	pthread_mutex_t mutex; /* for all below */
	pthread_cond_t changed;
	bool stop;
	enum ahead_state state;
	struct ahead_chunk chunk; /* the thread's while reading */
	int answer;
	struct error error;
};

/* source is borrowed until ahead_clear(), which waits for a read that is under way. A
 * struct of zeroes may be cleared too. */
void ahead_init(struct ahead *ahead, const struct side *source, int wake);
void ahead_clear(struct ahead *ahead);

/* Not while another is read; what was read and not taken is forgotten. */
int ahead_start(struct ahead *ahead, uint64_t offset, size_t length, struct error *err);
/* Is it this chunk that was started and not taken? */
bool ahead_has(struct ahead *ahead, uint64_t offset, size_t length);
bool ahead_is_done(struct ahead *ahead);
/* The chunk that is done. *data, a buffer that is not used, is exchanged for the chunk's. */
int ahead_take(struct ahead *ahead, void **data, bool *zero, struct copy_digest *digest,
	struct error *err);

#endif
