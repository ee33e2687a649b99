/* SPDX-License-Identifier: Apache-2.0 */
/* connections.h - connections that were handed out without an export and without an
 * attachment: initialize_connection of a backend that hosts reach by themselves. */
#ifndef COMMON_STORE_CONNECTIONS_H
#define COMMON_STORE_CONNECTIONS_H

#include <stddef.h>

#include "common/db.h"
#include "common/error.h"

struct connection_request {
	const char *volume_id;
	const char
		*volume_host; /* what was looked at: ERR_DB_RETRY when it has moved */
	const char *peer; /* the connector's host, may be empty */
	const char *request_id;
};
/* One transaction; one row for each peer. ERR_INVALID_VOLUME while the volume migrates, or
 * when this very request was served and its connection is closed again. */
int store_connection_hand_out(
	struct db *db, const struct connection_request *request, struct error *err);
/* terminate_connection (peer), remove_export and the like (NULL: all). Part of a
 * transaction. Returns how many. */
int store_connections_close_locked(
	struct db *db, const char *volume_id, const char *peer, struct error *err);
/* Who has one? 1 and one peer; 0 nobody. */
int store_connection_peer(struct db *db, const char *volume_id, char *peer, size_t size,
	struct error *err);
/* Nobody has one, who might be writing: ERR_INVALID_VOLUME. doing: "be deleted". */
struct volume;
int store_connection_none(struct db *db, const struct volume *volume, const char *doing,
	struct error *err);

#endif
