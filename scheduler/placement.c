/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/placement.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/address.h"

#define WHY_SIZE 256

/* Longest list of reasons in one error. */
#define REASONS_SHOWN 5

struct verdict {
	char why[WHY_SIZE]; /* empty: the pool can take it */
	bool full; /* its size is the only reason */
};

bool service_is_usable(const struct service *service)
{
	return service->up && !service->disabled && !service->frozen;
}

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

static bool is_in_zones(const char *const *zones, const char *zone)
{
	for (; *zones; zones++)
		if (strcmp(*zones, zone) == 0)
			return true;
	return false;
}

/* ---- filters: each returns a reason, or NULL ---- */

static const char *refuse_service(
	const struct service *s, const struct placement *request)
{
	if (!s)
		return "has no service";
	if (!s->up)
		return "is down";
	if (s->disabled)
		return "is disabled";
	if (s->frozen)
		return "is frozen";
	if (request->managed && !s->drover)
		return "has no drover-volume-manager";
	if (request->zones && !is_in_zones(request->zones, s->availability_zone))
		return "is in another availability zone";
	return NULL;
}

static bool has_backend_name(const struct pool *pool, const char *name)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	const char *reported;

	return json_parse(pool->capabilities, strlen(pool->capabilities), &o, NULL) ==
		0 &&
		json_get_string_or(o, "volume_backend_name", "", &reported, NULL) ==
		0 &&
		strcmp(reported, name) == 0;
}

static const char *refuse_pool(const struct pool *pool, const struct placement *request)
{
	if (pool->down)
		return "is down, as its driver says";
	if (request->backend_name && !has_backend_name(pool, request->backend_name))
		return "is not of the volume's type";
	return NULL;
}

static double promised_to(const struct view *view, const char *address)
{
	double sum = 0;

	for (size_t i = 0; i < view->reservation_count; i++)
		if (strcmp(view->reservations[i].target, address) == 0)
			sum += (double)view->reservations[i].size_gib;
	return sum;
}

/* What the rows say is on the pool; 0 when they say nothing. */
double view_load(const struct view *view, const char *address)
{
	for (size_t i = 0; i < view->load_count; i++)
		if (strcmp(view->load[i].pool, address) == 0)
			return (double)view->load[i].size_gib;
	return 0;
}

/* What the pool's last report cannot know. */
static double unreported(const struct view *view, const struct pool *pool)
{
	double promised = promised_to(view, pool->address);
	double newer = view_load(view, pool->address) - pool->capacity.provisioned -
		pool->capacity.placed;

	return newer > promised ? newer : promised;
}

static void judge(const struct view *view, const struct placement *request,
	const struct service *service, struct pool *pool, struct verdict *out)
{
	const char *why = refuse_service(service, request);

	memset(out, 0, sizeof(*out));
	pool->capacity.promised = unreported(view, pool);
	if (!why)
		why = refuse_pool(pool, request);
	if (why)
		snprintf(out->why, sizeof(out->why), "%s", why);
	else
		out->full = !capacity_fits(&pool->capacity, request->size_gib,
			!request->thick, out->why, sizeof(out->why));
}

/* ---- the weigher ---- */

/* With one weigher the order of the raw weights is that of the normalised ones. Pools of
 * unknown size come last whatever the sign of the multiplier. */
static double weigh(const struct view *view, const struct placement *request,
	const struct pool *pool)
{
	double raw = capacity_weight(&pool->capacity, !request->thick);
	bool known = pool->capacity.total.kind == AMOUNT_NUMBER &&
		pool->capacity.free.kind == AMOUNT_NUMBER;

	if (view->capacity_weight_multiplier < 0)
		return known ? -raw : -INFINITY;
	return view->capacity_weight_multiplier > 0 ? raw : 0;
}

/* ---- the decision and its reasons ---- */

struct outcome {
	struct pool *best;
	const struct service *service;
	double weight;
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
	double weight;

	judge(view, request, service, pool, &verdict);
	if (verdict.why[0]) {
		o->full += verdict.full;
		note_reason(o, pool->address, verdict.why);
		return;
	}
	weight = weigh(view, request, pool);
	if (o->best && weight <= o->weight)
		return;
	o->best = pool;
	o->service = service;
	o->weight = weight;
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
		return error_set(err, ERR_INVALID_HOST, "target %s", o->reasons);
	b = pools_backend(view->pools, address.backend);
	if (!view_service(view, address.backend))
		return error_set(err, ERR_INVALID_HOST,
			"target '%s' is unknown; 'drover service list' shows all",
			target);
	why = refuse_service(view_service(view, address.backend), request);
	if (why)
		return error_set(err, ERR_INVALID_HOST, "target '%s' %s", target, why);
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
	struct outcome o = { .best = NULL };

	for (size_t i = 0; i < view->pools->count; i++)
		consider_backend(view, request, &view->pools->backends[i], &o);
	if (!o.best)
		return request->target ? refuse_target(view, request, &o, err)
				       : refuse_everywhere(request, &o, err);
	*out = o.best;
	*service = o.service;
	return 0;
}
