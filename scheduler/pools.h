/* SPDX-License-Identifier: Apache-2.0 */
/* pools.h - what every backend has reported, in memory. No I/O. */
#ifndef SCHEDULER_POOLS_H
#define SCHEDULER_POOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/json.h"
#include "scheduler/capacity.h"

#define BACKENDS_MAX 10000
#define POOLS_PER_BACKEND_MAX 1000
#define POOLS_MAX 50000
#define CAPABILITIES_MAX 65536 /* bytes of one pool's text */

struct pool {
	char *address; /* host@backend#pool */
	char *capabilities; /* JSON text: the pool's, and what it inherits */
	struct capacity capacity;
	bool down; /* the driver says so: backend_state */
};

struct backend {
	char *name; /* host@backend */
	char timestamp
		[32]; /* of the report, the reporter's clock; empty: no report yet */
	double received_at; /* our clock */
	double missed_at; /* when a request first missed its report; 0: never */
	struct pool *pools;
	size_t count;
};

struct pools {
	struct backend *backends; /* in order of appearance */
	size_t count, room;
	size_t pool_count; /* of all backends */
};

void pools_clear(struct pools *pools);

/* Take a report: the args of update_service_capabilities or notify_service_capabilities.
 * default_ratio counts for pools without max_over_subscription_ratio; now is
 * clock_seconds(). 1 taken, 0 ignored (another service's, or older than what is known);
 * ERR_INVALID_INPUT: malformed, nothing changed. */
int pools_report(struct pools *pools, struct json_object *args, double default_ratio,
	double now, struct error *err);

/* Borrowed until the next report; NULL when there is none of that name. */
struct backend *pools_backend(const struct pools *pools, const char *name);
struct pool *pools_find(const struct pools *pools, const char *address);
/* A backend that has not reported: remember since when that is missed. Returns since
 * when; now when there is no room to remember. */
double pools_missed(struct pools *pools, const char *name, double now);
void pools_forget(struct pools *pools, const char *name);

#endif
