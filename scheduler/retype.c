/* SPDX-License-Identifier: Apache-2.0 */
/* retype: which pool can have the volume with its new type? Its own one first, another one
 * only when the request allows it. Its manager does the rest; when there is none, the
 * volume and its quota are put back. */
#include <string.h>

#include "common/address.h"
#include "common/log.h"
#include "common/store/retype.h"
#include "common/store/types.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

struct retype {
	struct scheduler *s;
	const struct rpc_request *request;
	struct json_object *spec; /* the request's, borrowed */
	const char *type_id, *policy;
	const char **zones;
	struct json_object *specs; /* extra specs of the new type */
	struct volume volume;
};

static int read_spec(struct retype *r, struct error *err)
{
	struct json_object *type;

	if (json_get_object(r->spec, "volume_type", &type, err) < 0 ||
		json_get_string(object_data(type), "id", &r->type_id, err) < 0 ||
		json_get_string_or(
			r->spec, "migration_policy", "never", &r->policy, err) < 0)
		return -1;
	if (!uuid_is(r->type_id))
		return error_set(err, ERR_INVALID_INPUT, "'%.64s' is no id of a type",
			r->type_id);
	return get_strings(r->spec, "availability_zones", &r->zones, err);
}

static void add_passed(struct json_object *args, const struct retype *r,
	const char *name, const char *from)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(r->spec, from, &value);
	json_add(args, name, json_object_get(value));
}

static int cast_retype(
	const struct retype *r, const struct pool *pool, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *volume;

	if (json_get_object(r->request->args, "volume", &volume, err) < 0)
		return -1;
	json_add(args, "volume", json_object_get(volume));
	json_add_string(args, "new_type_id", r->type_id);
	json_add(args, "host", request_host(pool));
	json_add_string(args, "migration_policy", r->policy);
	add_passed(args, r, "reservations", "quota_reservations");
	add_passed(args, r, "old_reservations", "old_reservations");
	return request_cast(
		r->s, r->request, r->volume.host, "retype", "3.5", args, err);
}

/* ---- choosing ---- */

static int choose_other(const struct retype *r, const struct facts *facts,
	const struct placement *asked, struct pool **out, struct error *err)
{
	struct placement other = *asked;
	const struct service *owner, *service;
	struct address address;

	if (address_parse(r->volume.host, &address, err) < 0)
		return -1;
	if (scheduler_misses_reports(r->s, &facts->view, NULL))
		return STEP_WAIT;
	/* Between managers of one kind it is done better. */
	owner = view_service(&facts->view, address.backend);
	other.managed = owner && owner->drover;
	if (placement_choose(&facts->view, &other, out, &service, err) == 0)
		return STEP_DONE;
	if (!other.managed)
		return STEP_FAILED;
	other.managed = false;
	return placement_choose(&facts->view, &other, out, &service, err);
}

static int choose(const struct retype *r, const struct facts *facts, struct pool **out,
	struct error *err)
{
	const struct placement asked = {
		.size_gib = r->volume.size_gib,
		.exists_on = r->volume.host,
		.specs = r->specs,
		.zones = r->zones,
	};
	int rc = request_own_pool(r->s, facts, &r->volume, &asked, out, err);

	if (rc != STEP_FAILED)
		return rc;
	if (strcmp(r->policy, "on-demand") == 0)
		return choose_other(r, facts, &asked, out, err);
	return error_context(
		err, "it would have to migrate, which the request forbids");
}

static int retype_with(
	const struct retype *r, const struct facts *facts, struct error *err)
{
	struct pool *pool;
	int rc = choose(r, facts, &pool, err);

	if (rc != STEP_DONE)
		return rc;
	if (cast_retype(r, pool, err) < 0)
		return STEP_FAILED;
	if (!address_matches(r->volume.host, pool->address))
		pool->capacity.placed += (double)r->volume.size_gib;
	log_info("retype handed on volume=%s type=%s from=%s to=%s request=%s",
		r->volume.id, r->type_id, r->volume.host, pool->address,
		r->request->request_id);
	return STEP_DONE;
}

static int try_retype(struct retype *r, struct error *err)
{
	struct facts facts;
	int rc;

	if (request_volume(r->s, r->request, &r->volume, err) < 0 ||
		read_spec(r, err) < 0)
		return STEP_FAILED;
	if (strcmp(r->volume.status, "retyping") != 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"it is not to be retyped: its status is '%s'",
			r->volume.status);
	if (store_type_specs(r->s->db, r->type_id, &r->specs, err) < 0 ||
		facts_read(r->s, &facts, err) < 0)
		return STEP_FAILED;
	rc = retype_with(r, &facts, err);
	facts_clear(&facts);
	return rc;
}

/* Cinder forgets the second ones: they stay until they expire. */
static int refuse(const struct retype *r, const struct error *why, struct error *err)
{
	struct reserved reserved = { .count = 0 }, old = { .count = 0 };
	struct retype_request request = {
		.migration = { .request_id = r->request->request_id, .target = "" },
		.new_type_id = r->type_id,
		.reservations = reserved.uuids,
		.old_reservations = old.uuids,
	};

	reserved_add(&reserved, r->spec, "quota_reservations");
	reserved_add(&old, r->spec, "old_reservations");
	if (request_volume_id(r->request->args, &request.migration.volume_id, err) <
			0 ||
		scheduler_check_ready(r->s, err) < 0 ||
		store_retype_refuse(r->s->db, &request, why, err) < 0)
		return STEP_FAILED;
	request_log_refused(r->request, request.migration.volume_id, why);
	return STEP_DONE;
}

int retype_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	struct retype r = { .s = s, .request = request };
	struct json_object *spec;
	struct error why;
	int rc;

	if (json_get_object(request->args, "request_spec", &spec, err) < 0)
		return STEP_FAILED;
	r.spec = object_data(spec);
	rc = try_retype(&r, &why);
	free(r.zones);
	json_object_put(r.specs);
	if (rc != STEP_FAILED)
		return rc;
	if (error_must_wait(&why)) {
		*err = why;
		return rc;
	}
	return refuse(&r, &why, err);
}
