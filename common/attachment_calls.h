/* SPDX-License-Identifier: Apache-2.0 */
/* attachment_calls.h - what the API tier asks the owner of a volume about its attachments, asked
 * by us: of our managers and of Python's. It blocks, for a bounded time. */
#ifndef COMMON_ATTACHMENT_CALLS_H
#define COMMON_ATTACHMENT_CALLS_H

#include "common/db.h"
#include "common/error.h"
#include "common/json.h"
#include "common/rpc.h"

struct attachment_call {
	struct rpc_client *client;
	struct db *db;
	const char *host; /* of the volume */
	const char *volume_id, *attachment_id;
};
/* attachment_update: the connection info, an object, the caller's; it is also kept in the
 * attachment's row. */
int attachment_call_update(const struct attachment_call *call,
	struct json_object *connector, struct json_object **out, struct error *err);
/* attachment_delete: nobody is served any more. The row is the caller's to end. */
int attachment_call_delete(const struct attachment_call *call, struct error *err);

#endif
