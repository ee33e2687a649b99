/* SPDX-License-Identifier: Apache-2.0 */
/* rpc-names.h - names of queues and exchanges, as oslo.messaging makes them. */
#ifndef COMMON_RPC_NAMES_H
#define COMMON_RPC_NAMES_H

#include "common/error.h"

#define ROUTING_KEY_SIZE 256 /* AMQP's short strings have at most 255 bytes */

/* "topic" or "topic.server"; the queue and its routing key. */
int name_queue(char out[ROUTING_KEY_SIZE], const char *topic, const char *server,
	struct error *err);
/* "topic_fanout"; the exchange. */
int name_fanout(char out[ROUTING_KEY_SIZE], const char *topic, struct error *err);

#endif
