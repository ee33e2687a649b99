/* SPDX-License-Identifier: Apache-2.0 */
/* file_io.h - transfers of a file or block device that go on by themselves: io_uring where
 * the kernel lets us and the storage can do without the page cache, otherwise threads.
 *
 * A request ends within file_io_end(). What io_uring did in part or not at all is done
 * again by a blocking call, whose error is the one that counts.
 */
#ifndef COPY_FILE_IO_H
#define COPY_FILE_IO_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "copy/fifo.h"
#include "copy/side.h"

enum file_op { FILE_READ, FILE_WRITE, FILE_FLUSH, FILE_CALL };

struct file_request {
	enum file_op op;
	void *buffer;
	uint64_t offset;
	size_t length;
	int (*run)(void *arg, struct error *err); /* FILE_CALL */
	void *arg;
	unsigned *pending[2]; /* counted down when it ended, or NULL */
	struct file_request *next; /* of those that are free */
	struct fifo_link link; /* of a pool */
	int answer; /* of a thread */
	struct error error;
};

struct ring;
struct pool;

/* The blocking call. From any thread. */
int file_request_perform(
	const struct side *side, struct file_request *request, struct error *err);

/* *out stays NULL where io_uring is not to be had. side is borrowed. */
int ring_open(const struct side *side, struct ring **out, struct error *err);
/* Waits for what the kernel is doing. */
void ring_close(struct ring *ring);
bool ring_has_room(const struct ring *ring);
/* request is borrowed until ring_next() gives it back. */
int ring_start(struct ring *ring, struct file_request *request, struct error *err);
void ring_prepare(struct ring *ring, struct pollfd *fd);
/* One that ended, or NULL. Its answer and error are set. */
struct file_request *ring_next(struct ring *ring);

/* Threads are started as they are needed, at most threads. */
int pool_open(const struct side *side, unsigned threads, struct pool **out,
	struct error *err);
/* Waits for calls that are under way; what was not begun is forgotten. */
void pool_close(struct pool *pool);
/* The descriptor tells of each one that ended; of a FILE_CALL when no other one waits. */
int pool_start(struct pool *pool, struct file_request *request, struct error *err);
void pool_prepare(struct pool *pool, struct pollfd *fd);
/* The descriptor was readable: before pool_next(), until that answers NULL. */
void pool_seen(struct pool *pool);
struct file_request *pool_next(struct pool *pool);

#endif
