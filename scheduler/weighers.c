/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the pools that passed is best? Cinder's weighers: what each says is scaled to
 * 0..1 between the least and the most of all candidates, multiplied, and added up. */
#include <math.h>

#include "scheduler/placement.h"

/* A pool of unknown size is the last choice. Where little room is preferred, it counts as
 * if it had so much more than the largest. */
#define UNKNOWN_TIMES 100
#define UNKNOWN_GIB 10000

static double raw_weight(const struct view *view, const struct placement *request,
	const struct pool *pool, enum weigher weigher)
{
	const struct capacity *c = &pool->capacity;
	const struct pool_load *load;

	switch (weigher) {
	case WEIGHER_CAPACITY:
		if (!capacity_is_known(c))
			return view->policy->multipliers[weigher] > 0 ? -1 : INFINITY;
		return capacity_room(c, !placement_is_thick(request));
	case WEIGHER_ALLOCATED:
		return c->allocated + c->placed + c->promised;
	default:
		load = view_load(view, pool->address);
		return load ? (double)load->volumes : 0;
	}
}

/* The least and the most of the numbers; false when there is none. */
static bool find_range(const double *raw, size_t count, double *min, double *max)
{
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		if (isinf(raw[i]))
			continue;
		*min = found ? fmin(*min, raw[i]) : raw[i];
		*max = found ? fmax(*max, raw[i]) : raw[i];
		found = true;
	}
	return found;
}

static void replace_unknown(double *raw, size_t count, double min, double *max)
{
	double more = (*max - min) * UNKNOWN_TIMES;
	double most = *max + (more > 0 ? more : UNKNOWN_GIB);

	for (size_t i = 0; i < count; i++)
		if (isinf(raw[i]))
			raw[i] = *max = most;
}

static void add_scores(struct candidate *list, const double *raw, size_t count,
	double min, double max, double multiplier)
{
	for (size_t i = 0; i < count && max > min; i++)
		list[i].score += multiplier * ((raw[i] - min) / (max - min));
}

static void weigh(const struct view *view, const struct placement *request,
	enum weigher weigher, struct candidate *list, double *raw, size_t count)
{
	double min = 0, max = 0;

	for (size_t i = 0; i < count; i++)
		raw[i] = raw_weight(view, request, list[i].pool, weigher);
	/* All unknown: they are equal. */
	if (!find_range(raw, count, &min, &max))
		return;
	replace_unknown(raw, count, min, &max);
	add_scores(list, raw, count, min, max, view->policy->multipliers[weigher]);
}

void weighers_weigh(const struct view *view, const struct placement *request,
	struct candidate *list, size_t count)
{
	AUTO(free) double *raw = calloc(count + 1, sizeof(*raw));

	for (size_t i = 0; i < count; i++)
		list[i].score = 0;
	for (enum weigher w = 0; raw && w < WEIGHER_COUNT; w++)
		if (view->policy->weighers[w])
			weigh(view, request, w, list, raw, count);
}
