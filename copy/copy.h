/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - copies the bytes of one endpoint to another, verified and resumable.
 *
 * The only code that reads and writes volume data. Blocking, for workers; a thread reads
 * back behind the front, callbacks come in the caller's thread only (but read_back).
 */
#ifndef COPY_COPY_H
#define COPY_COPY_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* An export of an NBD server. */
struct endpoint_nbd {
	char host[64]; /* numeric IPv4 or IPv6 address; empty: the endpoint is a path */
	uint16_t port;
	char export[256]; /* its name */
	char username[256]; /* TLS with this identity's pre-shared key; empty: no TLS */
	char psk_path[PATH_MAX]; /* file with the key: "username:hex digits" */
};

#define ENDPOINT_URI_SIZE 4096

/* Where bytes are: one of path, uri and nbd. Filled in by a driver or by endpoint_parse(). */
struct endpoint {
	char path[PATH_MAX]; /* regular file or block device */
	char uri[ENDPOINT_URI_SIZE]; /* NBD as libnbd's nbd_connect_uri(3) has it */
	struct endpoint_nbd nbd; /* when it has a host */
	bool zero_when_new; /* what was never written reads as zeroes, surely */
	bool no_uring; /* a path: threads even where io_uring would be faster */
	/* What only its driver knows, of a source that is a path: *data becomes the first
	 * offset in [offset, end) that may hold something, or end; *hole the first one after
	 * it that surely does not, at most end. NULL: the file system is asked. Called in the
	 * thread of the copy. */
	int (*next_data)(void *arg, uint64_t offset, uint64_t end, uint64_t *data,
		uint64_t *hole, struct error *err);
	void *arg;
};

/* From a command line: a path, "nbd://", "nbds://", "nbd+unix://" or "nbds+unix://"
 * (nbd-uri(7)). ERR_USAGE for another scheme, or when it is too long. */
int endpoint_parse(const char *text, struct endpoint *out, struct error *err);
/* How messages name it: the path or the URI. */
const char *endpoint_name(const struct endpoint *end);

enum endpoint_kind { ENDPOINT_FILE, ENDPOINT_DEVICE, ENDPOINT_SERVER };

/* What an endpoint is now. Of a server only the size can be known; of a device nothing
 * tells whether it was written to. */
struct endpoint_facts {
	enum endpoint_kind kind;
	uint64_t size; /* bytes */
	uint64_t device, inode; /* of a device: its number, 0 */
	int64_t mtime_ns; /* of a file */
	uint64_t allocated; /* of a file, bytes */
};

/* Look at it: opens a path for reading only, connects to a server (for at most deadline_s
 * seconds, 0: 30). role is "source" or "target". ERR_IO, ERR_TIMEOUT. */
int endpoint_look(const struct endpoint *end, const char *role, double deadline_s,
	struct endpoint_facts *out, struct error *err);

/* May be changed by any thread while the copy runs; followed within half a second. */
struct copy_control {
	_Atomic uint64_t rate_limit; /* bytes per second, 0: none */
	atomic_bool paused;
	atomic_bool cancelled; /* the copy ends with ERR_CANCELLED */
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

/* What a chunk of 1 MiB, or the shorter last one, holds: XXH3-128 in canonical form; all
 * bytes 0 for a chunk that is all zeroes. */
struct copy_digest {
	unsigned char bytes[16];
};

enum copy_verify {
	COPY_VERIFY_READBACK,
	COPY_VERIFY_NONE, /* nothing is read back, no digest, no receipt */
};

/* How the target was verified. */
enum copy_verified {
	COPY_VERIFIED_NOT,
	COPY_VERIFIED_STORAGE, /* read past the page cache of its host */
	COPY_VERIFIED_CACHE, /* a file system without direct I/O: dropped from the cache first */
	COPY_VERIFIED_SERVER, /* read through the NBD server, whose cache may have answered */
};

struct copy_options {
	uint64_t size; /* bytes to copy; both ends must have at least this much, and the
			 * source exactly this much when it is a file */
	uint64_t start; /* checkpoint to go on from; 0: from the beginning */
	bool target_is_new; /* T was made for this copy and nothing was written to it yet. Files
			     * are asked what they hold and need no such promise */
	uint64_t
		checkpoint_bytes; /* the most that a killed copy copies again, about; counts
				    * data, not holes. 0: 256 MiB; at most 1 GiB */
	double checkpoint_seconds; /* likewise; 0: 5 s */
	uint64_t rate_limit; /* bytes per second, 0: none */
	struct copy_control *control; /* NULL: none; its rate limit counts then */
	enum copy_verify verify;
	/* Progress, at most every half second and once at the end. -1 with *err stops the copy
	 * with that error (ERR_CANCELLED). May be NULL. */
	int (*on_progress)(
		void *arg, const struct copy_progress *progress, struct error *err);
	/* Everything below offset is durable on the target and, unless nothing is verified,
	 * was read back past caches. chain is the digest so far, to be given back as chain_start when resuming; both
	 * are needed, and start is an offset that was reported here. May be NULL. */
	int (*on_checkpoint)(
		void *arg, uint64_t offset, const char *chain, struct error *err);
	void *arg;
	char chain_start[40]; /* 32 hex digits, empty at the beginning */

	double deadline_s; /* NBD: ERR_TIMEOUT when no request is answered for so long; 0:
			    * 30 s */

	/* The rest is for a target that is NBD. */
	/* Have the target's host run copy_read_back() on [from, to), which is flushed, and
	 * fill one digest for each chunk of it: count is copy_digest_count(from, to), at
	 * most COPY_READ_BACK_CHUNKS. NULL: what
	 * was written is read back through the server, which may have it from a cache. Called in a thread of the copy, one call at a
	 * time, while the callbacks above may run; the time it takes is its own affair. */
	int (*read_back)(void *arg, uint64_t from, uint64_t to,
		struct copy_digest *digests, size_t count, struct error *err);
	/* Called in the caller's thread when the copy fails while read_back may be running:
	 * make it return soon, and fail from now on. copy_run() waits for it. May be NULL
	 * when read_back is quick by itself. */
	void (*read_back_stop)(void *arg);
};

struct copy_result {
	uint64_t copied, skipped; /* bytes of this run */
	double seconds;
	enum copy_verified verified;
	char digest
		[40]; /* chained XXH3-128 of all chunks that are not zeroes, and of the
		       * size: the receipt, 32 hex digits. copy/digest.h defines it; equal
		       * for one-shot and resumed copies. Empty: not verified */
};

/* Copy. Errors name the side and the offset: ERR_IO,
 * ERR_NO_SPACE, ERR_MISMATCH, ERR_TIMEOUT from NBD, ERR_LOST when a connection ended and the
 * copy may go on from the checkpoint, ERR_CANCELLED, or what the callbacks returned. Does not
 * truncate or extend the target. */
int copy_run(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err);

/* Where source and target are files of one file system that can (XFS, btrfs), have the
 * target share the source's blocks: 1; 0: it cannot, nothing happened. Both of size bytes;
 * durable on return. */
int copy_clone(const struct endpoint *source, const struct endpoint *target,
	uint64_t size, struct error *err);

/* Verify that target has the same bytes as source after the storage cloned it. Ranges
 * that the file system shares between both (FIEMAP) count as equal without being read;
 * all else is read and compared. *result: digest empty, copied 0. */
int copy_verify_clone(const struct endpoint *source, const struct endpoint *target,
	const struct copy_options *options, struct copy_result *result,
	struct error *err);

#define COPY_READ_BACK_CHUNKS 16384 /* 16 GiB: the most that is asked for at once */

/* Chunks of [from, to): from is a multiple of 1 MiB, to is too or is the volume's size. */
size_t copy_digest_count(uint64_t from, uint64_t to);

/* The other half of a copy to NBD, on the target's host: make local durable, read [from, to)
 * of it past the page cache and fill count digests. What the file system knows as holes is
 * zeroes and not read. ERR_IO, or ERR_INVALID_INPUT when count or the range is wrong. */
int copy_read_back(const struct endpoint *local, uint64_t from, uint64_t to,
	struct copy_digest *digests, size_t count, struct error *err);

/* Digests as text for a message: ASCII without quotes, at most 33 bytes each, a run of
 * zeroes in a few bytes. *text is malloc'd. */
int copy_digests_to_text(const struct copy_digest *digests, size_t count, char **text,
	struct error *err);
/* ERR_INVALID_INPUT when text does not have exactly count digests. */
int copy_digests_from_text(
	const char *text, struct copy_digest *digests, size_t count, struct error *err);

#endif
