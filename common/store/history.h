/* SPDX-License-Identifier: Apache-2.0 */
/* history.h - what happened to an operation, for people. */
#ifndef COMMON_STORE_HISTORY_H
#define COMMON_STORE_HISTORY_H

#include <stdint.h>

#include "common/db.h"
#include "common/error.h"

/* One change of phase. */
struct transition {
	char at[40]; /* "2024-05-01T12:00:00.123456", UTC */
	char from[16], to[16]; /* names of phases */
	char why[256];
	int64_t epoch;
};

/* Oldest first; *list is malloc'd. Returns their number. */
int store_history(struct db *db, const char *operation_id, struct transition **list,
	struct error *err);

/* Why the volume could not be made: 1 and the sentence, 0 when nobody wrote one. */
int store_create_reason(struct db *db, const char *volume_id, char *out, size_t size,
	struct error *err);

#endif
