/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/store_fixture.h"

#include <time.h>

static void ignore_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

int store_open(void **state)
{
	const char *url = getenv("DROVER_TEST_DATABASE");
	AUTO(free) char *conninfo = NULL;
	void *fixture = NULL;
	struct store *s = calloc(1, sizeof(*s));

	if (!s || make_database(&fixture) < 0)
		return -1;
	s->fixture = fixture;
	s->db = s->fixture->db;
	AUTO(free) char *own = url_with_database(url, s->fixture->name);
	if (url_to_conninfo(own, &conninfo, &s->err) < 0 ||
		schema_sync(s->db, NULL, NULL, &s->err) < 0)
		fail_msg("%s", s->err.text);
	s->psql = PQconnectdb(conninfo);
	if (PQstatus(s->psql) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(s->psql));
	PQsetNoticeReceiver(s->psql, ignore_notice, NULL);
	/* The rows of tests need not survive a crash. */
	sql(s, "set synchronous_commit = off");
	*state = s;
	return 0;
}

int store_close(void **state)
{
	struct store *s = *state;
	void *fixture;

	if (!s)
		return 0;
	fixture = s->fixture;
	PQfinish(s->psql);
	db_free(s->second);
	free(s);
	return drop_database(&fixture);
}

static PGresult *run(struct store *s, const char *format, va_list args)
{
	AUTO(free) char *text = NULL;
	PGresult *rows;

	if (vasprintf(&text, format, args) < 0)
		fail_msg("no memory");
	rows = PQexec(s->psql, text);
	if (PQresultStatus(rows) != PGRES_COMMAND_OK &&
		PQresultStatus(rows) != PGRES_TUPLES_OK) {
		PQclear(rows);
		fail_msg("'%s': %s", text, PQerrorMessage(s->psql));
	}
	return rows;
}

void sql(struct store *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	PQclear(run(s, format, args));
	va_end(args);
}

static char *run_value(struct store *s, const char *format, va_list args)
{
	AUTO(PQclear) PGresult *rows = run(s, format, args);

	if (PQntuples(rows) != 1)
		fail_msg("%d rows from '%s'", PQntuples(rows), format);
	return strdup(PQgetvalue(rows, 0, 0));
}

char *sql_value(struct store *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	char *value = run_value(s, format, args);
	va_end(args);
	return value;
}

void assert_sql(struct store *s, const char *want, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	AUTO(free) char *value = run_value(s, format, args);
	va_end(args);
	assert_string_equal(value, want);
}

char *sql_everything(struct store *s)
{
	return sql_value(s,
		"select md5(string_agg(x, ' ' order by x)) from ("
		" select 'v' || v::text from public.volumes v union all"
		" select 'a' || a::text from public.volume_attachment a union all"
		" select 'd' || d::text from public.volume_admin_metadata d union all"
		" select 'h' || h::text from drover.attach_request h union all"
		" select 'c' || c::text from drover.connection c union all"
		" select 'w' || w::text from public.workers w union all"
		" select 'q' || q::text from public.quota_usages q union all"
		" select 'r' || r::text from public.reservations r union all"
		" select 'o' || o::text from drover.operation o union all"
		" select 'm' || m::text from drover.migration m union all"
		" select 's' || s::text from drover.source s union all"
		" select 'h' || h::text from drover.growth h union all"
		" select 'p' || p::text from public.snapshots p union all"
		" select 'u' || u::text from public.messages u union all"
		" select 'c' || s::text from drover.swap s union all"
		" select 'w' || w::text from drover.wish w union all"
		" select 't' || t::text from drover.transition t union all"
		" select 'b' || b::text from drover.object b union all"
		" select 'g' || g::text from drover.garbage g union all"
		" select 'e' || e::text from drover.export e) as all_rows (x)");
}

void assert_error(
	const struct error *err, enum error_code code, const char *format, ...)
{
	char want[ERROR_TEXT_SIZE];
	va_list args;

	if (err->code != code)
		fail_msg("%s, not %s: %s", error_code_name(err->code),
			error_code_name(code), err->text);
	if (!format)
		return;
	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);
	assert_string_equal(err->text, want);
}

static void add_backend(struct store *s, const char *backend, const char *owner)
{
	char uuid[UUID_TEXT_SIZE], holder[256];

	ok(s,
		store_service_register(s->db, backend, VOLUME_BINARY, "nova",
			VOLUME_RPC_VERSION, uuid, &s->err));
	assert_int_equal(store_lease_take(s->db, backend, owner, 1, 600, holder,
				 sizeof(holder), &s->err),
		1);
}

/* A new one for each test: nothing that the last one listened to is left. */
static void open_second(struct store *s)
{
	AUTO(free)
	char *own = url_with_database(getenv("DROVER_TEST_DATABASE"), s->fixture->name);

	db_free(s->second);
	s->second = open_db(own);
}

int store_reset(void **state)
{
	static const char *const tables[] = { "drover.export", "drover.attach_request",
		"drover.connection", "drover.look", "drover.garbage", "drover.object",
		"drover.transition", "drover.swap", "drover.migration", "drover.source",
		"drover.growth", "drover.wish", "drover.operation", "drover.manager",
		"public.messages", "public.reservations", "public.quota_usages",
		"public.transfers", "public.volume_glance_metadata", "public.snapshots",
		"public.volume_attachment", "public.volume_admin_metadata",
		"public.volume_metadata", "public.volumes", "public.groups",
		"public.consistencygroups", "public.volume_type_extra_specs" };
	struct store *s = *state;

	/* A test that failed may have left a transaction open. */
	PQclear(PQexec(s->psql, "rollback"));
	sql(s, "begin");
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
		sql(s, "delete from %s", tables[i]);
	sql(s,
		"delete from public.workers where resource_type <> 'SENTINEL';"
		" delete from public.services; commit");
	open_second(s);
	add_backend(s, SOURCE_BACKEND, OWNER);
	add_backend(s, TARGET_BACKEND, OWNER);
	add_backend(s, ELSEWHERE_BACKEND, OTHER_OWNER);
	add_volume(s, "data", SOURCE, s->volume);
	return 0;
}

void add_volume(
	struct store *s, const char *name, const char *host, char id[UUID_TEXT_SIZE])
{
	uuid_make(id);
	sql(s,
		"insert into public.volumes (id, display_name, host, size, status,"
		" attach_status, project_id, user_id, volume_type_id, created_at,"
		" launched_at, deleted, bootable, multiattach, use_quota,"
		" availability_zone)"
		" select '%s', '%s', '%s', 2, 'available', 'detached', 'project',"
		" 'user', id, localtimestamp, localtimestamp, false, false, false, true,"
		" 'nova'"
		" from public.volume_types where name = '__DEFAULT__'",
		id, name, host);
}

void add_attachment(struct store *s, const char *volume_id, char id[UUID_TEXT_SIZE])
{
	uuid_make(id);
	sql(s,
		"insert into public.volume_attachment (id, volume_id, attached_host,"
		" mountpoint, attach_mode, attach_status, created_at, attach_time,"
		" deleted) values ('%s', '%s', 'guest', '/dev/vdb', 'rw', 'attached',"
		" localtimestamp, '2024-05-01 12:00:00.25', false)",
		id, volume_id);
}

void add_snapshot(struct store *s, const char *volume_id)
{
	sql(s,
		"insert into public.snapshots (id, volume_id, volume_type_id, status,"
		" deleted) select gen_random_uuid(), id, volume_type_id, 'available',"
		" false from public.volumes where id = '%s'",
		volume_id);
}

void assert_volume(struct store *s, const char *volume_id, const char *want)
{
	assert_sql(s, want,
		"select status || '|' || coalesce(migration_status, '-') || '|' ||"
		" coalesce(host, '-') from public.volumes where id = '%s'",
		volume_id);
}

struct migration_request request_of(struct store *s, const char *request_id)
{
	return (struct migration_request) { .volume_id = s->volume,
		.request_id = request_id,
		.target = TARGET,
		.service_down_time = DOWN_TIME };
}

void claim(struct store *s, struct migration *m)
{
	struct operation op;

	assert_int_equal(
		store_operation_claim(s->db, m->op.id, OWNER, &op, &s->err), 1);
	assert_int_equal(store_migration_get(s->db, op.id, m, &s->err), 1);
	assert_int_equal(m->op.epoch, op.epoch);
}

void admit_migration(struct store *s, const char *request_id, struct migration *m)
{
	struct migration_request request = request_of(s, request_id);
	enum admission admission;

	ok(s, store_migration_admit(s->db, &request, &admission, &s->err));
	assert_int_equal(admission, ADMITTED);
	assert_int_equal(store_migration_last(s->db, s->volume, m, &s->err), 1);
	claim(s, m);
}

static void make_target(struct store *s, struct migration *m)
{
	AUTO(free) char *name = text_format("volume-%s", m->temporary_id);

	ok(s,
		store_object_plan(
			s->db, NULL, TARGET_BACKEND, name, m->temporary_id, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, TARGET_BACKEND, name, "inode-7", &s->err));
}

void bring_to(struct store *s, struct migration *m, enum phase phase)
{
	if (phase >= PHASE_PREPARING && m->op.phase < PHASE_PREPARING)
		ok(s, store_migration_prepare(s->db, m, &s->err));
	if (phase >= PHASE_COPYING && m->op.phase < PHASE_COPYING) {
		make_target(s, m);
		ok(s, store_migration_start_copy(s->db, m, "copy", &s->err));
	}
	if (phase >= PHASE_SEALING && m->op.phase < PHASE_SEALING)
		ok(s, store_migration_seal(s->db, m, "receipt", &s->err));
	if (phase >= PHASE_SETTLING && m->op.phase < PHASE_SETTLING)
		ok(s, store_migration_switch(s->db, m, false, 0, &s->err));
	if (phase >= PHASE_DONE && m->op.phase < PHASE_DONE)
		ok(s, store_migration_done(s->db, m, &s->err));
	assert_int_equal(m->op.phase, phase);
	assert_sql(s, phase_name(phase),
		"select phase from drover.operation where id = '%s'", m->op.id);
}

void wait_for_waiters(struct store *s, int count)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	double deadline = clock_seconds() + 20;

	for (;;) {
		AUTO(free)
		char *waiting = sql_value(s,
			"select count(*) >= %d from pg_catalog.pg_stat_activity"
			" where datname = current_database()"
			" and wait_event_type = 'Lock'",
			count);

		if (waiting[0] == 't')
			return;
		if (clock_seconds() > deadline)
			fail_msg("no %d sessions wait for a lock", count);
		nanosleep(&nap, NULL);
	}
}

void assert_notified(struct store *s, const char *channel, const char *payload)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	double deadline = clock_seconds() + 10;
	char got_channel[64], got[300];

	while (clock_seconds() < deadline) {
		if (!db_notification(s->second, got_channel, sizeof(got_channel), got,
			    sizeof(got)))
			nanosleep(&nap, NULL);
		else if (strcmp(got_channel, channel) == 0 && strcmp(got, payload) == 0)
			return;
	}
	fail_msg("nothing for '%s' arrived on '%s'", payload, channel);
}
