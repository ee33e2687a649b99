/* SPDX-License-Identifier: Apache-2.0 */
/* An end that is a regular file or a block device. */
#include <assert.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "copy/digest.h"
#include "copy/end.h"
#include "copy/file_io.h"

/* Measured: direct I/O wants a few MiB under way; through the page cache more than two
 * threads bring nothing, and neither does io_uring, but to have the next chunks ready for
 * them does. */
#define RING_BUFFERS 16
#define DIRECT_THREADS 4
#define CACHE_THREADS 2
#define CACHE_BUFFERS 8
#define REQUESTS 64

/* Of one step: what a device that cannot clear at once takes in less than a second. */
#define CLEAR_BYTES ((uint64_t)32 << 20)

struct end_path {
	struct end end;
	struct side side;
	struct ring *ring; /* or */
	struct pool *pool;
	const struct endpoint *endpoint;
	bool blank; /* a device of zeroes: nothing tells where it has none */
	bool full; /* a file without holes: to look for one takes long in memory */
	/* The last extent of a file that was found, looking from asked on. What this copy
	 * writes since need not be known: it asks of what it has not written. */
	uint64_t asked, data, hole;
	unsigned used;
	struct file_request requests[REQUESTS];
	struct file_request *free;
	struct error error; /* the first one */
};

static struct end_path *of(struct end *end)
{
	return (struct end_path *)end; /* its first member */
}

static void path_close(struct end *end)
{
	struct end_path *path = of(end);

	if (path->ring)
		ring_close(path->ring);
	if (path->pool)
		pool_close(path->pool);
	side_close(&path->side);
	free(path);
}

static bool path_has_room(const struct end *end)
{
	return ((const struct end_path *)end)->used < REQUESTS - 2;
}

int file_request_perform(
	const struct side *side, struct file_request *request, struct error *err)
{
	switch (request->op) {
	case FILE_READ:
		return side_read(
			side, request->buffer, request->offset, request->length, err);
	case FILE_WRITE:
		return side_write(
			side, request->buffer, request->offset, request->length, err);
	case FILE_FLUSH:
		return side_flush(side, err);
	case FILE_CALL:
		return request->run(request->arg, err);
	}
	return error_set(err, ERR_INTERNAL, "no such request");
}

static void end_request(struct end_path *path, struct file_request *request)
{
	if (request->answer < 0 && !path->error.code)
		path->error = request->error;
	for (size_t i = 0; i < ARRAY_SIZE(request->pending); i++)
		if (request->pending[i])
			--*request->pending[i];
	request->next = path->free;
	path->free = request;
	path->used--;
}

static int start(struct end_path *path, const struct file_request *what, unsigned *a,
	unsigned *b, struct error *err)
{
	struct file_request *request = path->free;
	int done;

	assert(request);
	path->free = request->next;
	*request = *what;
	request->pending[0] = a;
	request->pending[1] = b;
	for (size_t i = 0; i < ARRAY_SIZE(request->pending); i++)
		if (request->pending[i])
			++*request->pending[i];
	path->used++;
	done = path->ring ? ring_start(path->ring, request, err)
			  : pool_start(path->pool, request, err);
	return done;
}

static int path_read(struct end *end, void *buffer, uint64_t offset, size_t length,
	unsigned *a, struct error *err)
{
	const struct file_request request = {
		.op = FILE_READ,
		.buffer = buffer,
		.offset = offset,
		.length = length,
	};

	return start(of(end), &request, a, NULL, err);
}

/* The last bytes of a file that are no whole block cannot be written directly. */
static int path_write(struct end *end, const void *buffer, uint64_t offset,
	size_t length, unsigned *a, unsigned *b, struct error *err)
{
	struct end_path *path = of(end);
	const size_t rest = path->ring ? length % SIDE_ALIGNMENT : 0;
	const char *from = buffer;
	const struct file_request request = {
		.op = FILE_WRITE,
		.buffer = (void *)(uintptr_t)buffer,
		.offset = offset,
		.length = length - rest,
	};

	if (rest &&
		side_write(&path->side, from + request.length, offset + request.length,
			rest, err) < 0)
		return -1;
	return request.length ? start(path, &request, a, b, err) : 0;
}

static int path_zero(struct end *end, uint64_t offset, uint64_t length, unsigned *a,
	struct error *err)
{
	struct end_path *path = of(end);

	(void)a;
	path->hole = 0; /* what was found may be gone */
	return side_zero(&path->side, offset, length, err);
}

static int path_flush(struct end *end, uint64_t offset, unsigned *a, struct error *err)
{
	const struct file_request request = { .op = FILE_FLUSH, .offset = offset };

	return start(of(end), &request, a, NULL, err);
}

static int path_call(struct end *end, int (*run)(void *arg, struct error *err),
	void *arg, unsigned *a, struct error *err)
{
	const struct file_request request = { .op = FILE_CALL, .run = run, .arg = arg };

	assert(end->threads);
	return start(of(end), &request, a, NULL, err);
}

static int path_extent(struct end *end, uint64_t offset, uint64_t limit, uint64_t *data,
	uint64_t *hole, struct error *err)
{
	struct end_path *path = of(end);
	const struct endpoint *endpoint = path->endpoint;

	if (endpoint->next_data)
		return endpoint->next_data(
			endpoint->arg, offset, limit, data, hole, err);
	if (path->blank || path->full) {
		*data = path->full ? offset : limit;
		*hole = limit;
		return 0;
	}
	if (offset < path->asked || offset >= path->hole) {
		if (side_extent(&path->side, offset, &path->data, &path->hole, err) < 0)
			return -1;
		path->asked = offset;
	}
	*data = path->data > offset ? path->data : offset;
	*data = *data < limit ? *data : limit;
	*hole = path->hole < limit ? path->hole : limit;
	return 0;
}

static void path_forget(struct end *end, uint64_t from, uint64_t to)
{
	of(end)->hole = 0;
	if (!end->in_memory)
		side_forget(&of(end)->side, from, to - from);
}

static unsigned path_prepare(struct end *end, struct pollfd *fds)
{
	struct end_path *path = of(end);

	if (path->ring)
		ring_prepare(path->ring, fds);
	else
		pool_prepare(path->pool, fds);
	return 1;
}

static int path_serve(
	struct end *end, const struct pollfd *fds, unsigned count, struct error *err)
{
	struct end_path *path = of(end);
	struct file_request *request;

	(void)count;
	if (path->pool && fds->revents)
		pool_seen(path->pool);
	while (path->used > 0) {
		request = path->ring ? ring_next(path->ring) : pool_next(path->pool);
		if (!request)
			break;
		end_request(path, request);
	}
	if (!path->error.code)
		return 0;
	if (err)
		*err = path->error;
	return -1;
}

static const struct end_ops ops = {
	.close = path_close,
	.has_room = path_has_room,
	.read = path_read,
	.write = path_write,
	.zero = path_zero,
	.flush = path_flush,
	.extent = path_extent,
	.call = path_call,
	.forget = path_forget,
	.prepare = path_prepare,
	.serve = path_serve,
};

/* Its files are in the page cache, whatever way they are opened. */
static bool lives_in_memory(const struct side *side)
{
	struct statfs fs;

	return side->is_file && fstatfs(side->fd, &fs) == 0 &&
		(fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static bool has_no_hole(const struct side *side)
{
	struct stat st;

	return fstat(side->fd, &st) == 0 &&
		(uint64_t)st.st_blocks * 512 >= (uint64_t)st.st_size;
}

static bool has_no_data(const struct side *side)
{
	uint64_t data, hole;
	struct error ignored;

	return side->is_file && side_extent(side, 0, &data, &hole, &ignored) == 0 &&
		data == UINT64_MAX;
}

static int choose_io(
	struct end_path *path, const struct end_options *options, struct error *err)
{
	bool direct;

	path->end.in_memory = lives_in_memory(&path->side);
	path->full =
		path->end.in_memory && !options->writable && has_no_hole(&path->side);
	direct = path->side.direct >= 0 && !path->end.in_memory;
	path->end.buffers = direct ? RING_BUFFERS : CACHE_BUFFERS;
	path->end.read_back = direct ? COPY_VERIFIED_STORAGE : COPY_VERIFIED_CACHE;
	if (direct && !path->endpoint->no_uring &&
		ring_open(&path->side, &path->ring, err) < 0)
		return -1;
	path->end.threads = !path->ring;
	return path->ring
		? 0
		: pool_open(&path->side, direct ? DIRECT_THREADS : CACHE_THREADS,
			  &path->pool, err);
}

static void fill_in(struct end_path *path, const struct end_options *options)
{
	struct end *end = &path->end;

	end->name = path->side.path;
	end->size = path->side.size;
	end->block = 1;
	end->transfer_bytes = CHUNK_SIZE;
	end->zero_bytes = CLEAR_BYTES;
	end->side = &path->side;
	end->was_empty = options->writable && has_no_data(&path->side);
	path->data = path->hole = end->was_empty ? UINT64_MAX : 0;
	path->blank =
		options->blank && path->endpoint->zero_when_new && !path->side.is_file;
	for (size_t i = 0; i < REQUESTS; i++) {
		path->requests[i].next = path->free;
		path->free = &path->requests[i];
	}
}

int end_open_path(const char *role, const struct endpoint *endpoint,
	const struct end_options *options, struct end **out, struct error *err)
{
	AUTO(end_close) struct end *end = NULL;
	struct end_path *path = calloc(1, sizeof(*path));

	if (!path)
		return error_no_memory(err);
	end = &path->end;
	end->ops = &ops;
	end->role = role;
	path->endpoint = endpoint;
	path->side = (struct side) { .fd = -1, .direct = -1 };
	if (side_open(&path->side, role, endpoint, options->writable, err) < 0)
		return -1;
	fill_in(path, options);
	if (choose_io(path, options, err) < 0)
		return -1;
	*out = steal(end);
	return 0;
}
