/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what a capability report says: the args of update_service_capabilities and
 * notify_service_capabilities. Whatever is malformed is ERR_INVALID_INPUT. */
#ifndef SCHEDULER_REPORT_H
#define SCHEDULER_REPORT_H

#include "common/error.h"
#include "common/json.h"
#include "scheduler/pools.h"

/* The backend, checked; borrowed. */
int report_name(struct json_object *args, const char **out, struct error *err);
/* When it was made: ISO 8601 with or without a fraction, so that texts compare as times
 * do. Missing: now. */
int report_timestamp(struct json_object *args, char out[32], struct error *err);
/* Fill the pools of out, whose name and timestamp are set. After a failure there may be
 * pools too: free them. */
int report_pools(struct json_object *capabilities, double default_ratio,
	struct backend *out, struct error *err);

#endif
