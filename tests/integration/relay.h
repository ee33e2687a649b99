/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h - a TCP relay in front of PostgreSQL that breaks connections exactly where a
 * test wants it.
 *
 * A thread of its own; relay_set() takes effect for bytes that arrive afterwards.
 */
#ifndef TESTS_INTEGRATION_RELAY_H
#define TESTS_INTEGRATION_RELAY_H

enum relay_mode {
	RELAY_PASS,
	RELAY_DROP_COMMIT, /* cut when a COMMIT comes: the server never sees it */
	RELAY_DROP_ANSWER, /* cut when a COMMIT was answered: the client never knows */
	RELAY_FREEZE, /* answers are not handed on, connections stay */
	RELAY_REFUSE /* new connections are closed, old ones cut */
};

struct relay;

/* Forwards to host and port of the connection string. Fails the test on error. */
struct relay *relay_start(const char *conninfo);
void relay_stop(struct relay *relay);
void relay_set(struct relay *relay, enum relay_mode mode);
/* The connection string that leads through the relay, malloc'd. */
char *relay_conninfo(const struct relay *relay);

#endif
