/* SPDX-License-Identifier: Apache-2.0 */
/* inbox.h - what happens to a message between its delivery and its acknowledgement.
 *
 * A message is acknowledged after its handler returned. One whose handler found no database
 * waits and is tried again; whatever comes later waits behind it, so nothing overtakes. One
 * that met a locked row, that the broker did not take to be sent on, or that its handler
 * cannot decide yet, is set aside: only later messages about the same volume wait for it. What waits is bounded by the prefetch.
 * A message that ended the process before, more than once, is rejected.
 */
#ifndef COMMON_INBOX_H
#define COMMON_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/broker.h"
#include "common/error.h"
#include "common/rpc.h"

struct loop;
struct link;
struct replies;
struct inbox;

#define RECENT_IDS 64

/* One RPC server of this process. */
struct service {
	char *topic, *server, *version, *fanout_queue;
	const struct rpc_method *methods;
	void *arg;
	char recent[RECENT_IDS][64]; /* unique ids of the messages handled last */
	unsigned next_recent;
};

/* replies and suspects_path (may be NULL) are borrowed; inbox_set_link() comes before the
 * first delivery. */
int inbox_new(struct loop *loop, struct replies *replies, const char *suspects_path,
	struct inbox **out, struct error *err);
void inbox_free(struct inbox *inbox);
DEFINE_AUTO(struct inbox *, inbox_free)
void inbox_set_link(struct inbox *inbox, struct link *link);

/* A message for service arrived. */
void inbox_deliver(
	struct inbox *inbox, struct service *service, const struct broker_event *event);
/* The connection is gone: messages that wait stay, their delivery tags do not. */
void inbox_forget_tags(struct inbox *inbox);
/* The connection was closed, and what waits is the broker's again: forget it. */
void inbox_give_back(struct inbox *inbox);
/* Messages that were set aside by their handlers (RPC_WAIT) are due. */
void inbox_try_again(struct inbox *inbox);
/* No more handlers are called. True when one is running just now. */
bool inbox_stop(struct inbox *inbox);

#endif
