/* SPDX-License-Identifier: Apache-2.0 */
/* broker.h - one AMQP connection with one channel, and its frames as events.
 *
 * Every call is bounded in time. After a call failed with ERR_BROKER the connection is of
 * no use any more: close it. Nothing else sees librabbitmq. One thread per connection.
 */
#ifndef COMMON_BROKER_H
#define COMMON_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"

struct rpc_options;
struct broker;

/* Connect, log in and open the channel, all within timeout_s. stall_s bounds how long a
 * write may wait for a peer that does not read. */
int broker_open(const struct rpc_options *options, size_t host, double timeout_s,
	double stall_s, struct broker **out, struct error *err);
/* Close without a word: the broker takes back what was not acknowledged. */
void broker_close(struct broker *broker);
DEFINE_AUTO(struct broker *, broker_close)
/* Say goodbye first and wait for the answer, at most a second. */
void broker_close_politely(struct broker *broker);

/* Readable means: call broker_next() until it returns 0. */
int broker_fd(const struct broker *broker);
/* "host:port", for log lines. */
const char *broker_name(const struct broker *broker);
/* As negotiated; 0 when heartbeats are off. */
int broker_heartbeat_s(const struct broker *broker);

struct broker_queue {
	const char *name;
	bool durable, auto_delete, quorum;
	bool transient; /* a fanout or reply queue: only which option an error names */
	int expires_s; /* 0: never */
};
/* A queue or exchange that exists with other flags is ERR_CONFIG, naming the option. */
int broker_declare_exchange(struct broker *broker, const char *name, const char *type,
	bool durable, bool auto_delete, struct error *err);
int broker_declare_queue(
	struct broker *broker, const struct broker_queue *queue, struct error *err);
int broker_bind(struct broker *broker, const char *queue, const char *exchange,
	const char *key, struct error *err);
/* At most prefetch unacknowledged messages per consumer that comes later. */
int broker_prefetch(struct broker *broker, int prefetch, struct error *err);
int broker_consume(struct broker *broker, const char *queue, const char *consumer,
	struct error *err);
int broker_ack(struct broker *broker, uint64_t tag, struct error *err);
int broker_reject(struct broker *broker, uint64_t tag, struct error *err); /* drop it */

/* Ask for confirms: publications are numbered from 1. */
int broker_confirm(struct broker *broker, struct error *err);
struct publication {
	const char *exchange; /* "": the default exchange */
	const char *key;
	bool mandatory;
	int64_t expiration_ms; /* 0: none */
	const char *body;
	size_t length;
};
/* *number is what a BROKER_CONFIRMED or BROKER_REFUSED event will name. */
int broker_publish(struct broker *broker, const struct publication *publication,
	uint64_t *number, struct error *err);

enum broker_event_kind {
	BROKER_DELIVERY,
	BROKER_CONFIRMED, /* publications up to (multiple) or with this number */
	BROKER_REFUSED,
	BROKER_RETURNED, /* the publication waited for now found no queue */
	BROKER_CONSUMER_LOST, /* the broker cancelled a consumer */
	BROKER_BLOCKED, /* an alarm: publications are not read */
	BROKER_UNBLOCKED,
};
struct broker_event {
	enum broker_event_kind kind;
	uint64_t tag; /* of a delivery; number of a publication */
	bool multiple;
	bool redelivered;
	char text[256]; /* consumer of a delivery; otherwise for a person */
	const char *body; /* borrowed until the next call; NULL when it was too large */
	uint64_t size; /* of the body, also when it was too large */
};
/* Wait up to timeout_s (0: only look) for an event. 1, 0 when there was none, -1 when the
 * connection is lost; the error says why. Sends and checks heartbeats. */
int broker_next(struct broker *broker, double timeout_s, struct broker_event *event,
	struct error *err);

#endif
