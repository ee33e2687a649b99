/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h - which filters and weighers count, as the configuration says. */
#ifndef SCHEDULER_POLICY_H
#define SCHEDULER_POLICY_H

#include <stdbool.h>

#include "common/error.h"
#include "common/settings.h"

enum filter {
	FILTER_ZONE,
	FILTER_CAPACITY,
	FILTER_CAPABILITIES,
	FILTER_ATTEMPTED,
	FILTER_COUNT
};

enum weigher {
	WEIGHER_CAPACITY, /* what can still be handed out */
	WEIGHER_ALLOCATED, /* what was handed out */
	WEIGHER_NUMBER, /* volumes */
	WEIGHER_COUNT
};

struct policy {
	bool filters[FILTER_COUNT]; /* all that count must be passed */
	bool weighers[WEIGHER_COUNT];
	double multipliers[WEIGHER_COUNT];
};

/* ERR_CONFIG names a filter or weigher that is not known. */
int policy_read(const struct settings *settings, struct policy *out, struct error *err);

#endif
