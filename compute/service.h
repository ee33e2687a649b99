/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - drover-compute as a service: its RPC server, its threads, its swaps. */
#ifndef COMPUTE_SERVICE_H
#define COMPUTE_SERVICE_H

#include <stdbool.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/rpc.h"
#include "common/settings.h"
#include "compute/jobs.h"
#include "compute/orders.h"

#define COMPUTE_TOPIC "drover-compute"
#define COMPUTE_RPC_VERSION "1.0"

struct compute {
	struct loop *loop;
	struct hypervisor hypervisor;
	struct rpc *rpc;
	struct jobs *orders; /* what is asked for, and going on with swaps */
	struct jobs *answers; /* telling of their ends, which may wait long */
	char *suspects_path;
	int lock; /* of the state's directory */
	ev_timer tick;
	unsigned long ticks;
	bool stopping;
};

/* Broker and libvirt are waited for in the loop and the threads. ERR_EXISTS: another one
 * has the state. settings and loop are borrowed. */
int compute_new(struct loop *loop, const struct settings *settings,
	struct compute **out, struct error *err);
void compute_free(struct compute *compute);
DEFINE_AUTO(struct compute *, compute_free)

/* Take nothing new and leave the loop. */
void compute_stop(struct compute *compute);

/* Look at the swaps now. */
void compute_hurry(struct compute *compute);

/* methods.c; the argument is the struct compute. */
extern const struct rpc_method compute_methods[];

#endif
