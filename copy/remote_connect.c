/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/text.h"
#include "copy/remote.h"

/* Measured on loopback: a server reads and decrypts the requests of one connection one after
 * the other, so it is given two. Few large requests take less of its time than many small
 * ones, above all where its threads wait for each other to write to one file. */
#define REQUEST_BYTES ((size_t)1 << 20)
#define DEPTH 4
/* A unix socket takes a request piece by piece while the server reads it: small ones stay in
 * the processor's cache on the way. */
#define LOCAL_REQUEST_BYTES ((size_t)256 << 10)
#define TICK_SECONDS 0.25
#define PATIENCE_SECONDS 5 /* of the kernel, beyond the deadline */

#define FULL_PIPE 1.25e9 /* bytes per second that the network may carry: 10 Gbit/s */

DEFINE_AUTO(struct addrinfo *, freeaddrinfo)
DEFINE_AUTO(struct nbd_handle *, nbd_close)

static bool has_tls(const struct remote *remote)
{
	const struct endpoint *end = remote->end;

	if (end->uri[0])
		return strncmp(end->uri, "nbds", 4) == 0;
	return end->nbd.username[0] != '\0';
}

bool endpoint_is_remote(const struct endpoint *end)
{
	return end->uri[0] || end->nbd.host[0];
}

/* Wait for *fd's events, ticking. 0 with *fd's revents; -1: the deadline is over, or tick
 * gave up. */
static int await(const struct remote *remote, struct pollfd *fd, double until,
	const struct end_wait *wait, struct error *err)
{
	for (;;) {
		int count = poll(fd, 1, (int)(TICK_SECONDS * 1e3));

		if (count > 0)
			return 0;
		if (count < 0 && errno != EINTR)
			return error_set_errno(err, ERR_INTERNAL,
				"cannot wait for %s '%s'", remote->role, remote->name);
		if (wait->tick && wait->tick(wait->arg, err) < 0)
			return -1;
		if (clock_seconds() >= until)
			return error_set(err, ERR_TIMEOUT,
				"cannot connect to %s '%s': no answer for %.0f s",
				remote->role, remote->name, remote->deadline_s);
	}
}

static int resolve(
	const struct remote *remote, struct addrinfo **out, struct error *err)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	char port[8];

	snprintf(port, sizeof(port), "%u", remote->end->nbd.port);
	if (getaddrinfo(remote->end->nbd.host, port, &hints, out) != 0)
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' is not the numeric address of a %s",
			remote->end->nbd.host, remote->role);
	return 0;
}

/* A peer that vanished is known also when nothing is asked of it. While something is, our
 * own deadline comes first, which knows the offset; GnuTLS loses the errno besides. */
static void tune(const struct remote *remote, int fd)
{
	const int on = 1, idle = 10, interval = 5, count = 3;
	const unsigned timeout_ms =
		(unsigned)((remote->deadline_s + PATIENCE_SECONDS) * 1e3);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static int refuse(const struct remote *remote, int errnum, struct error *err)
{
	errno = errnum;
	return error_set_errno(err, errnum == ETIMEDOUT ? ERR_TIMEOUT : ERR_LOST,
		"cannot connect to %s '%s'", remote->role, remote->name);
}

static int dial(const struct remote *remote, double until, const struct end_wait *wait,
	int *out, struct error *err)
{
	AUTO(freeaddrinfo) struct addrinfo *address = NULL;
	AUTO(fd) int fd = -1;
	int errnum = 0;
	socklen_t size = sizeof(errnum);

	if (resolve(remote, &address, err) < 0)
		return -1;
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(remote, errno, err);
	tune(remote, fd);
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 &&
		errno != EINPROGRESS && errno != EINTR)
		return refuse(remote, errno, err);
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	if (await(remote, &writable, until, wait, err) < 0)
		return -1;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &size);
	if (errnum)
		return refuse(remote, errnum, err);
	*out = steal_fd(&fd);
	return 0;
}

static int set_up(const struct remote *remote, struct nbd_handle *nbd)
{
	const struct endpoint_nbd *end = &remote->end->nbd;

	if (nbd_set_pread_initialize(nbd, false) < 0 ||
		nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0)
		return -1;
	if (remote->end->uri[0])
		return nbd_set_uri_allow_local_file(nbd, true);
	if (nbd_set_export_name(nbd, end->export) < 0)
		return -1;
	if (!has_tls(remote))
		return 0;
	if (nbd_set_tls(nbd, LIBNBD_TLS_REQUIRE) < 0 ||
		nbd_set_tls_username(nbd, end->username) < 0 ||
		nbd_set_tls_psk_file(nbd, end->psk_path) < 0)
		return -1;
	return 0;
}

static int shake_hands(const struct remote *remote, struct nbd_handle *nbd,
	double until, const struct end_wait *wait, struct error *err)
{
	while (nbd_aio_is_ready(nbd) == 0) {
		unsigned direction = nbd_aio_get_direction(nbd);
		struct pollfd fd = { .fd = nbd_aio_get_fd(nbd) };
		int failed;

		fd.events = direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : POLLOUT;
		if (await(remote, &fd, until, wait, err) < 0)
			return -1;
		failed = fd.events == POLLIN ? nbd_aio_notify_read(nbd)
					     : nbd_aio_notify_write(nbd);
		if (failed || nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd))
			return remote_error(remote, "connect to", err);
	}
	return 0;
}

/* libnbd knows how to reach a URI, and checks the name in the server's certificate. */
static int begin(const struct remote *remote, struct nbd_handle *nbd, double until,
	const struct end_wait *wait, struct error *err)
{
	AUTO(fd) int fd = -1;

	if (remote->end->uri[0])
		return nbd_aio_connect_uri(nbd, remote->end->uri) < 0
			? remote_error(remote, "connect to", err)
			: 0;
	if (dial(remote, until, wait, &fd, err) < 0)
		return -1;
	if (nbd_aio_connect_socket(nbd, fd) < 0)
		return remote_error(remote, "connect to", err);
	fd = -1; /* libnbd's now */
	return 0;
}

static int connect_one(
	struct remote *remote, const struct end_wait *wait, struct error *err)
{
	AUTO(nbd_close) struct nbd_handle *nbd = nbd_create();
	double until = clock_seconds() + remote->deadline_s;

	if (!nbd)
		return error_no_memory(err);
	if (set_up(remote, nbd) < 0)
		return remote_error(remote, "prepare a connection to", err);
	if (begin(remote, nbd, until, wait, err) < 0 ||
		shake_hands(remote, nbd, until, wait, err) < 0)
		return -1;
	tune(remote, nbd_aio_get_fd(nbd));
	remote->connections[remote->count].tls = nbd_get_tls_negotiated(nbd) > 0;
	remote->connections[remote->count++].nbd = steal(nbd);
	return 0;
}

static size_t request_bytes_of(int fd)
{
	struct sockaddr_storage own = { 0 };
	socklen_t size = sizeof(own);

	getsockname(fd, (struct sockaddr *)&own, &size);
	return own.ss_family == AF_UNIX ? LOCAL_REQUEST_BYTES : REQUEST_BYTES;
}

/* What the server said of the export. */
static int look(struct remote *remote, struct error *err)
{
	struct nbd_handle *nbd = remote->connections[0].nbd;
	int64_t size = nbd_get_size(nbd);
	int64_t least = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
	int64_t most = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);

	if (size < 0)
		return remote_error(remote, "ask the size of", err);
	remote->read_only = nbd_is_read_only(nbd) != 0;
	remote->can_extents =
		nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
	remote->size = (uint64_t)size;
	remote->block = least > 0 ? (uint64_t)least : 1;
	remote->request_bytes = request_bytes_of(nbd_aio_get_fd(nbd));
	if (most > 0 && (uint64_t)most < remote->request_bytes)
		remote->request_bytes = (size_t)most;
	remote->can_zero = nbd_can_zero(nbd) > 0;
	remote->can_flush = nbd_can_flush(nbd) > 0;
	return 0;
}

/* Enough requests to fill the way to the server and back. */
static unsigned depth_for(const struct remote *remote)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int fd = nbd_aio_get_fd(remote->connections[0].nbd);
	double way, depth;

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	way = FULL_PIPE * (double)info.tcpi_rtt * 1e-6;
	depth = DEPTH + way / (double)(remote->count * remote->request_bytes);
	return depth < REMOTE_DEPTH ? (unsigned)depth : REMOTE_DEPTH;
}

static void name_it(struct remote *remote)
{
	const struct endpoint_nbd *end = &remote->end->nbd;
	bool six = strchr(end->host, ':') != NULL;

	if (remote->end->uri[0])
		text_copy(remote->name, sizeof(remote->name), remote->end->uri);
	else
		snprintf(remote->name, sizeof(remote->name), "nbd://%s%s%s:%u/%s",
			six ? "[" : "", end->host, six ? "]" : "", end->port,
			end->export);
}

int remote_open(const char *role, const struct endpoint *end, double deadline_s,
	unsigned connections, const struct end_wait *wait, struct remote **out,
	struct error *err)
{
	AUTO(remote_close) struct remote *remote = calloc(1, sizeof(*remote));
	struct error error = { 0 };
	unsigned most =
		connections < REMOTE_CONNECTIONS ? connections : REMOTE_CONNECTIONS;

	if (!remote)
		return error_no_memory(err);
	remote->role = role;
	remote->end = end;
	remote->deadline_s = deadline_s;
	name_it(remote);
	if (connect_one(remote, wait, err) < 0 || look(remote, err) < 0)
		return -1;
	if (nbd_can_multi_conn(remote->connections[0].nbd) <= 0)
		most = 1;
	while (remote->count < most && connect_one(remote, wait, &error) == 0)
		;
	if (remote->count < most && error.code != ERR_LOST) {
		if (err)
			*err = error;
		return -1;
	}
	remote->depth = depth_for(remote);
	remote->polled = clock_seconds();
	log_debug("connected target=%s connections=%u depth=%u tls=%d", remote->name,
		remote->count, remote->depth, has_tls(remote));
	*out = steal(remote);
	return 0;
}
