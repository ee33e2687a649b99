/* SPDX-License-Identifier: Apache-2.0 */
/* migrate_volume: choose the target's pool and admit the migration, or set the volume
 * back with the one reason. */
#include <stdio.h>
#include <string.h>

#include "common/address.h"
#include "common/log.h"
#include "common/store/migrations.h"
#include "common/store/types.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

struct move {
	struct scheduler *s;
	const struct rpc_request *request;
	struct volume volume;
	const char *target; /* as the message names it; NULL: anywhere else */
	struct json_object *specs; /* extra specs of its type */
	bool force;
};

/* The older form of the request says host, which may be a dictionary. */
static int read_host(struct json_object *args, const char **out, struct error *err)
{
	struct json_object *host = NULL;

	if (!json_object_object_get_ex(args, "host", &host) || !host)
		return 0;
	if (json_object_is_type(host, json_type_object))
		return json_get_string(host, "host", out, err);
	return json_get_string(args, "host", out, err);
}

static int read_target(struct json_object *args, const char **out, struct error *err)
{
	if (json_get_string_or(args, "backend", NULL, out, err) < 0 ||
		(!*out && read_host(args, out, err) < 0))
		return -1;
	if (*out && !**out)
		*out = NULL;
	return 0;
}

static int read_move(struct json_object *args, struct move *out, struct error *err)
{
	bool old;

	if (read_target(args, &out->target, err) < 0 ||
		json_get_bool_or(args, "force_host_copy", false, &old, err) < 0)
		return -1;
	return json_get_bool_or(args, "force_copy", old, &out->force, err);
}

static struct migration_request migration_request(
	const struct move *m, const char *target)
{
	const struct settings *settings = m->s->settings;

	return (struct migration_request) {
		.volume_id = m->volume.id,
		.request_id = m->request->request_id,
		.target = target,
		.force_host_copy = m->force,
		.service_down_time = settings->service_down_time,
		.keep_result = settings->migration_result_keep,
	};
}

/* Everything that rows can say. It is asked for when something failed: it knows the reason
 * better than whoever failed. */
static int check_rows(const struct move *m, struct error *err)
{
	bool starting = strcmp(m->volume.migration_status, "starting") == 0;
	struct address target;

	if (m->target && address_parse(m->target, &target, err) < 0)
		return -1;
	return store_migration_check(m->s->db, &m->volume, m->target ? &target : NULL,
		m->s->settings->service_down_time, starting, err);
}

/* ---- handing it over ---- */

/* The volume belongs to a Python cinder-volume, which does it itself. */
static int cast_migrate(
	const struct move *m, const struct pool *pool, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *volume;

	if (check_rows(m, err) < 0 ||
		json_get_object(m->request->args, "volume", &volume, err) < 0)
		return -1;
	json_add(args, "volume", json_object_get(volume));
	json_add(args, "host", request_host(pool));
	json_add_bool(args, "force_host_copy", m->force);
	return request_cast(
		m->s, m->request, m->volume.host, "migrate_volume", "3.5", args, err);
}

static int admit(const struct move *m, const struct view *view, const struct pool *pool,
	struct error *err)
{
	struct migration_request request = migration_request(m, pool->address);
	const struct placement asked = { .specs = m->specs };
	const struct pool_load *load = view_load(view, pool->address);
	enum admission admission;

	/* A pool of unknown size takes everything. */
	request.room_known = m->s->policy.filters[FILTER_CAPACITY] &&
		capacity_is_known(&pool->capacity);
	request.room_gib = capacity_room(&pool->capacity, !placement_is_thick(&asked));
	request.seen_gib = load ? (double)load->size_gib : 0;

	if (store_migration_admit(m->s->db, &request, &admission, err) < 0)
		return -1;
	log_info("migration %s volume=%s from=%s to=%s request=%s",
		admission == DUPLICATE ? "is known already" : "admitted", m->volume.id,
		m->volume.host, pool->address, request.request_id);
	return 0;
}

/* ---- choosing ---- */

static int choose(const struct move *m, const struct facts *facts,
	const struct service *source, struct pool **pool, struct error *err)
{
	const struct placement asked = {
		.size_gib = m->volume.size_gib,
		.target = m->target,
		.exclude = m->volume.host,
		/* A Python cinder-volume's backend only when it is asked for. */
		.managed = source->drover && !m->target,
		.specs = m->specs,
	};
	const struct service *service;
	struct error reason;

	if (placement_choose(&facts->view, &asked, pool, &service, err) == 0)
		return 0;
	if (check_rows(m, &reason) < 0)
		*err = reason;
	return -1;
}

static int move_with(const struct move *m, const struct facts *facts, struct error *err)
{
	const struct service *source;
	struct address address;
	struct pool *pool;

	if (m->target && address_parse(m->target, &address, err) < 0)
		return -1;
	if (scheduler_misses_reports(m->s, &facts->view, m->target))
		return STEP_WAIT;
	if (address_parse(m->volume.host, &address, err) < 0)
		return check_rows(m, err) < 0
			? -1
			: error_set(err, ERR_INVALID_VOLUME,
				  "volume '%s' is on no backend", m->volume.id);
	source = view_service(&facts->view, address.backend);
	if (!source)
		return error_set(err, ERR_INVALID_HOST,
			"the volume's own backend '%s' is unknown", address.backend);
	if (choose(m, facts, source, &pool, err) < 0)
		return -1;
	if (source->drover)
		return admit(m, &facts->view, pool, err);
	if (cast_migrate(m, pool, err) < 0)
		return -1;
	log_info("migration handed on volume=%s from=%s to=%s request=%s", m->volume.id,
		m->volume.host, pool->address, m->request->request_id);
	return 0;
}

static int try_move(struct move *m, struct error *err)
{
	struct facts facts;
	int rc;

	if (store_type_specs(m->s->db, m->volume.volume_type_id, &m->specs, err) < 0 ||
		facts_read(m->s, &facts, err) < 0)
		return -1;
	rc = move_with(m, &facts, err);
	facts_clear(&facts);
	return rc;
}

/* ---- refusing ---- */

/* Was this very request admitted or refused before? */
static int is_duplicate(const struct move *m, struct error *err)
{
	struct migration last;
	int found = store_migration_last(m->s->db, m->volume.id, &last, err);

	return found > 0 ? strcmp(last.op.request_id, m->request->request_id) == 0
			 : found;
}

/* Texts from messages may have been cut within a character. */
static void make_utf8(char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t size = text_utf8_size(text, left);

		if (size == 0 || (unsigned char)*text < 0x20)
			*text = '?';
		size = size ? size : 1;
		text += size;
		left -= size;
	}
}

static int refuse(const struct move *m, struct error *why, struct error *err)
{
	char target[ADDRESS_SIZE]; /* cut: nothing that long is an address */
	const struct migration_request request =
		migration_request(m, m->target ? target : NULL);
	int known = is_duplicate(m, err);

	if (known < 0)
		return -1;
	if (known) {
		log_info("migration is known already volume=%s request=%s",
			m->volume.id, m->request->request_id);
		return 0;
	}
	snprintf(target, sizeof(target), "%s", m->target ? m->target : "");
	make_utf8(target);
	make_utf8(why->text);
	log_warning("migration refused volume=%s target='%s' request=%s reason='%s'",
		m->volume.id, target, m->request->request_id, why->text);
	return store_migration_refuse(m->s->db, &request, why, err);
}

int migrate_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err)
{
	struct move m = { .s = s, .request = request };
	struct error why;
	int rc;

	if (request_volume(s, request, &m.volume, err) < 0)
		return -1;
	/* Also a malformed request is taken back, when it is clear whose it is. */
	rc = read_move(request->args, &m, &why);
	if (rc == 0)
		rc = try_move(&m, &why);
	json_object_put(m.specs);
	if (rc == STEP_FAILED && !error_is_temporary(&why))
		return refuse(&m, &why, err);
	if (rc == STEP_FAILED)
		*err = why;
	return rc;
}
