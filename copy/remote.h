/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - an export of an NBD server, used asynchronously over several connections.
 *
 * A request starts with a call and ends within remote_poll(), which counts down what the
 * caller gave: an unsigned per buffer, window or whatever waits. Buffers are borrowed until
 * then, or until remote_close(). All calls from one thread. Errors name the server and the
 * offset; the first one is kept and every later remote_poll() returns it again.
 */
#ifndef COPY_REMOTE_H
#define COPY_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "copy/copy.h"
#include "copy/end.h"

#define REMOTE_CONNECTIONS 2
#define REMOTE_DEPTH 32 /* requests of one connection, at most */

struct nbd_handle;
struct remote;

#define REMOTE_MAP_EXTENTS 65536 /* kept of one answer; the rest is asked for again */

struct remote_extent {
	uint64_t end;
	bool zero; /* reads as zeroes */
};

/* What the server told of [from, to): in order, without gaps. */
struct remote_map {
	uint64_t from, to;
	struct remote_extent *extents;
	size_t used, room;
	size_t next; /* where the last question was answered */
};

void remote_map_clear(struct remote_map *map);
void remote_map_begin(struct remote_map *map, uint64_t offset);
/* False: no more is taken. */
bool remote_map_add(struct remote_map *map, uint64_t length, bool zero);
/* What offset is, and up to where; false: not known. */
bool remote_map_at(
	struct remote_map *map, uint64_t offset, uint64_t *until, bool *zero);

struct remote_request {
	struct remote *remote;
	struct remote_connection *connection; /* NULL: free */
	const char *what; /* "write" */
	uint64_t offset;
	unsigned *pending[2]; /* to be counted down, or NULL */
};

struct remote_connection {
	struct nbd_handle *nbd;
	bool corked; /* the kernel keeps what fills no packet */
	bool no_cork; /* it is no TCP */
	bool tls;
	unsigned used; /* requests that are not answered */
	struct remote_request requests[REMOTE_DEPTH + 2]; /* and a flush, a map */
};

struct remote {
	const char *role; /* "target" */
	const struct endpoint *end;
	char name[ENDPOINT_URI_SIZE]; /* nbd://host:port/export, or as it was given */
	double deadline_s;
	uint64_t size;
	uint64_t block; /* offsets and lengths are multiples of it; at most 64 KiB */
	size_t request_bytes; /* the most that one read or write takes */
	bool read_only;
	bool can_zero, can_flush;
	bool can_extents; /* it tells of holes: base:allocation */
	struct remote_connection connections[REMOTE_CONNECTIONS];
	unsigned count; /* of them */
	unsigned depth; /* requests of one connection at a time */
	unsigned used; /* requests that are not answered */
	uint64_t last_offset; /* of the request that was started last */
	double answered; /* clock_seconds() of the last answer, or of the first request */
	double polled; /* when remote_poll() returned last */
	int refused; /* errno of requests that an ending server did not carry out */
	uint64_t refused_offset;
	struct error error; /* what ended it */
};

/* Is the endpoint an export of an NBD server? */
bool endpoint_is_remote(const struct endpoint *end);

/* Connect, several times when the server allows it and connections is more than one. role
 * and end are borrowed. Fails with ERR_LOST, ERR_TIMEOUT, or what tick returned. */
int remote_open(const char *role, const struct endpoint *end, double deadline_s,
	unsigned connections, const struct end_wait *wait, struct remote **out,
	struct error *err);
void remote_close(struct remote *remote);
DEFINE_AUTO(struct remote *, remote_close)

/* May another request be started? Always so for a flush, when there is one at a time. */
bool remote_has_room(const struct remote *remote);

/* At most request_bytes at once. a and b are counted up now. */
int remote_write(struct remote *remote, const void *buffer, uint64_t offset,
	size_t length, unsigned *a, unsigned *b, struct error *err);
int remote_read(struct remote *remote, void *buffer, uint64_t offset, size_t length,
	unsigned *a, struct error *err);
/* Zeroes without sending them, when can_zero; at most REMOTE_ZERO_BYTES at once. */
#define REMOTE_ZERO_BYTES ((uint64_t)32 << 20)
int remote_zero(struct remote *remote, uint64_t offset, uint64_t length, unsigned *a,
	struct error *err);
/* Make durable what was answered before; offset is for errors only. */
int remote_flush(
	struct remote *remote, uint64_t offset, unsigned *a, struct error *err);

/* Begin map anew with what is known of [offset, limit), or a part of it from offset on, when
 * *a is counted down. */
int remote_extents(struct remote *remote, uint64_t offset, uint64_t limit,
	struct remote_map *map, unsigned *a, struct error *err);

/* For poll(2): one for each connection. */
unsigned remote_prepare(struct remote *remote, struct pollfd *fds);
int remote_serve(struct remote *remote, const struct pollfd *fds, struct error *err);
/* Send and receive for at most seconds, until something was answered. */
int remote_poll(struct remote *remote, double seconds, struct error *err);

/* For remote_connect.c: a failure that libnbd told of, as "what role 'name': why". */
int remote_error(const struct remote *remote, const char *what, struct error *err);

#endif
