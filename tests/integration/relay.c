/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "common/auto.h"
#include "common/text.h"

#define MAX_PAIRS 8

DEFINE_AUTO(PQconninfoOption *, PQconninfoFree)

struct pair {
	int client, server; /* -1: free */
	bool committing; /* a COMMIT went to the server */
};

struct relay {
	char *conninfo;
	struct sockaddr_in to;
	int listener, port;
	atomic_int mode;
	atomic_bool stop;
	pthread_t thread;
	struct pair pairs[MAX_PAIRS];
};

static void cut(struct pair *pair)
{
	if (pair->client < 0)
		return;
	close(pair->client);
	close(pair->server);
	*pair = (struct pair) { -1, -1, false };
}

static void accept_one(struct relay *relay)
{
	struct pair *pair = relay->pairs;
	int client = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);

	while (pair < relay->pairs + MAX_PAIRS && pair->client >= 0)
		pair++;
	if (client < 0)
		return;
	if (pair == relay->pairs + MAX_PAIRS || relay->mode == RELAY_REFUSE) {
		close(client);
		return;
	}
	pair->client = client;
	pair->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(pair->server, (struct sockaddr *)&relay->to, sizeof(relay->to)) < 0)
		cut(pair);
}

static bool send_all(int fd, const char *bytes, ssize_t count)
{
	while (count > 0) {
		ssize_t sent = send(fd, bytes, (size_t)count, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		count -= sent;
	}
	return true;
}

static bool from_client(struct relay *relay, struct pair *pair)
{
	char bytes[65536];
	ssize_t count = recv(pair->client, bytes, sizeof(bytes), 0);

	if (count <= 0)
		return false;
	if (memmem(bytes, (size_t)count, "commit", sizeof("commit"))) {
		if (relay->mode == RELAY_DROP_COMMIT)
			return false;
		pair->committing = true;
	}
	return send_all(pair->server, bytes, count);
}

static bool from_server(struct relay *relay, struct pair *pair)
{
	char bytes[65536];
	ssize_t count = recv(pair->server, bytes, sizeof(bytes), 0);

	if (count <= 0)
		return false;
	if (relay->mode == RELAY_DROP_ANSWER && pair->committing)
		return false;
	return relay->mode == RELAY_FREEZE || send_all(pair->client, bytes, count);
}

static void serve(struct relay *relay, struct pair *pair, const struct pollfd *fds)
{
	if ((fds[0].revents && !from_client(relay, pair)) ||
		(fds[1].revents && !from_server(relay, pair)) ||
		relay->mode == RELAY_REFUSE)
		cut(pair);
}

static void *forward(void *arg)
{
	struct relay *relay = arg;
	struct pollfd fds[1 + 2 * MAX_PAIRS];

	while (!relay->stop) {
		fds[0] = (struct pollfd) { .fd = relay->listener, .events = POLLIN };
		for (unsigned i = 0; i < MAX_PAIRS; i++) {
			fds[1 + 2 * i] = (struct pollfd) { .fd = relay->pairs[i].client,
				.events = POLLIN };
			fds[2 + 2 * i] = (struct pollfd) { .fd = relay->pairs[i].server,
				.events = POLLIN };
		}
		/* The time-out is for relay_set() and relay_stop(). */
		poll(fds, ARRAY_SIZE(fds), 20);
		for (unsigned i = 0; i < MAX_PAIRS; i++)
			if (relay->pairs[i].client >= 0)
				serve(relay, &relay->pairs[i], &fds[1 + 2 * i]);
		if (fds[0].revents)
			accept_one(relay);
	}
	for (unsigned i = 0; i < MAX_PAIRS; i++)
		cut(&relay->pairs[i]);
	return NULL;
}

static void find_server(struct relay *relay)
{
	AUTO(PQconninfoFree)
	PQconninfoOption *options = PQconninfoParse(relay->conninfo, NULL);

	assert_non_null(options);
	relay->to.sin_family = AF_INET;
	relay->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (PQconninfoOption *o = options; o->keyword; o++)
		if (strcmp(o->keyword, "port") == 0)
			relay->to.sin_port =
				htons((uint16_t)atoi(o->val ? o->val : "5432"));
}

static void listen_somewhere(struct relay *relay)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(any);

	relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(relay->listener, (struct sockaddr *)&any, size), 0);
	assert_int_equal(listen(relay->listener, 16), 0);
	getsockname(relay->listener, (struct sockaddr *)&any, &size);
	relay->port = ntohs(any.sin_port);
}

struct relay *relay_start(const char *conninfo)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	assert_non_null(relay);
	relay->conninfo = strdup(conninfo);
	for (unsigned i = 0; i < MAX_PAIRS; i++)
		relay->pairs[i] = (struct pair) { -1, -1, false };
	find_server(relay);
	listen_somewhere(relay);
	assert_int_equal(pthread_create(&relay->thread, NULL, forward, relay), 0);
	return relay;
}

void relay_stop(struct relay *relay)
{
	relay->stop = true;
	pthread_join(relay->thread, NULL);
	close(relay->listener);
	free(relay->conninfo);
	free(relay);
}

void relay_set(struct relay *relay, enum relay_mode mode)
{
	relay->mode = mode;
}

char *relay_conninfo(const struct relay *relay)
{
	/* The last one of a keyword counts. */
	return text_format(
		"%s host='127.0.0.1' port='%d'", relay->conninfo, relay->port);
}
