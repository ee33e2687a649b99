/* SPDX-License-Identifier: Apache-2.0 */
#include "common/store/pace.h"

#include <stdio.h>
#include <string.h>

#include "common/store/operations.h"
#include "common/store/services.h"

struct change {
	const struct volume *volume;
	bool of_rate;
	int64_t rate_limit;
	bool paused;
};

/* Null is a value here. */
static const char *limit_text(char out[24], int64_t rate_limit)
{
	return rate_limit < 0 ? NULL : num_text(out, rate_limit);
}

int64_t store_pace_limit_of(const PGresult *rows, int row)
{
	return row_null(rows, row, "rate_limit") ? RATE_OF_BACKEND
						 : row_int(rows, row, "rate_limit");
}

/* ---- may it be changed? ---- */

static int refuse_absent(const struct volume *volume, struct error *err)
{
	if (strcmp(volume->migration_status, "starting") == 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"no scheduler has taken up the migration of volume '%s' yet: try "
			"again in a moment",
			volume_called(volume));
	return error_set(err, ERR_INVALID_VOLUME, "volume '%s' is not being migrated",
		volume_called(volume));
}

static int refuse_phase(
	const struct volume *volume, enum phase phase, struct error *err)
{
	if (phase == PHASE_HELD)
		return error_set(err, ERR_INVALID_VOLUME,
			"the migration of volume '%s' is held and nothing is copied: "
			"'drover migration show %s' tells why",
			volume_called(volume), volume_called(volume));
	return error_set(err, ERR_INVALID_VOLUME,
		"too late: all of volume '%s' is copied already",
		volume_called(volume));
}

/* The guest's host copies. Nova passes nothing on; a hypervisor takes a rate, and cannot
 * stop. */
static int check_mover(const struct change *what, const char *api, struct error *err)
{
	const char *name = volume_called(what->volume);
	bool nova = strcmp(api, "nova") == 0;

	if (nova && what->of_rate)
		return error_set(err, ERR_INVALID_VOLUME,
			"Compute copies volume '%s': its rate cannot be changed", name);
	if (nova && what->paused)
		return error_set(err, ERR_INVALID_VOLUME,
			"Compute copies volume '%s': it cannot be paused", name);
	if (api[0] && what->paused)
		return error_set(err, ERR_INVALID_VOLUME,
			"the hypervisor copies volume '%s' and cannot pause: 'drover rate "
			"%s 1M' slows it down",
			name, name);
	return 0;
}

static int check_change(
	const struct change *what, const PGresult *rows, struct error *err)
{
	enum phase phase = phase_from_name(row_text(rows, 0, "phase"));

	if (!what->of_rate && !what->paused)
		return 0;
	if (phase != PHASE_QUEUED && phase != PHASE_PREPARING &&
		phase != PHASE_COPYING && phase != PHASE_SWAPPING)
		return refuse_phase(what->volume, phase, err);
	return check_mover(what, row_text_or(rows, 0, "api", ""), err);
}

/* ---- the change ---- */

/* A worker that copies looks at the row anyway; who only comes by now and then is called. */
static int call_worker(
	struct db *db, const char *id, const char *host, struct error *err)
{
	static const char sql[] = "update drover.operation set not_before = now()"
				  " where id = $1::uuid and phase = 'swapping'";

	return db_run(db, sql, err, id) < 0 ? -1
					    : store_notify(db, WORK_CHANNEL, host, err);
}

static int change_body(struct db *db, void *arg, struct error *err)
{
	static const char find[] =
		"select o.id, o.phase, o.host, w.api from drover.operation o"
		" join drover.migration m on m.operation_id = o.id"
		" left join drover.swap w on w.operation_id = o.id"
		" where o.volume_id = $1 and o.finished_at is null"
		" order by o.phase = 'settling' limit 1 for update of o";
	static const char limit[] =
		"update drover.migration set rate_limit = $2::bigint,"
		" pace_at = clock_timestamp() where operation_id = $1::uuid";
	static const char pause[] =
		"update drover.migration set paused = $2::bool,"
		" pace_at = clock_timestamp() where operation_id = $1::uuid";
	const struct change *what = arg;
	AUTO(PQclear) PGresult *rows = NULL;
	char text[24];
	const char *id;
	int count = db_query(db, find, &rows, err, what->volume->id);

	if (count == 0)
		return refuse_absent(what->volume, err);
	if (count < 0 || check_change(what, rows, err) < 0)
		return -1;
	id = row_text(rows, 0, "id");
	count = what->of_rate
		? db_run(db, limit, err, id, limit_text(text, what->rate_limit))
		: db_run(db, pause, err, id, BOOL_TEXT(what->paused));
	return count < 0 ? -1 : call_worker(db, id, row_text(rows, 0, "host"), err);
}

int store_pace_limit(struct db *db, const struct volume *volume, int64_t rate_limit,
	struct error *err)
{
	struct change what = {
		.volume = volume, .of_rate = true, .rate_limit = rate_limit
	};

	return db_transact(db, change_body, &what, err) < 0 ? -1 : 0;
}

int store_pace_pause(
	struct db *db, const struct volume *volume, bool paused, struct error *err)
{
	struct change what = { .volume = volume, .paused = paused };

	return db_transact(db, change_body, &what, err) < 0 ? -1 : 0;
}

/* ---- wishes ---- */

/* Nova and a Python cinder-volume copy as they like. */
static int check_heeded(struct db *db, const struct volume *volume,
	double service_down_time, struct error *err)
{
	static const char sql[] = "select compute_api from drover.manager"
				  " where host = $1 and compute_api = 'nova'";
	AUTO(PQclear) PGresult *rows = NULL;
	struct service service;
	struct address address;
	int found;

	if (address_parse(volume->host, &address, err) < 0)
		return -1;
	found = store_service_get(
		db, address.backend, service_down_time, &service, err);
	if (found < 0)
		return -1;
	if (!found || !service.drover)
		return error_set(err, ERR_INVALID_VOLUME,
			"the backend of volume '%s' has no drover-volume-manager: the "
			"rate of its migrations cannot be chosen",
			volume_called(volume));
	if (volume->attachments == 0)
		return 0;
	found = db_query(db, sql, &rows, err, address.backend);
	if (found > 0)
		return error_set(err, ERR_INVALID_VOLUME,
			"Compute copies volume '%s': its rate cannot be chosen",
			volume_called(volume));
	return found;
}

int store_wish_add_locked(struct db *db, const struct volume *volume,
	const char *request_id, int64_t rate_limit, double service_down_time,
	struct error *err)
{
	static const char sql[] =
		"insert into drover.wish (volume_id, request_id, rate_limit)"
		" values ($1, $2, $3::bigint) on conflict (volume_id) do update"
		" set request_id = excluded.request_id,"
		" rate_limit = excluded.rate_limit, created_at = now()";

	if (check_heeded(db, volume, service_down_time, err) < 0)
		return -1;
	return db_run(db, sql, err, volume->id, request_id, NUM(rate_limit)) < 0 ? -1
										 : 0;
}

int store_wish_take_locked(struct db *db, const char *volume_id, const char *request_id,
	const char *operation_id, struct error *err)
{
	/* Another request's is void: the volume is on its way. */
	static const char sql[] =
		"with w as (delete from drover.wish where volume_id = $1"
		"  returning request_id, rate_limit)"
		" update drover.migration m set rate_limit = w.rate_limit from w"
		" where m.operation_id = $3::uuid and w.request_id = $2";

	return db_run(db, sql, err, volume_id, request_id, operation_id) < 0 ? -1 : 0;
}

int store_wish_drop_locked(
	struct db *db, const char *volume_id, const char *request_id, struct error *err)
{
	static const char sql[] = "delete from drover.wish where volume_id = $1"
				  " and request_id = $2";

	return db_run(db, sql, err, volume_id, request_id) < 0 ? -1 : 0;
}

int store_wish_drop_lost(struct db *db, double seconds, struct error *err)
{
	static const char sql[] =
		"delete from drover.wish w"
		" where w.created_at < now() - make_interval(secs => $1::float8)"
		" and not exists (select 1 from public.volumes v"
		"  where v.id = w.volume_id and not v.deleted"
		"  and v.migration_status = 'starting')";
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds);
	return db_run(db, sql, err, text) < 0 ? -1 : 0;
}
