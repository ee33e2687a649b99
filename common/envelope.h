/* SPDX-License-Identifier: Apache-2.0 */
/* envelope.h - oslo.messaging's envelope 2.0: requests, replies, failures.
 *
 * The body is {"oslo.version": "2.0", "oslo.message": "<JSON text>"}; the text inside is
 * the message. Everything that comes in is hostile until checked here.
 */
#ifndef COMMON_ENVELOPE_H
#define COMMON_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/json.h"
#include "common/rpc.h"

/* With the NUL. Real ones have 32 hex digits; no blanks, no control characters. */
#define UNIQUE_ID_SIZE 64

/* The message inside, an object. ERR_INVALID_INPUT. */
int envelope_open(const char *body, size_t length, struct json_object **message,
	struct error *err);
/* The body around message, malloc'd; NULL when out of memory. */
char *envelope_seal(struct json_object *message);

/* Read a request. out borrows from message, which gets empty args when it has none. */
int envelope_read_request(
	struct json_object *message, struct rpc_request *out, struct error *err);
/* The volume that a request is about, borrowed from args: volume_id, or the id in volume
 * or vref, or the volume_id in snapshot or request_spec. NULL: about none. The text is as
 * it came; it need not be an id. */
const char *envelope_volume_id(struct json_object *args);
/* args is borrowed, NULL: none. request_id NULL: a new one. reply NULL: a cast. */
struct json_object *envelope_request(const char *method, const char *version,
	const char *request_id, struct json_object *args,
	const struct rpc_address *reply);

/* The same request with the mark that it was sent on; message is borrowed. */
struct json_object *envelope_forward(struct json_object *message);

/* result is borrowed and may be NULL; failure NULL: it is the answer. */
struct json_object *envelope_reply(const struct rpc_address *to,
	struct json_object *result, const struct error *failure);
/* 1: the answer to the call with this id, *result is the caller's; 0: something else;
 * -1: malformed, or the failure that the peer sent (its code, its text). */
int envelope_read_reply(struct json_object *message, const char *id,
	struct json_object **result, struct error *err);

/* Same major, minor not newer than ours. False for anything that is no version. */
bool version_is_served(const char *ours, const char *asked);

#endif
