/* SPDX-License-Identifier: Apache-2.0 */
/* messages.h - user messages: what "cinder message-list" shows. */
#ifndef COMMON_STORE_MESSAGES_H
#define COMMON_STORE_MESSAGES_H

#include "common/db.h"
#include "common/error.h"

/* Cinder's numbers of what was tried ... */
#define MESSAGE_SCHEDULE "001" /* allocate a volume */
#define MESSAGE_EXTEND "007"
#define MESSAGE_CREATE "008" /* create a volume from backend storage */
#define MESSAGE_SNAPSHOT_CREATE "009"
#define MESSAGE_SNAPSHOT_DELETE "010"
/* ... and of what went wrong. */
#define MESSAGE_NO_BACKEND "003" /* no valid one */
#define MESSAGE_EXTEND_FAILED "010"
#define MESSAGE_CREATE_FAILED "012"
#define MESSAGE_SNAPSHOT_CREATE_FAILED "013"
#define MESSAGE_SNAPSHOT_BUSY "015"
#define MESSAGE_SNAPSHOT_DELETE_FAILED "016"

/* About a volume or a snapshot, for the project of its row; nothing when there is no such
 * row or no project. May be part of a transaction. */
int store_message_volume(struct db *db, const char *volume_id, const char *request_id,
	const char *action, const char *detail, struct error *err);
int store_message_snapshot(struct db *db, const char *snapshot_id,
	const char *request_id, const char *action, const char *detail,
	struct error *err);

#endif
