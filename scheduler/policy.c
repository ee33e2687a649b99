/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/policy.h"

#include <stdio.h>
#include <string.h>

static const char *const filter_names[FILTER_COUNT] = {
	[FILTER_ZONE] = "AvailabilityZoneFilter",
	[FILTER_CAPACITY] = "CapacityFilter",
	[FILTER_CAPABILITIES] = "CapabilitiesFilter",
	[FILTER_ATTEMPTED] = "IgnoreAttemptedHostsFilter",
};

static const char *const weigher_names[WEIGHER_COUNT] = {
	[WEIGHER_CAPACITY] = "CapacityWeigher",
	[WEIGHER_ALLOCATED] = "AllocatedCapacityWeigher",
	[WEIGHER_NUMBER] = "VolumeNumberWeigher",
};

static int unknown_name(const char *option, const char *name, const char *const *known,
	size_t count, struct error *err)
{
	char list[256] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "",
			known[i]);
	}
	return error_set(err, ERR_CONFIG, "%s: there is no '%.64s', only: %s", option,
		name, list);
}

/* Sets out[i] for each known[i] that is named. */
static int read_names(const char *option, char *const *names, const char *const *known,
	size_t count, bool *out, struct error *err)
{
	for (; *names; names++) {
		size_t found = 0;

		while (found < count && strcmp(known[found], *names) != 0)
			found++;
		if (found == count)
			return unknown_name(option, *names, known, count, err);
		out[found] = true;
	}
	return 0;
}

int policy_read(const struct settings *settings, struct policy *out, struct error *err)
{
	struct policy policy = {
		.multipliers = {
			[WEIGHER_CAPACITY] = settings->capacity_weight_multiplier,
			[WEIGHER_ALLOCATED] =
				settings->allocated_capacity_weight_multiplier,
			[WEIGHER_NUMBER] = settings->volume_number_multiplier,
		},
	};

	if (read_names("scheduler_default_filters", settings->scheduler_default_filters,
		    filter_names, FILTER_COUNT, policy.filters, err) < 0 ||
		read_names("scheduler_default_weighers",
			settings->scheduler_default_weighers, weigher_names,
			WEIGHER_COUNT, policy.weighers, err) < 0)
		return -1;
	*out = policy;
	return 0;
}
