/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - copies the bytes of one endpoint to another, verified and resumable.
 *
 * The only code that reads and writes volume data. Blocking, for workers; a thread reads
 * back behind the front, callbacks come in the caller's thread only.
 */
#ifndef COPY_COPY_H
#define COPY_COPY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* Where bytes are. Filled in by a driver. */
struct endpoint {
	char path[PATH_MAX]; /* regular file or block device */
	bool zero_when_new; /* what was never written reads as zeroes, surely */
	uint64_t fresh_below; /* unused by files */
};

struct copy_progress {
	uint64_t total; /* size of the volume, bytes */
	uint64_t position; /* all before it has been read and written */
	uint64_t
		verified; /* all before it is durable and was read back: the checkpoint */
	uint64_t copied; /* data bytes written in this run */
	uint64_t skipped; /* zeroes and holes not written in this run */
	double rate; /* bytes of position per second, smoothed */
};

struct copy_options {
	uint64_t size; /* bytes to copy; both ends must have at least this much, and the
			 * source exactly this much when it is a file */
	uint64_t start; /* checkpoint to go on from; 0: from the beginning */
	bool target_is_new; /* T was made for this copy and nothing was written to it yet. Files
			     * are asked what they hold and need no such promise */
	uint64_t
		checkpoint_bytes; /* 0: 256 MiB; counts data, not holes; at most 1 GiB */
	double checkpoint_seconds; /* 0: 5 s */
	uint64_t rate_limit; /* bytes per second, 0: none */
	/* Progress, at most every 0.25 s and once at the end. -1 with *err stops the copy
	 * with that error (ERR_CANCELLED). May be NULL. */
	int (*on_progress)(
		void *arg, const struct copy_progress *progress, struct error *err);
	/* Everything below offset is durable on the target and was read back past caches.
	 * chain is the digest so far, to be given back as chain_start when resuming; both
	 * are needed, and start is an offset that was reported here. May be NULL. */
	int (*on_checkpoint)(
		void *arg, uint64_t offset, const char *chain, struct error *err);
	void *arg;
	char chain_start[40]; /* 32 hex digits, empty at the beginning */
};

struct copy_result {
	uint64_t copied, skipped; /* bytes of this run */
	double seconds;
	char digest
		[40]; /* chained XXH3-128 of all chunks that are not zeroes, and of the
		       * size: the receipt, 32 hex digits. copy/digest.h defines it; equal
		       * for one-shot and resumed copies */
};

/* Copy with read-back. Errors name the side and the offset: ERR_IO, ERR_NO_SPACE,
 * ERR_MISMATCH, or what the callbacks returned. Does not truncate or extend the target. */
int copy_run(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err);

/* Verify that target has the same bytes as source after the storage cloned it. Ranges
 * that the file system shares between both (FIEMAP) count as equal without being read;
 * all else is read and compared. *result: digest empty, copied 0. */
int copy_verify_clone(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err);

#endif
