/* SPDX-License-Identifier: Apache-2.0 */
/* replies.h - answers to calls, kept while the broker cannot take them.
 *
 * At most 256 wait in memory; each is tried for 60 s, and for 10 s when its queue does not
 * exist (a caller whose connection is coming back). Then it is dropped with a log line.
 */
#ifndef COMMON_REPLIES_H
#define COMMON_REPLIES_H

#include "common/auto.h"
#include "common/error.h"
#include "common/rpc.h"

struct loop;
struct publisher;
struct replies;

/* publisher is borrowed. */
int replies_new(struct loop *loop, struct publisher *publisher, struct replies **out,
	struct error *err);
void replies_free(struct replies *replies);
DEFINE_AUTO(struct replies *, replies_free)

/* As rpc_reply(). Sends it now unless others wait already. */
void replies_send(struct replies *replies, const struct rpc_address *to,
	struct json_object *result, const struct error *failure);

#endif
