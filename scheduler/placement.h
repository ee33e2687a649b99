/* SPDX-License-Identifier: Apache-2.0 */
/* placement.h - which pool a volume goes to. No I/O.
 *
 * Every pool passes the filters or has one reason why it does not; the heaviest of those
 * that passed is chosen. When none is left, the error says why.
 *
 *	filters.c	may it go there?
 *	weighers.c	which one is best?
 */
#ifndef SCHEDULER_PLACEMENT_H
#define SCHEDULER_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "common/store/migrations.h"
#include "common/store/services.h"
#include "scheduler/policy.h"
#include "scheduler/pools.h"

/* What the decision rests on; all borrowed. */
struct view {
	struct pools *pools;
	const struct service *services;
	size_t service_count;
	const struct reservation *reservations;
	size_t reservation_count;
	const struct pool_load *load;
	size_t load_count;
	const struct policy *policy;
};

/* All texts and objects are borrowed; NULL: any, or none. */
struct placement {
	int64_t size_gib; /* that is needed there: of a volume, or what it grows by */
	const char *target; /* host@backend#pool, host@backend */
	bool own; /* the target is where the volume is: for the words of an error */
	const char *exclude; /* the pool where the volume is */
	const char *exists_on; /* a pool that has room for it: it is there */
	bool managed; /* only backends of our own volume managers */
	bool attached_grows; /* it is attached while it is extended */
	const char *const *zones; /* availability zones, ends with NULL */
	const char *const *attempted; /* pools where it failed, ends with NULL */
	struct json_object *specs; /* extra specs of its type */
};

/* Does the type ask for thick provisioning? */
bool placement_is_thick(const struct placement *request);

/* *out and *service (borrowed from view): the pool, and the service of its backend.
 * ERR_INVALID_HOST: the named target cannot take it. ERR_NO_VALID_BACKEND: no pool can. */
int placement_choose(const struct view *view, const struct placement *request,
	struct pool **out, const struct service **service, struct error *err);

/* ---- filters.c ---- */

#define WHY_SIZE 256

struct verdict {
	char why[WHY_SIZE]; /* empty: the pool can take it */
	bool full; /* its size is the only reason */
};

/* What is on its way to the pool is noted in its capacity. */
void filters_judge(const struct view *view, const struct placement *request,
	const struct service *service, struct pool *pool, struct verdict *out);
/* Why nothing goes to this backend, NULL: it is usable. service NULL: there is none. */
const char *filters_refuse_service(
	const struct service *service, const struct placement *request);
/* Would its pools count if they were reported? */
bool service_is_usable(const struct service *service);

/* ---- weighers.c ---- */

struct candidate {
	struct pool *pool;
	const struct service *service;
	double score;
};

/* Fill in the scores. */
void weighers_weigh(const struct view *view, const struct placement *request,
	struct candidate *list, size_t count);

/* ---- the view ---- */

/* What is on a pool as the rows say; NULL when they say nothing. */
const struct pool_load *view_load(const struct view *view, const char *address);
/* The volume service of a backend; NULL when there is none. */
const struct service *view_service(const struct view *view, const char *backend);

#endif
