/* SPDX-License-Identifier: Apache-2.0 */
/* reports.h - capability reports for tests. */
#ifndef TESTS_UNIT_REPORTS_H
#define TESTS_UNIT_REPORTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "scheduler/pools.h"

static inline struct json_object *parse(const char *text)
{
	struct json_object *o = NULL;
	struct error err;

	if (json_parse(text, strlen(text), &o, &err) < 0)
		fail_msg("%s", err.text);
	return o;
}

static inline int report(
	struct pools *pools, const char *text, double now, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = parse(text);

	return pools_report(pools, args, 20, now, err);
}

#define REPORT(host, timestamp, capabilities) \
	"{\"service_name\": \"volume\", \"host\": \"" host \
	"\", \"timestamp\": \"" timestamp \
	"\", \"cluster_name\": null, \"capabilities\": " capabilities "}"
#define T1 "2026-11-21T21:25:32.535440"
#define T2 "2026-11-21T21:25:33"
#define SMALL "{\"total_capacity_gb\": 10, \"free_capacity_gb\": 10}"
#define BIG \
	"{\"volume_backend_name\": \"big\", \"total_capacity_gb\": 100.5," \
	" \"free_capacity_gb\": 99.5, \"storage_protocol\": \"nfs\"}"

static inline void must_report(struct pools *pools, const char *text)
{
	struct error err;

	if (report(pools, text, 1, &err) != 1)
		fail_msg("%s", err.text);
}

#endif
