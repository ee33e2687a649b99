/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/capacity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What Cinder takes for "auto" while nothing is provisioned. */
#define AUTO_RATIO_WHEN_EMPTY 20.0

bool capacity_is_known(const struct capacity *c)
{
	return c->total.kind == AMOUNT_NUMBER && c->free.kind == AMOUNT_NUMBER;
}

/* Two decimals, half to even, as Python's round(): glibc's conversion is exact and obeys
 * the rounding mode, and a text of that form is converted back exactly. */
static double rounded(double value)
{
	char text[350];

	snprintf(text, sizeof(text), "%.2f", value);
	return strtod(text, NULL);
}

double capacity_ratio(const struct capacity *c)
{
	if (!c->thin || !capacity_is_known(c))
		return 1.0;
	if (!c->ratio_auto)
		return c->ratio;
	if (c->provisioned == 0)
		return AUTO_RATIO_WHEN_EMPTY;
	return 1 + c->provisioned / (c->total.gib - c->free.gib + 1);
}

struct factors capacity_factors(const struct capacity *c, bool thin)
{
	double taken = c->placed + c->promised;
	double provisioned = c->provisioned + taken;
	double reserved = floor(c->total.gib * c->reserved_percentage / 100);
	double available = c->total.gib - reserved;
	struct factors out;

	if (thin && c->thin) {
		out.total_available = available * capacity_ratio(c);
		out.virtual_free = out.total_available - provisioned;
	} else {
		out.total_available = available;
		out.virtual_free =
			fmin(c->free.gib - taken, out.total_available - provisioned);
	}
	out.total_available = rounded(out.total_available);
	out.virtual_free = rounded(out.virtual_free);
	return out;
}

static bool refuse(char *why, size_t size, const char *reason)
{
	snprintf(why, size, "%s", reason);
	return false;
}

/* Pools that do not say how large they are, or that are not even one byte large. */
static bool is_measured(const struct capacity *c, bool *fits, char *why, size_t size)
{
	*fits = true;
	if (c->free.kind == AMOUNT_NONE || c->total.kind == AMOUNT_NONE)
		*fits = refuse(why, size, "does not report its free space");
	else if (c->free.kind != AMOUNT_NUMBER)
		return false;
	else if (c->total.kind != AMOUNT_NUMBER) {
		if (c->reserved_percentage != 0)
			*fits = refuse(why, size,
				"reserves a part of a total that it does not know");
	} else if (c->total.gib <= 0)
		*fits = refuse(why, size, "has no space at all");
	else
		return true;
	return false;
}

bool capacity_fits(
	const struct capacity *c, int64_t size_gib, bool thin, char *why, size_t size)
{
	struct factors factors;
	bool fits;

	if (size_gib == 0 || !is_measured(c, &fits, why, size))
		return size_gib == 0 || fits;
	thin = thin && c->thin;
	if (thin && capacity_ratio(c) < 1)
		return refuse(why, size, "has a max_over_subscription_ratio below 1");
	if (thin && c->free.gib <= 0)
		return refuse(why, size, "has no free space left");
	factors = capacity_factors(c, thin);
	if (factors.virtual_free >= (double)size_gib)
		return true;
	snprintf(why, size, "has %.2f GiB free%s, %" PRId64 " GiB are needed",
		fmax(factors.virtual_free, 0), thin ? " to be provisioned" : "",
		size_gib);
	return false;
}

double capacity_room(const struct capacity *c, bool thin)
{
	return capacity_is_known(c) ? capacity_factors(c, thin).virtual_free : -1;
}
