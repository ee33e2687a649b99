/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/pools.h"

#include <stdio.h>
#include <string.h>

#include "scheduler/report.h"

/* A reporter whose clock was set back is believed again after this time. */
#define OLDER_IS_IGNORED_S 120

static void pool_clear(struct pool *pool)
{
	free(pool->address);
	free(pool->capabilities);
}

static void backend_clear(struct backend *b)
{
	for (size_t i = 0; i < b->count; i++)
		pool_clear(&b->pools[i]);
	free(b->pools);
	b->pools = NULL;
	b->count = 0;
}

void pools_clear(struct pools *pools)
{
	for (size_t i = 0; i < pools->count; i++) {
		backend_clear(&pools->backends[i]);
		free(pools->backends[i].name);
	}
	free(pools->backends);
	memset(pools, 0, sizeof(*pools));
}

struct backend *pools_backend(const struct pools *pools, const char *name)
{
	for (size_t i = 0; i < pools->count; i++)
		if (strcmp(pools->backends[i].name, name) == 0)
			return &pools->backends[i];
	return NULL;
}

struct pool *pools_find(const struct pools *pools, const char *address)
{
	for (size_t i = 0; i < pools->count; i++)
		for (size_t j = 0; j < pools->backends[i].count; j++)
			if (strcmp(pools->backends[i].pools[j].address, address) == 0)
				return &pools->backends[i].pools[j];
	return NULL;
}

static int add_backend(
	struct pools *pools, const char *name, struct backend **out, struct error *err)
{
	char *copy;

	if (pools->count == BACKENDS_MAX)
		return error_set(err, ERR_INVALID_INPUT, "more than %d backends report",
			BACKENDS_MAX);
	if (pools->count == pools->room) {
		size_t room = pools->room ? pools->room * 2 : 8;
		void *grown = realloc(pools->backends, room * sizeof(struct backend));

		if (!grown)
			return error_no_memory(err);
		pools->backends = grown;
		pools->room = room;
	}
	copy = strdup(name);
	if (!copy)
		return error_no_memory(err);
	*out = &pools->backends[pools->count++];
	**out = (struct backend) { .name = copy };
	return 0;
}

double pools_missed(struct pools *pools, const char *name, double now)
{
	struct backend *b = pools_backend(pools, name);

	if (!b && add_backend(pools, name, &b, NULL) < 0)
		return now;
	if (b->missed_at == 0)
		b->missed_at = now;
	return b->missed_at;
}

void pools_forget(struct pools *pools, const char *name)
{
	struct backend *b = pools_backend(pools, name);

	if (!b)
		return;
	pools->pool_count -= b->count;
	backend_clear(b);
	free(b->name);
	pools->count--;
	memmove(b, b + 1, (size_t)(pools->backends + pools->count - b) * sizeof(*b));
}

/* ---- reports ---- */

static bool is_older(const struct backend *known, const char *timestamp, double now)
{
	return known && known->timestamp[0] &&
		strcmp(timestamp, known->timestamp) < 0 &&
		now - known->received_at < OLDER_IS_IGNORED_S;
}

static int store(struct pools *pools, struct backend *fresh, struct error *err)
{
	struct backend *known = pools_backend(pools, fresh->name);
	size_t others = pools->pool_count - (known ? known->count : 0);

	if (others + fresh->count > POOLS_MAX)
		return error_set(
			err, ERR_INVALID_INPUT, "more than %d pools report", POOLS_MAX);
	if (!known && add_backend(pools, fresh->name, &known, err) < 0)
		return -1;
	backend_clear(known);
	snprintf(known->timestamp, sizeof(known->timestamp), "%s", fresh->timestamp);
	known->received_at = fresh->received_at;
	known->missed_at = 0;
	known->pools = steal(fresh->pools);
	known->count = fresh->count;
	fresh->count = 0;
	pools->pool_count = others + known->count;
	return 1;
}

int pools_report(struct pools *pools, struct json_object *args, double default_ratio,
	double now, struct error *err)
{
	struct backend fresh = { .received_at = now };
	struct json_object *capabilities;
	const char *service, *name;
	int rc;

	if (json_get_string(args, "service_name", &service, err) < 0)
		return -1;
	if (strcmp(service, "volume") != 0)
		return 0;
	if (report_name(args, &name, err) < 0 ||
		json_get_object(args, "capabilities", &capabilities, err) < 0 ||
		report_timestamp(args, fresh.timestamp, err) < 0)
		return -1;
	if (is_older(pools_backend(pools, name), fresh.timestamp, now))
		return 0;
	fresh.name = (char *)(uintptr_t)name; /* borrowed: copied when it is new */
	rc = report_pools(capabilities, default_ratio, &fresh, err);
	if (rc == 0)
		rc = store(pools, &fresh, err);
	else
		error_context(err, "report of '%s'", name);
	backend_clear(&fresh);
	return rc;
}
