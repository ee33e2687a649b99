/* SPDX-License-Identifier: Apache-2.0 */
/* An end that is an export of an NBD server. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "copy/digest.h"
#include "copy/end.h"
#include "copy/remote.h"

#define DEADLINE_SECONDS 30.0

struct end_server {
	struct end end;
	struct remote *remote;
	struct end_wait wait;
	/* Nothing was written from there on, and it reads as zeroes. */
	uint64_t blank_from;
	void *zeroes; /* transfer_bytes of them, for a server that cannot clear */
	struct remote_map map; /* what it told of holes */
	unsigned asked; /* questions for it that are not answered */
};

static struct end_server *of(struct end *end)
{
	return (struct end_server *)end; /* its first member */
}

static void server_close(struct end *end)
{
	struct end_server *server = of(end);

	if (server->remote)
		remote_close(server->remote);
	remote_map_clear(&server->map);
	free(server->zeroes);
	free(server);
}

static bool server_has_room(const struct end *end)
{
	return remote_has_room(((const struct end_server *)end)->remote);
}

static int server_read(struct end *end, void *buffer, uint64_t offset, size_t length,
	unsigned *a, struct error *err)
{
	return remote_read(of(end)->remote, buffer, offset, length, a, err);
}

static int server_write(struct end *end, const void *buffer, uint64_t offset,
	size_t length, unsigned *a, unsigned *b, struct error *err)
{
	return remote_write(of(end)->remote, buffer, offset, length, a, b, err);
}

static int server_zero(struct end *end, uint64_t offset, uint64_t length, unsigned *a,
	struct error *err)
{
	struct end_server *server = of(end);

	assert(length <= end->zero_bytes);
	if (server->remote->can_zero)
		return remote_zero(server->remote, offset, length, a, err);
	return remote_write(
		server->remote, server->zeroes, offset, (size_t)length, a, NULL, err);
}

static int server_flush(
	struct end *end, uint64_t offset, unsigned *a, struct error *err)
{
	return remote_flush(of(end)->remote, offset, a, err);
}

/* Servers answer as far as they like, at least to the end of one extent. */
static int ask(
	struct end_server *server, uint64_t offset, uint64_t limit, struct error *err)
{
	const struct end_wait *wait = &server->wait;

	if (remote_extents(server->remote, offset, limit, &server->map, &server->asked,
		    err) < 0)
		return -1;
	while (server->asked > 0) {
		if (wait->tick && wait->tick(wait->arg, err) < 0)
			return -1;
		if (remote_poll(server->remote, 0.25, err) < 0)
			return -1;
	}
	return 0;
}

static int server_extent(struct end *end, uint64_t offset, uint64_t limit,
	uint64_t *data, uint64_t *hole, struct error *err)
{
	struct end_server *server = of(end);
	struct remote_map *map = &server->map;
	uint64_t until;
	bool zero = true;

	*data = offset >= server->blank_from ? limit : offset;
	*hole = limit;
	if (offset >= server->blank_from || !server->remote->can_extents)
		return 0;
	for (; offset < limit && zero; offset = zero ? until : offset) {
		*data = offset;
		if (remote_map_at(map, offset, &until, &zero))
			continue;
		if (ask(server, offset, limit, err) < 0)
			return -1;
		/* An answer that says nothing: it may be data. */
		if (!remote_map_at(map, offset, &until, &zero))
			return 0;
	}
	*data = offset < limit ? offset : limit;
	*hole = zero || until > limit ? limit : until;
	return 0;
}

/* What a server told of holes before may be over, and what is read back was written. */
static void server_forget(struct end *end, uint64_t from, uint64_t to)
{
	struct end_server *server = of(end);

	server->blank_from = to > server->blank_from ? to : server->blank_from;
	remote_map_begin(&server->map, from);
}

static unsigned server_prepare(struct end *end, struct pollfd *fds)
{
	return remote_prepare(of(end)->remote, fds);
}

static int server_serve(
	struct end *end, const struct pollfd *fds, unsigned count, struct error *err)
{
	assert(count == of(end)->remote->count);
	(void)count;
	return remote_serve(of(end)->remote, fds, err);
}

static const struct end_ops ops = {
	.close = server_close,
	.has_room = server_has_room,
	.read = server_read,
	.write = server_write,
	.zero = server_zero,
	.flush = server_flush,
	.extent = server_extent,
	.forget = server_forget,
	.prepare = server_prepare,
	.serve = server_serve,
};

static int fill_in(struct end_server *server, struct error *err)
{
	const struct remote *remote = server->remote;
	struct end *end = &server->end;

	end->name = remote->name;
	end->size = remote->size;
	end->block = remote->block;
	end->transfer_bytes = remote->request_bytes;
	end->zero_bytes = REMOTE_ZERO_BYTES;
	end->only_connection = remote->count == 1;
	end->clears_cheaply = remote->can_zero;
	end->buffers = (unsigned)(remote->count * remote->depth *
			       remote->request_bytes / CHUNK_SIZE) +
		2;
	end->read_back = COPY_VERIFIED_SERVER;
	if (remote->can_zero)
		return 0;
	end->zero_bytes = end->transfer_bytes;
	server->zeroes = calloc(1, end->transfer_bytes);
	return server->zeroes ? 0 : error_no_memory(err);
}

int end_open_server(const char *role, const struct endpoint *endpoint,
	const struct end_options *options, struct end **out, struct error *err)
{
	const double deadline_s =
		options->deadline_s > 0 ? options->deadline_s : DEADLINE_SECONDS;
	const unsigned connections = options->one_connection ? 1 : REMOTE_CONNECTIONS;
	AUTO(end_close) struct end *end = NULL;
	struct end_server *server = calloc(1, sizeof(*server));

	if (!server)
		return error_no_memory(err);
	end = &server->end;
	end->ops = &ops;
	end->role = role;
	server->wait = options->wait;
	server->blank_from = options->blank && endpoint->zero_when_new ? 0 : UINT64_MAX;
	if (remote_open(role, endpoint, deadline_s, connections, &options->wait,
		    &server->remote, err) < 0)
		return -1;
	if (options->writable && server->remote->read_only)
		return error_set(err, ERR_IO, "%s '%s' cannot be written", role,
			server->remote->name);
	if (fill_in(server, err) < 0)
		return -1;
	*out = steal(end);
	return 0;
}
