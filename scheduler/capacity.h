/* SPDX-License-Identifier: Apache-2.0 */
/* capacity.h - how much a pool has, and whether a volume fits: Cinder's arithmetic.
 *
 * Sizes are GiB, as drivers report them. Pure. Three things differ from Cinder: a thin
 * pool takes what keeps provisioned + requested within the over-subscription ratio, once;
 * a thin pool without a free byte takes nothing; and what is on its way to a pool but not
 * in its report yet counts as taken.
 */
#ifndef SCHEDULER_CAPACITY_H
#define SCHEDULER_CAPACITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum amount_kind {
	AMOUNT_NUMBER,
	AMOUNT_INFINITE,
	AMOUNT_UNKNOWN,
	AMOUNT_NONE, /* reported as null */
};

struct amount {
	enum amount_kind kind;
	double gib; /* of a number */
};

struct capacity {
	struct amount total, free;
	double provisioned; /* sum of the sizes of all volumes there */
	double allocated; /* of those that this service has made */
	double reserved_percentage;
	double ratio; /* max_over_subscription_ratio */
	bool ratio_auto; /* ... worked out from what the pool's volumes really take */
	bool thin, thick; /* what the pool can make */

	/* Not in the report: */
	double placed; /* volumes placed here since the report */
	double promised; /* migrations whose volume is not made yet */
};

struct factors {
	double total_available; /* can be handed out in all */
	double virtual_free; /* can still be handed out */
};

/* The ratio that counts: 1 when the pool is not thin or its size is not a number. */
double capacity_ratio(const struct capacity *c);
/* For a pool whose total and free are numbers; rounded to two decimals, half to even. */
struct factors capacity_factors(const struct capacity *c, bool thin);
/* Does a volume of size_gib fit? If not, why: a reason to be put behind the pool's name
 * ("has 3.00 GiB free, 10 are needed"). */
bool capacity_fits(
	const struct capacity *c, int64_t size_gib, bool thin, char *why, size_t size);
/* Are total and free numbers? */
bool capacity_is_known(const struct capacity *c);
/* How much can still be handed out: virtual_free, -1 when it is not known. */
double capacity_room(const struct capacity *c, bool thin);

#endif
