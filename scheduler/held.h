/* SPDX-License-Identifier: Apache-2.0 */
/* held.h - requests that wait for the first reports after a start.
 *
 * They cannot wait in the queue, because the reports come behind them. */
#ifndef SCHEDULER_HELD_H
#define SCHEDULER_HELD_H

#include <stddef.h>

#include "common/error.h"
#include "common/rpc.h"

#define HELD_MAX 1000

struct scheduler;

enum {
	STEP_FAILED = -1,
	STEP_DONE = 0,
	STEP_WAIT = 1, /* again after the next report, or a second */
};
typedef int (*request_step)(
	struct scheduler *s, const struct rpc_request *request, struct error *err);

struct held_request;
struct held {
	struct held_request *first;
	size_t count;
};

/* Run a step, and keep the request if it has to wait. As an RPC handler returns. */
int held_run(struct scheduler *s, request_step step, const struct rpc_request *request,
	struct error *err);
/* Run the steps of all that wait once more. */
void held_retry(struct scheduler *s);
void held_clear(struct held *held);

#endif
