/* SPDX-License-Identifier: Apache-2.0 */
/* May a volume go to this pool? */
#include <stdio.h>
#include <string.h>

#include "common/address.h"
#include "scheduler/placement.h"
#include "scheduler/specs.h"

bool service_is_usable(const struct service *service)
{
	return service->up && !service->disabled && !service->frozen;
}

static bool is_listed(const char *const *list, const char *text)
{
	for (; *list; list++)
		if (strcmp(*list, text) == 0)
			return true;
	return false;
}

/* ---- what holds whatever the configuration says ---- */

const char *filters_refuse_service(
	const struct service *s, const struct placement *request)
{
	if (!s)
		return "has no service";
	if (!s->up)
		return "is down";
	if (s->frozen)
		return "is frozen";
	if (s->disabled)
		return "is disabled";
	if (request->managed && !s->drover)
		return "has no drover-volume-manager";
	return NULL;
}

/* ---- what is on its way ---- */

static double promised_to(const struct view *view, const char *address)
{
	double sum = 0;

	for (size_t i = 0; i < view->reservation_count; i++)
		if (strcmp(view->reservations[i].target, address) == 0)
			sum += (double)view->reservations[i].size_gib;
	return sum;
}

/* What the pool's last report cannot know. */
static double unreported(const struct view *view, const struct pool *pool)
{
	const struct pool_load *load = view_load(view, pool->address);
	double promised = promised_to(view, pool->address);
	double newer = (load ? (double)load->size_gib : 0) -
		pool->capacity.provisioned - pool->capacity.placed;

	return newer > promised ? newer : promised;
}

/* ---- the filters of the configuration: each writes a reason, or nothing ---- */

static void refuse_zone(const struct placement *request, const struct service *service,
	struct verdict *out)
{
	if (request->zones && !is_listed(request->zones, service->availability_zone))
		snprintf(out->why, sizeof(out->why), "is in another availability zone");
}

static void refuse_attempted(
	const struct placement *request, const struct pool *pool, struct verdict *out)
{
	if (request->attempted && is_listed(request->attempted, pool->address))
		snprintf(out->why, sizeof(out->why), "has failed to make it before");
}

static void refuse_capacity(
	const struct placement *request, const struct pool *pool, struct verdict *out)
{
	if (request->exists_on && address_matches(request->exists_on, pool->address))
		return;
	out->full = !capacity_fits(&pool->capacity, request->size_gib,
		!placement_is_thick(request), out->why, sizeof(out->why));
}

/* Who does not say can do it. */
static bool can_extend_attached(struct json_object *capabilities)
{
	struct json_object *value;

	return !json_object_object_get_ex(
		       capabilities, "online_extend_support", &value) ||
		!json_object_is_type(value, json_type_boolean) ||
		json_object_get_boolean(value);
}

static void refuse_capabilities(
	const struct placement *request, const struct pool *pool, struct verdict *out)
{
	AUTO(json_object_put) struct json_object *capabilities = NULL;
	bool wanted = request->specs && json_object_object_length(request->specs) > 0;

	if (!wanted && !request->attached_grows)
		return;
	if (json_parse(pool->capabilities, strlen(pool->capabilities), &capabilities,
		    NULL) < 0)
		snprintf(out->why, sizeof(out->why), "reports what cannot be read");
	else if (request->attached_grows && !can_extend_attached(capabilities))
		snprintf(out->why, sizeof(out->why),
			"cannot extend a volume that is attached");
	else
		specs_are_met(capabilities, request->specs, out->why, sizeof(out->why));
}

void filters_judge(const struct view *view, const struct placement *request,
	const struct service *service, struct pool *pool, struct verdict *out)
{
	const bool *filters = view->policy->filters;
	const char *why = filters_refuse_service(service, request);

	memset(out, 0, sizeof(*out));
	pool->capacity.promised = unreported(view, pool);
	if (!why && pool->down)
		why = "is down, as its driver says";
	if (why)
		snprintf(out->why, sizeof(out->why), "%s", why);
	if (!out->why[0] && filters[FILTER_ZONE])
		refuse_zone(request, service, out);
	if (!out->why[0] && filters[FILTER_ATTEMPTED])
		refuse_attempted(request, pool, out);
	if (!out->why[0] && filters[FILTER_CAPABILITIES])
		refuse_capabilities(request, pool, out);
	/* Last: what is full would take it but for its size. */
	if (!out->why[0] && filters[FILTER_CAPACITY])
		refuse_capacity(request, pool, out);
}
