/* SPDX-License-Identifier: Apache-2.0 */
/* placement.h - which pool a volume goes to. No I/O.
 *
 * Every pool passes the filters or has one reason why it does not; the heaviest of those
 * that passed is chosen. When none is left, the error says why.
 */
#ifndef SCHEDULER_PLACEMENT_H
#define SCHEDULER_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/store/migrations.h"
#include "common/store/services.h"
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
	double capacity_weight_multiplier;
};

struct placement {
	int64_t size_gib;
	bool thick; /* the volume's type asks for thick provisioning */
	const char *target; /* host@backend#pool, host@backend; NULL: anywhere */
	const char *exclude; /* the pool where the volume is; NULL: none */
	bool managed; /* only backends of our own volume managers */
	const char *const *zones; /* availability zones, ends with NULL; NULL: any */
	const char *backend_name; /* volume_backend_name of its type; NULL: any */
};

/* *out and *service (borrowed from view): the pool, and the service of its backend.
 * ERR_INVALID_HOST: the named target cannot take it. ERR_NO_VALID_BACKEND: no pool can. */
int placement_choose(const struct view *view, const struct placement *request,
	struct pool **out, const struct service **service, struct error *err);

/* GiB on a pool as the rows say. */
double view_load(const struct view *view, const char *address);
/* The volume service of a backend; NULL when there is none. */
const struct service *view_service(const struct view *view, const char *backend);
/* Would its pools count if they were reported? */
bool service_is_usable(const struct service *service);

#endif
