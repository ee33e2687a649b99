/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - the consuming connection, in the loop.
 *
 * Connects, lets its owner declare what it consumes, hands over deliveries one by one, and
 * does it all again after any loss. librabbitmq reads ahead, so a quiet socket can hide
 * whole messages: the link always drains until there is nothing left, and a timer at half
 * the heartbeat interval does so too, because heartbeats live inside library calls.
 */
#ifndef COMMON_LINK_H
#define COMMON_LINK_H

#include <stdbool.h>

#include "common/auto.h"
#include "common/broker.h"
#include "common/error.h"

struct loop;
struct rpc_options;
struct link;

struct link_owner {
	/* On each new connection: exchanges, queues, consumers. A failure drops it. */
	int (*declare)(void *arg, struct broker *broker, struct error *err);
	/* All is declared. */
	void (*on_up)(void *arg);
	/* The connection is gone, and with it all delivery tags. */
	void (*on_down)(void *arg);
	/* A BROKER_DELIVERY. Must not free the link; link_lost() and link_stop() are fine. */
	void (*on_delivery)(void *arg, const struct broker_event *event);
	void *arg;
};

int link_new(struct loop *loop, const struct rpc_options *options,
	const struct link_owner *owner, struct link **out, struct error *err);
void link_free(struct link *link);
DEFINE_AUTO(struct link *, link_free)

/* Connect as soon as the loop runs. No effect when it has started. */
void link_start(struct link *link);
/* Close, and connect no more until told otherwise; unacknowledged messages go back to
 * their queues. */
void link_pause(struct link *link, bool paused);
/* Close for good; unacknowledged messages go back to their queues. */
void link_stop(struct link *link);
/* NULL while there is no connection. */
struct broker *link_broker(struct link *link);
/* The owner's use of link_broker() failed: begin again. */
void link_lost(struct link *link, const struct error *reason);

#endif
