/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - progress reports and the rate limit of a copy. */
#ifndef COPY_PACE_H
#define COPY_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "copy/copy.h"

struct pace {
	const struct copy_options *options;
	double started; /* clock_seconds() */
	double reported; /* when on_progress was called last */
	uint64_t reported_position;
	double rate; /* bytes per second, smoothed */
	double debt; /* bytes that the rate limit has not paid for yet */
	double paid; /* when it paid last */
	/* Wait for at most seconds and report, with something better to do than to sleep;
	 * NULL: sleep. */
	int (*wait)(void *arg, double seconds, struct error *err);
	void *arg;
};

void pace_init(struct pace *pace, const struct copy_options *options);
/* Call on_progress when it is time, or in any case at the end. -1: it said stop. */
int pace_report(struct pace *pace, struct copy_progress *progress, bool at_end,
	struct error *err);
/* Would pace_wait() wait now? */
bool pace_is_due(struct pace *pace);
/* Wait until the rate limit allows another bytes, reporting meanwhile. */
int pace_wait(struct pace *pace, struct copy_progress *progress, uint64_t bytes,
	struct error *err);

#endif
