/* SPDX-License-Identifier: Apache-2.0 */
/* window.h - what was copied since the last checkpoint, and reading it back.
 *
 * A window keeps the digests that its chunks had when they came from the source; all of
 * its range that has no chunk was zeroes. Reading back runs in a thread of its own, while
 * the next window is being copied; the thread touches only the window and the sides.
 */
#ifndef COPY_WINDOW_H
#define COPY_WINDOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "copy/digest.h"
#include "copy/end.h"
#include "copy/scan.h"

struct chunk {
	uint64_t offset;
	uint64_t length;
	struct copy_digest digest;
};

struct window {
	uint64_t from, to; /* the range */
	struct chunk *chunks; /* those that are not all zeroes, in order */
	size_t used, room;
	uint64_t work; /* bytes to be flushed and read back, about */
	unsigned pending; /* requests to the target that are under way */

	/* Reading back. */
	struct check *check;
	uint64_t checked; /* all before it is equal */
	size_t next; /* chunk to be read back next */
	pthread_t thread;
	bool running;
	atomic_bool stop; /* the thread shall give up */
	pthread_mutex_t mutex;
	bool finished; /* under mutex: the thread has an answer */
	int answer; /* 0 equal, -1 and the error */
	struct error error;
};

/* How a copy is checked, for all of its windows; one at a time. */
struct check {
	const struct endpoint *source, *target; /* borrowed */
	const char *target_name;
	const struct copy_options *options;
	bool by_host; /* the target's host reads back and answers with digests */
	int wake; /* an eventfd for the thread's end, borrowed */
	struct scan *scan;
	struct end *shared; /* the copy's own target, where it cannot be opened twice */
	struct end *end; /* otherwise: the target, opened when it is needed */
};

/* check is borrowed. */
int window_init(
	struct window *window, size_t room, struct check *check, struct error *err);
/* Waits for the thread. */
void window_clear(struct window *window);
DEFINE_AUTO(struct window *, window_clear)

/* Forget what it had; the range is empty and begins at from. */
void window_reset(struct window *window, uint64_t from);
void window_add(struct window *window, uint64_t offset, uint64_t length,
	const struct copy_digest *digest);
/* Add the window's chunks to the chain. */
void window_chain(const struct window *window, struct copy_digest *chain);

/* Have the whole range, which is durable, read back from the target's storage, in a
 * thread. */
int window_check_start(struct window *window, struct error *err);
/* The same in this thread, for a target that is shared. -1 as below. */
int window_check_now(struct window *window, struct error *err);
/* 1: equal; 0: not done yet; -1: ERR_MISMATCH, which names the first byte that differs, or
 * why it could not be read. wake becomes readable when it is done. */
int window_check_done(struct window *window, struct error *err);

/* For the thread: the length bytes at offset, data (NULL: to be read from the target), are
 * not those with the expected digest. Says which one differs, with a fresh look at the
 * source. */
int window_explain(struct window *window, uint64_t offset, size_t length,
	const unsigned char *data, const struct copy_digest *expected,
	struct error *err);
/* For the thread: -1 when it shall give up. */
int window_tick(void *window, struct error *err);
/* For the thread: ask the target's host. */
int window_check_remote(struct window *window, struct error *err);

#endif
