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
#include "copy/side.h"

struct chunk {
	uint64_t offset;
	uint64_t length;
	struct digest digest;
};

struct window {
	uint64_t from, to; /* the range */
	struct chunk *chunks; /* those that are not all zeroes, in order */
	size_t used, room;
	uint64_t cleared; /* bytes of zeroes that were no hole of the target before */

	/* Reading back. */
	const struct side *source, *target;
	void *buffer; /* of the target */
	void *other; /* of the source, to find the byte */
	pthread_t thread;
	bool running;
	atomic_bool stop; /* the thread shall give up */
	pthread_mutex_t mutex;
	pthread_cond_t answered;
	bool finished; /* under mutex: the thread has an answer */
	int answer; /* 0 equal, -1 and the error */
	struct error error;
};

int window_init(struct window *window, size_t room, const struct side *source,
	const struct side *target, struct error *err);
/* Waits for the thread. */
void window_clear(struct window *window);
DEFINE_AUTO(struct window *, window_clear)

/* Forget what it had; the range is empty and begins at from. */
void window_reset(struct window *window, uint64_t from);
void window_add(struct window *window, uint64_t offset, uint64_t length,
	const struct digest *digest);
/* Add the window's chunks to the chain. */
void window_chain(const struct window *window, struct digest *chain);

/* Read the whole range back from the target's storage, in a thread. */
int window_check_start(struct window *window, struct error *err);
/* Wait at most timeout_s. 1: equal; 0: not done yet; -1: ERR_MISMATCH, which names the
 * first byte that differs, or ERR_IO. */
int window_check_wait(struct window *window, double timeout_s, struct error *err);
bool window_check_finished(struct window *window);

#endif
