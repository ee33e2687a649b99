/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/placement.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"

/* Longest list of reasons in one error. */
#define REASONS_SHOWN 5

const struct service *view_service(const struct view *view, const char *backend)
{
	const struct service *found = NULL;

	for (size_t i = 0; i < view->service_count; i++) {
		const struct service *s = &view->services[i];

		if (strcmp(s->binary, VOLUME_BINARY) != 0 ||
			strcmp(s->host, backend) != 0)
			continue;
		/* Nothing in the table forbids two rows: the living one counts. */
		if (!found || (s->up && !found->up))
			found = s;
	}
	return found;
}

const struct pool_load *view_load(const struct view *view, const char *address)
{
	for (size_t i = 0; i < view->load_count; i++)
		if (strcmp(view->load[i].pool, address) == 0)
			return &view->load[i];
	return NULL;
}

bool placement_is_thick(const struct placement *request)
{
	struct json_object *value;

	return request->specs &&
		json_object_object_get_ex(
			request->specs, "provisioning:type", &value) &&
		json_object_is_type(value, json_type_string) &&
		strcmp(json_object_get_string(value), "thick") == 0;
}

/* ---- the decision and its reasons ---- */

struct outcome {
	struct candidate *passed; /* room for every pool */
	size_t count;
	unsigned refused, full;
	char reasons[ERROR_TEXT_SIZE];
};

static void note_reason(struct outcome *o, const char *address, const char *why)
{
	size_t used = strlen(o->reasons);

	if (o->refused++ < REASONS_SHOWN)
		snprintf(o->reasons + used, sizeof(o->reasons) - used, "%s'%s' %s",
			used ? "; " : "", address, why);
}

static void consider(const struct view *view, const struct placement *request,
	const struct service *service, struct pool *pool, struct outcome *o)
{
	struct verdict verdict;

	filters_judge(view, request, service, pool, &verdict);
	if (!verdict.why[0]) {
		o->passed[o->count++] = (struct candidate) { pool, service, 0 };
		return;
	}
	o->full += verdict.full;
	note_reason(o, pool->address, verdict.why);
}

/* The first of the best. */
static const struct candidate *find_best(const struct outcome *o)
{
	const struct candidate *best = o->passed;

	for (size_t i = 1; i < o->count; i++)
		if (o->passed[i].score > best->score)
			best = &o->passed[i];
	return best;
}

/* The own backend without a pool is the own pool: who wants another one names it. */
static bool is_excluded(const struct placement *request, const char *address)
{
	return request->exclude && address_matches(request->exclude, address);
}

static void consider_backend(const struct view *view, const struct placement *request,
	const struct backend *b, struct outcome *o)
{
	const struct service *service = NULL;

	if (request->target &&
		(!address_same_backend(request->target, b->name) ||
			is_excluded(request, request->target)))
		return;
	service = view_service(view, b->name);
	for (size_t i = 0; i < b->count; i++) {
		struct pool *pool = &b->pools[i];

		if (request->target && !address_matches(request->target, pool->address))
			continue;
		if (is_excluded(request, pool->address))
			continue;
		consider(view, request, service, pool, o);
	}
}

static int no_such_pool(const struct backend *b, const char *target, struct error *err)
{
	char names[256] = "";

	for (size_t i = 0; i < b->count; i++) {
		size_t used = strlen(names);

		snprintf(names + used, sizeof(names) - used, "%s'%s'", used ? ", " : "",
			strchr(b->pools[i].address, '#') + 1);
	}
	return error_set(err, ERR_INVALID_HOST,
		"target '%s' is unknown: the pools of '%s' are %s", target, b->name,
		names[0] ? names : "none");
}

static int refuse_target(const struct view *view, const struct placement *request,
	const struct outcome *o, struct error *err)
{
	const char *target = request->target;
	struct address address;
	const struct backend *b;
	const char *why;

	if (address_parse(target, &address, err) < 0)
		return -1;
	if (o->refused)
		return error_set(err, ERR_INVALID_HOST, "%s%s",
			request->own ? "" : "target ", o->reasons);
	b = pools_backend(view->pools, address.backend);
	if (!view_service(view, address.backend))
		return error_set(err, ERR_INVALID_HOST,
			"target '%s' is unknown; 'drover service list' shows all",
			target);
	why = filters_refuse_service(view_service(view, address.backend), request);
	if (why)
		return error_set(err, ERR_INVALID_HOST, "%s'%s' %s",
			request->own ? "" : "target ", target, why);
	if (!b || !b->timestamp[0])
		return error_set(err, ERR_INVALID_HOST,
			"target '%s' has not reported its pools yet", target);
	if (is_excluded(request, target))
		return error_set(err, ERR_INVALID_HOST, "the volume is already on '%s'",
			request->exclude);
	return no_such_pool(b, target, err);
}

static int refuse_everywhere(
	const struct placement *request, const struct outcome *o, struct error *err)
{
	if (!o->refused)
		return error_set(err, ERR_NO_VALID_BACKEND,
			request->exclude ? "there is no pool but the volume's own"
					 : "no backend has reported a pool yet");
	if (o->full == o->refused)
		return error_set(err, ERR_NO_VALID_BACKEND,
			"no pool has %" PRId64 " GiB free: %s", request->size_gib,
			o->reasons);
	return error_set(err, ERR_NO_VALID_BACKEND, "no pool can take it: %s%s",
		o->reasons, o->refused > REASONS_SHOWN ? "; ..." : "");
}

int placement_choose(const struct view *view, const struct placement *request,
	struct pool **out, const struct service **service, struct error *err)
{
	AUTO(free)
	struct candidate *passed = calloc(view->pools->pool_count + 1, sizeof(*passed));
	struct outcome o = { .passed = passed };

	if (!passed)
		return error_no_memory(err);
	for (size_t i = 0; i < view->pools->count; i++)
		consider_backend(view, request, &view->pools->backends[i], &o);
	if (o.count == 0)
		return request->target ? refuse_target(view, request, &o, err)
				       : refuse_everywhere(request, &o, err);
	weighers_weigh(view, request, passed, o.count);
	*out = find_best(&o)->pool;
	*service = find_best(&o)->service;
	return 0;
}
