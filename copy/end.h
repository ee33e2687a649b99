/* SPDX-License-Identifier: Apache-2.0 */
/* end.h - one end of a copy, whatever it is: the interface between the copy and storage.
 *
 * A request starts with a call and ends within end_serve(), which counts down what the
 * caller gave: an unsigned per buffer, window or whatever waits. Buffers are borrowed until
 * then, or until end_close(). All calls come from one thread. Errors name the end and the
 * offset; the first one is kept, and every later end_serve() returns it again.
 *
 * A new kind of storage is a new end_ops and a case in end_open().
 */
#ifndef COPY_END_H
#define COPY_END_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "copy/copy.h"

#define END_ALIGNMENT 4096 /* of buffers, and of their room */
#define END_FDS 4 /* that one end waits for, at most */

struct end;
struct side;

struct end_ops {
	void (*close)(struct end *end);
	/* May another request be started? One at a time may always, of flush. */
	bool (*has_room)(const struct end *end);
	/* At most transfer_bytes. A read may fill the buffer's room up to a multiple of
	 * END_ALIGNMENT. */
	int (*read)(struct end *end, void *buffer, uint64_t offset, size_t length,
		unsigned *a, struct error *err);
	int (*write)(struct end *end, const void *buffer, uint64_t offset,
		size_t length, unsigned *a, unsigned *b, struct error *err);
	/* Have it read as zeroes, free its space where the storage can; at most zero_bytes. */
	int (*zero)(struct end *end, uint64_t offset, uint64_t length, unsigned *a,
		struct error *err);
	/* Make durable what ended before. offset is for errors only. */
	int (*flush)(struct end *end, uint64_t offset, unsigned *a, struct error *err);
	/* *data becomes the first offset in [offset, limit) that may hold something other
	 * than zeroes, or limit; *hole the first after *data that surely does not, as far as
	 * is known, at most limit. What is being written may be reported either way. */
	int (*extent)(struct end *end, uint64_t offset, uint64_t limit, uint64_t *data,
		uint64_t *hole, struct error *err);
	/* Read the range from the storage from now on, not from a cache of this host. It is
	 * durable. */
	void (*forget)(struct end *end, uint64_t from, uint64_t to);
	/* With threads: have one of them run it. */
	int (*call)(struct end *end, int (*run)(void *arg, struct error *err),
		void *arg, unsigned *a, struct error *err);
	/* Fill fds with what it waits for; how many. Sends what was started. */
	unsigned (*prepare)(struct end *end, struct pollfd *fds);
	/* After poll(2). */
	int (*serve)(struct end *end, const struct pollfd *fds, unsigned count,
		struct error *err);
};

struct end {
	const struct end_ops *ops;
	const char *role; /* "source" or "target" */
	const char *name; /* path or URI */
	uint64_t size;
	uint64_t block; /* offsets and lengths are multiples of it, at most 64 KiB */
	size_t transfer_bytes;
	uint64_t zero_bytes;
	bool threads; /* its calls block, and run in threads */
	bool in_memory; /* a file that is nowhere but in the page cache */
	bool was_empty; /* a file that had no data when it was opened */
	bool only_connection; /* to a server that has no second one for us */
	bool clears_cheaply; /* zeroing is no work as writing is */
	unsigned buffers; /* of CHUNK_SIZE that keep it busy */
	const struct side *side; /* a path; NULL otherwise */
	enum copy_verified read_back; /* what reading it proves */
};

/* What to do while waiting for a server, every quarter of a second: -1 gives up. */
struct end_wait {
	int (*tick)(void *arg, struct error *err);
	void *arg;
};

struct end_options {
	bool writable;
	bool blank; /* nothing was written to it, and that reads as zeroes */
	bool one_connection; /* to a server: for little */
	double deadline_s; /* of a server */
	struct end_wait wait;
};

/* role and endpoint are borrowed. */
int end_open(const char *role, const struct endpoint *endpoint,
	const struct end_options *options, struct end **out, struct error *err);
void end_close(struct end *end);
DEFINE_AUTO(struct end *, end_close)

/* Which end_open() chooses from. */
int end_open_path(const char *role, const struct endpoint *endpoint,
	const struct end_options *options, struct end **out, struct error *err);
int end_open_server(const char *role, const struct endpoint *endpoint,
	const struct end_options *options, struct end **out, struct error *err);

/* Go on with what is under way on both (other may be NULL), for at most seconds, until
 * something ended or wake, an eventfd (-1: none), was readable and has been read. */
int end_poll(struct end *end, struct end *other, int wake, double seconds,
	struct error *err);

/* Length bytes at offset, waiting for them; buffer has room for a multiple of
 * END_ALIGNMENT. On failure *pending may be borrowed until end_close(), as buffer is. */
int end_fetch(struct end *end, void *buffer, uint64_t offset, size_t length,
	unsigned *pending, const struct end_wait *wait, struct error *err);

#endif
