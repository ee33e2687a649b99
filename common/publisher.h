/* SPDX-License-Identifier: Apache-2.0 */
/* publisher.h - the publishing connection, with confirms.
 *
 * A publication waits for its confirm, at most confirm_timeout_s in all: connecting,
 * declaring and a second try on a new connection included. While the broker reports an
 * alarm (connection.blocked) publications fail at once.
 */
#ifndef COMMON_PUBLISHER_H
#define COMMON_PUBLISHER_H

#include <stdbool.h>

#include "common/auto.h"
#include "common/broker.h"
#include "common/error.h"

struct loop;
struct rpc_options;
struct publisher;

/* loop NULL: no watchers; heartbeats and reconnecting happen in publisher_send() only. */
int publisher_new(struct loop *loop, const struct rpc_options *options,
	struct publisher **out, struct error *err);
void publisher_free(struct publisher *publisher);
DEFINE_AUTO(struct publisher *, publisher_free)

/* Connect now unless connected; ERR_BROKER when the next attempt is not due yet. */
int publisher_connect(struct publisher *publisher, struct error *err);
/* The same, due or not. */
int publisher_connect_now(struct publisher *publisher, struct error *err);
/* ERR_UNROUTABLE: mandatory, and no queue took it. ERR_BROKER: not confirmed; it may or
 * may not have arrived. fanout: the exchange is declared first. */
int publisher_send(struct publisher *publisher, const struct publication *publication,
	bool fanout, struct error *err);

#endif
