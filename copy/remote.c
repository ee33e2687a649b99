/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/remote.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/text.h"

#define GOODBYE_SECONDS 0.2
#define MAP_BYTES ((uint64_t)0xffff0000) /* asked for at once: 32 bits */
#define RECORDS 8 /* of TLS that are sent for one answer of poll(2) */
#define AWAY_SECONDS 0.5 /* between two polls; longer is not the server's fault */

/* libnbd puts the names of its functions in front. */
static const char *reason(void)
{
	const char *text = nbd_get_error();
	const char *colon;

	while (text && strncmp(text, "nbd_", 4) == 0 && (colon = strstr(text, ": ")))
		text = colon + 2;
	return text && *text ? text : "the connection was closed";
}

static bool is_connection_error(int errnum)
{
	return errnum == ECONNREFUSED || errnum == ECONNRESET || errnum == EPIPE ||
		errnum == EHOSTUNREACH || errnum == ENETUNREACH;
}

int remote_error(const struct remote *remote, const char *what, struct error *err)
{
	int errnum = nbd_get_errno();
	/* libnbd has no errno for it. */
	bool closed = errnum == 0 && strstr(reason(), "disconnected unexpectedly");
	enum error_code code = errnum == ETIMEDOUT      ? ERR_TIMEOUT
		: closed || is_connection_error(errnum) ? ERR_LOST
							: ERR_IO;

	error_set(err, code, "cannot %s %s '%s': %s", what, remote->role, remote->name,
		reason());
	if (err)
		err->errnum = errnum;
	return -1;
}

static uint64_t lowest_offset(const struct remote *remote)
{
	uint64_t lowest = UINT64_MAX;

	for (unsigned i = 0; i < remote->count; i++)
		for (unsigned j = 0; j < ARRAY_SIZE(remote->connections[i].requests);
			j++) {
			const struct remote_request *request =
				&remote->connections[i].requests[j];
			if (request->connection && request->offset < lowest)
				lowest = request->offset;
		}
	return lowest == UINT64_MAX ? remote->last_offset : lowest;
}

/* The connection ended. libnbd answers what was under way with ENOTCONN, which says less
 * than the reason. */
static int lost(struct remote *remote, uint64_t offset, struct error *err)
{
	int errnum = nbd_get_errno();

	if (errnum == ETIMEDOUT)
		return error_set(err, ERR_TIMEOUT,
			"%s '%s' did not answer at offset %" PRIu64, remote->role,
			remote->name, offset);
	error_set(err, ERR_LOST, "%s '%s' went away at offset %" PRIu64 ": %s",
		remote->role, remote->name, offset, reason());
	if (err)
		err->errnum = errnum;
	return -1;
}

/* libnbd sends each TLS record by itself. Without this every one is a packet of its own, which
 * costs both sides a sixth of their time with TLS over loopback. Without TLS it tells the
 * kernel itself what belongs together, and this would cost a tenth. */
static void cork(struct remote_connection *connection, bool on)
{
	const int value = on;

	if (!connection->tls || connection->corked == on || connection->no_cork)
		return;
	connection->no_cork = setsockopt(nbd_aio_get_fd(connection->nbd), IPPROTO_TCP,
				      TCP_CORK, &value, sizeof(value)) < 0;
	connection->corked = on && !connection->no_cork;
}

static bool is_open(const struct remote_connection *connection)
{
	return nbd_aio_is_ready(connection->nbd) > 0 ||
		nbd_aio_is_processing(connection->nbd) > 0;
}

static int on_answer(void *arg, int *error)
{
	struct remote_request *request = arg;
	struct remote *remote = request->remote;

	if (*error == 0) {
		remote->answered = clock_seconds();
	} else if (*error == ENOTCONN || *error == ESHUTDOWN) {
		/* From libnbd when the connection ended, which knows better why; or from a
		 * server that is asked to end and goes on answering so. */
		remote->refused = *error;
		remote->refused_offset = request->offset;
	} else if (!remote->error.code) {
		errno = *error;
		error_set_errno(&remote->error, ERR_IO,
			"cannot %s %s '%s' at offset %" PRIu64, request->what,
			remote->role, remote->name, request->offset);
	}
	for (size_t i = 0; i < ARRAY_SIZE(request->pending); i++)
		if (request->pending[i])
			--*request->pending[i];
	request->connection->used--;
	remote->used--;
	request->connection = NULL;
	return 1; /* libnbd forgets it */
}

static struct remote_connection *most_idle(const struct remote *remote)
{
	const struct remote_connection *best = &remote->connections[0];

	for (unsigned i = 1; i < remote->count; i++)
		if (remote->connections[i].used < best->used)
			best = &remote->connections[i];
	return (struct remote_connection *)(uintptr_t)best;
}

bool remote_has_room(const struct remote *remote)
{
	return most_idle(remote)->used < remote->depth;
}

static struct remote_request *request_new(struct remote *remote, const char *what,
	uint64_t offset, unsigned *a, unsigned *b)
{
	struct remote_connection *connection = most_idle(remote);
	struct remote_request *request = connection->requests;

	while (request->connection)
		request++;
	assert(request - connection->requests <= REMOTE_DEPTH + 1);
	*request = (struct remote_request) {
		.remote = remote,
		.connection = connection,
		.what = what,
		.offset = offset,
		.pending = { a, b },
	};
	for (size_t i = 0; i < ARRAY_SIZE(request->pending); i++)
		if (request->pending[i])
			++*request->pending[i];
	if (remote->used == 0)
		remote->answered = clock_seconds();
	connection->used++;
	remote->used++;
	remote->last_offset = offset;
	return request;
}

/* cookie is what libnbd said to the request, which may be answered already. A connection
 * that was lost while it was sent counts as success there. */
static int started(struct remote *remote, const struct remote_connection *connection,
	uint64_t offset, int64_t cookie, struct error *err)
{
	if (cookie >= 0 && is_open(connection))
		return 0;
	if (!remote->error.code)
		lost(remote, offset, &remote->error);
	if (err)
		*err = remote->error;
	return -1;
}

static nbd_completion_callback answer_to(struct remote_request *request)
{
	return (nbd_completion_callback) {
		.callback = on_answer,
		.user_data = request,
	};
}

int remote_write(struct remote *remote, const void *buffer, uint64_t offset,
	size_t length, unsigned *a, unsigned *b, struct error *err)
{
	struct remote_request *request = request_new(remote, "write", offset, a, b);
	struct remote_connection *connection = request->connection;

	cork(connection, true);
	return started(remote, connection, offset,
		nbd_aio_pwrite(
			connection->nbd, buffer, length, offset, answer_to(request), 0),
		err);
}

int remote_read(struct remote *remote, void *buffer, uint64_t offset, size_t length,
	unsigned *a, struct error *err)
{
	struct remote_request *request = request_new(remote, "read", offset, a, NULL);
	struct remote_connection *connection = request->connection;

	return started(remote, connection, offset,
		nbd_aio_pread(
			connection->nbd, buffer, length, offset, answer_to(request), 0),
		err);
}

int remote_zero(struct remote *remote, uint64_t offset, uint64_t length, unsigned *a,
	struct error *err)
{
	struct remote_request *request = request_new(remote, "clear", offset, a, NULL);
	struct remote_connection *connection = request->connection;

	assert(length <= REMOTE_ZERO_BYTES);
	return started(remote, connection, offset,
		nbd_aio_zero(connection->nbd, length, offset, answer_to(request), 0),
		err);
}

static int on_extents(void *arg, const char *metacontext, uint64_t offset,
	uint32_t *entries, size_t count, int *error)
{
	struct remote_map *map = arg;

	(void)error;
	if (strcmp(metacontext, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
		offset != map->from)
		return 0;
	for (size_t i = 0; i + 1 < count; i += 2)
		if (!remote_map_add(
			    map, entries[i], entries[i + 1] & LIBNBD_STATE_ZERO))
			break;
	return 0;
}

int remote_extents(struct remote *remote, uint64_t offset, uint64_t limit,
	struct remote_map *map, unsigned *a, struct error *err)
{
	uint64_t most = MAP_BYTES - offset % remote->block;
	uint64_t length = limit - offset < most ? limit - offset : most;
	struct remote_request *request = request_new(remote, "map", offset, a, NULL);
	struct remote_connection *connection = request->connection;
	const nbd_extent_callback extents = { .callback = on_extents,
		.user_data = map };

	remote_map_begin(map, offset);
	return started(remote, connection, offset,
		nbd_aio_block_status(connection->nbd, length, offset, extents,
			answer_to(request), 0),
		err);
}

int remote_flush(struct remote *remote, uint64_t offset, unsigned *a, struct error *err)
{
	struct remote_request *request;
	struct remote_connection *connection;

	if (!remote->can_flush)
		return 0;
	request = request_new(remote, "flush", offset, a, NULL);
	connection = request->connection;
	return started(remote, connection, offset,
		nbd_aio_flush(connection->nbd, answer_to(request), 0), err);
}

/* Nothing more to write: what the kernel has kept goes out. */
static void want(struct remote_connection *connection, struct pollfd *out)
{
	unsigned direction = nbd_aio_get_direction(connection->nbd);

	if (!(direction & LIBNBD_AIO_DIRECTION_WRITE))
		cork(connection, false);
	*out = (struct pollfd) { .fd = nbd_aio_get_fd(connection->nbd) };
	if (direction & LIBNBD_AIO_DIRECTION_READ)
		out->events |= POLLIN;
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		out->events |= POLLOUT;
}

/* With TLS libnbd sends one record and wants to be called again. A socket that took one has
 * room for more; when it has not, the next call says so and changes nothing. This must not
 * be done to read: where a reply begins libnbd takes for granted that there is one, and
 * would wait for it before it goes on sending. */
static int send_records(const struct remote_connection *connection)
{
	int failed = nbd_aio_notify_write(connection->nbd);

	for (int i = 1; i < RECORDS && connection->tls && !failed; i++) {
		if (!(nbd_aio_get_direction(connection->nbd) &
			    LIBNBD_AIO_DIRECTION_WRITE))
			break;
		failed = nbd_aio_notify_write(connection->nbd);
	}
	return failed;
}

/* An error or a hang-up is found by the read or write that libnbd wants. */
static int serve(const struct remote_connection *connection, const struct pollfd *seen)
{
	bool over = seen->revents & (POLLERR | POLLHUP | POLLNVAL);

	if (seen->revents & POLLIN || (over && seen->events & POLLIN))
		return nbd_aio_notify_read(connection->nbd);
	if (seen->revents & POLLOUT || over)
		return send_records(connection);
	return 0;
}

static int serve_all(struct remote *remote, const struct pollfd *fds, struct error *err)
{
	uint64_t offset = lowest_offset(remote);

	for (unsigned i = 0; i < remote->count; i++) {
		const struct remote_connection *connection = &remote->connections[i];
		int failed = fds[i].revents ? serve(connection, &fds[i]) : 0;

		if (!remote->error.code && (failed || !is_open(connection)))
			lost(remote, offset, &remote->error);
	}
	if (!remote->error.code && remote->refused) {
		errno = remote->refused;
		error_set_errno(&remote->error, ERR_LOST,
			"%s '%s' is ending at offset %" PRIu64, remote->role,
			remote->name, remote->refused_offset);
	}
	if (!remote->error.code)
		return 0;
	if (err)
		*err = remote->error;
	return -1;
}

static int check_deadline(struct remote *remote, double now, struct error *err)
{
	if (remote->used == 0 || now - remote->answered < remote->deadline_s)
		return 0;
	error_set(&remote->error, ERR_TIMEOUT,
		"%s '%s' has not answered for %.1f s at offset %" PRIu64, remote->role,
		remote->name, now - remote->answered, lowest_offset(remote));
	if (err)
		*err = remote->error;
	return -1;
}

unsigned remote_prepare(struct remote *remote, struct pollfd *fds)
{
	for (unsigned i = 0; i < remote->count; i++)
		want(&remote->connections[i], &fds[i]);
	return remote->count;
}

static int repeat(const struct remote *remote, struct error *err)
{
	if (err)
		*err = remote->error;
	return -1;
}

int remote_serve(struct remote *remote, const struct pollfd *fds, struct error *err)
{
	double now = clock_seconds();

	if (remote->error.code)
		return repeat(remote, err);
	if (now - remote->polled > AWAY_SECONDS)
		remote->answered += now - remote->polled;
	remote->polled = now;
	if (serve_all(remote, fds, err) < 0)
		return -1;
	return check_deadline(remote, now, err);
}

int remote_poll(struct remote *remote, double seconds, struct error *err)
{
	struct pollfd fds[REMOTE_CONNECTIONS];

	if (remote->error.code)
		return repeat(remote, err);
	remote_prepare(remote, fds);
	if (poll(fds, remote->count, (int)(seconds * 1e3 + 0.999)) < 0) {
		if (errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL,
				"cannot wait for %s '%s'", remote->role, remote->name);
		return 0;
	}
	return remote_serve(remote, fds, err);
}

static bool is_closed(const struct remote *remote)
{
	for (unsigned i = 0; i < remote->count; i++)
		if (is_open(&remote->connections[i]))
			return false;
	return true;
}

/* Servers log an error when a connection just ends. Bounded: nothing depends on it. */
static void say_goodbye(struct remote *remote)
{
	double until = clock_seconds() + GOODBYE_SECONDS;

	for (unsigned i = 0; i < remote->count; i++)
		nbd_aio_disconnect(remote->connections[i].nbd, 0);
	while (!is_closed(remote) && clock_seconds() < until) {
		struct pollfd fds[REMOTE_CONNECTIONS];

		for (unsigned i = 0; i < remote->count; i++)
			want(&remote->connections[i], &fds[i]);
		poll(fds, remote->count, 10);
		for (unsigned i = 0; i < remote->count; i++)
			if (fds[i].revents)
				serve(&remote->connections[i], &fds[i]);
	}
}

void remote_close(struct remote *remote)
{
	if (!remote->error.code && remote->used == 0)
		say_goodbye(remote);
	for (unsigned i = 0; i < remote->count; i++)
		nbd_close(remote->connections[i].nbd);
	free(remote);
}
