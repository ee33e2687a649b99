/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - the scheduler as a service: its RPC server, its heartbeat, its row. */
#ifndef SCHEDULER_SERVICE_H
#define SCHEDULER_SERVICE_H

#include "common/auto.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/settings.h"

struct scheduler;

/* Waits for broker and database in the loop, for as long as it takes. settings and loop
 * are borrowed. */
int scheduler_new(struct loop *loop, const struct settings *settings,
	struct scheduler **out, struct error *err);
void scheduler_free(struct scheduler *s);
DEFINE_AUTO(struct scheduler *, scheduler_free)

/* Say that the service is down, leave the loop; what is undecided stays in the queue. */
void scheduler_stop(struct scheduler *s);

#endif
