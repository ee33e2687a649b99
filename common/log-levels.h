/* SPDX-License-Identifier: Apache-2.0 */
/* log-levels.h - "cinder service-get-log" and "service-set-log": the RPC methods
 * get_log_levels and set_log_levels that all services have, and Cinder's LogLevel objects.
 *
 * A program has one level, shown as that of Cinder's top logger. */
#ifndef COMMON_LOG_LEVELS_H
#define COMMON_LOG_LEVELS_H

#include "common/error.h"
#include "common/json.h"
#include "common/rpc.h"

/* Handlers of the two methods; arg is not used. */
int log_levels_set(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int log_levels_get(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);

#endif
