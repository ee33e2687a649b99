/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "common/log.h"
#include "copy/file_io.h"

#define ENTRIES 64

struct ring {
	struct io_uring uring;
	const struct side *side;
	unsigned used; /* requests that the kernel has */
	unsigned unsent;
};

int ring_open(const struct side *side, struct ring **out, struct error *err)
{
	AUTO(free) struct ring *ring = calloc(1, sizeof(*ring));
	int failed;

	if (!ring)
		return error_no_memory(err);
	failed = io_uring_queue_init(ENTRIES, &ring->uring, 0);
	if (failed) {
		/* Forbidden, or too little memory may be locked. */
		log_debug("no io_uring side=%s errno=%d", side->role, -failed);
		return 0;
	}
	io_uring_ring_dontfork(&ring->uring);
	ring->side = side;
	*out = steal(ring);
	return 0;
}

void ring_close(struct ring *ring)
{
	struct io_uring_cqe *seen;

	if (ring->unsent)
		io_uring_submit(&ring->uring);
	/* The buffers are the kernel's until then. */
	while (ring->used > 0) {
		int failed = io_uring_wait_cqe(&ring->uring, &seen);

		if (failed && failed != -EINTR)
			break;
		if (failed)
			continue;
		io_uring_cqe_seen(&ring->uring, seen);
		ring->used--;
	}
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

bool ring_has_room(const struct ring *ring)
{
	return ring->used < ENTRIES - 2;
}

/* Direct transfers are of whole blocks: a read may fill more of its buffer, the end of a
 * volume that is no whole block is written by the caller. */
int ring_start(struct ring *ring, struct file_request *request, struct error *err)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
	const size_t rest = request->length % SIDE_ALIGNMENT;
	const size_t whole = request->length + (rest ? SIDE_ALIGNMENT - rest : 0);
	const int fd = ring->side->direct;

	if (!entry)
		return error_set(err, ERR_INTERNAL, "no room in the ring");
	if (request->op == FILE_READ)
		io_uring_prep_read(
			entry, fd, request->buffer, (unsigned)whole, request->offset);
	else if (request->op == FILE_WRITE)
		io_uring_prep_write(entry, fd, request->buffer,
			(unsigned)request->length, request->offset);
	else
		io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(entry, request);
	ring->used++;
	ring->unsent++;
	return 0;
}

static void submit(struct ring *ring)
{
	int sent;

	if (ring->unsent == 0)
		return;
	sent = io_uring_submit(&ring->uring);
	if (sent > 0)
		ring->unsent -= (unsigned)sent;
}

void ring_prepare(struct ring *ring, struct pollfd *fd)
{
	submit(ring);
	*fd = (struct pollfd) { .fd = ring->uring.ring_fd, .events = POLLIN };
}

static void finish(struct ring *ring, struct file_request *request, int result)
{
	const size_t done = result > 0 ? (size_t)result : 0;

	request->answer = 0;
	if (request->op == FILE_FLUSH ? result == 0 : done >= request->length)
		return;
	if (done % SIDE_ALIGNMENT == 0) {
		request->buffer = (char *)request->buffer + done;
		request->offset += done;
		request->length -= done;
	}
	request->answer = file_request_perform(ring->side, request, &request->error);
}

struct file_request *ring_next(struct ring *ring)
{
	struct io_uring_cqe *seen;
	struct file_request *request;
	int result;

	if (ring->used == 0 || io_uring_peek_cqe(&ring->uring, &seen) != 0)
		return NULL;
	request = io_uring_cqe_get_data(seen);
	result = seen->res;
	io_uring_cqe_seen(&ring->uring, seen);
	ring->used--;
	finish(ring, request, result);
	return request;
}
