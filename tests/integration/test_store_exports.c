/* SPDX-License-Identifier: Apache-2.0 */
/* Exports: wanted and closed by anybody, opened and reaped by their owner. */
#include "tests/integration/store_fixture.h"

static void connect(struct store *s, bool read_only, struct export *export)
{
	char id[UUID_TEXT_SIZE];

	ok(s, store_export_connect(s->db, s->volume, "guest", &read_only, id, &s->err));
	assert_int_equal(store_export_get(s->db, id, export, &s->err), 1);
}

/* By the process pid, when the row is as in *export; that becomes what was written. */
static int open_as(struct store *s, struct export *export, int pid)
{
	struct export read = *export;

	export->pid = pid;
	export->pid_start = 12345678901;
	export->port = 10809;
	snprintf(export->address, sizeof(export->address), "127.0.0.1");
	snprintf(export->boot_id, sizeof(export->boot_id), "this run");
	return ok(s, store_export_opened(s->db, export, &read, &s->err));
}

static int open_it(struct store *s, struct export *export)
{
	return open_as(s, export, 4711);
}

/* status|attach_status of S and attach_status of its attachments. */
static void assert_attached(struct store *s, const char *want)
{
	assert_sql(s, want,
		"select concat_ws('|', status, attach_status, coalesce((select"
		" string_agg(attach_status, ' ') from public.volume_attachment a"
		" where a.volume_id = v.id and not a.deleted), '-'))"
		" from public.volumes v where id = '%s'",
		s->volume);
}

static void connecting_and_disconnecting_a_host(void **state)
{
	struct store *s = *state;
	struct export e, read;
	char uri[EXPORT_URI_SIZE];

	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	ok(s, db_listen(s->second, DONE_CHANNEL, &s->err));
	connect(s, false, &e);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_attached(s, "attaching|attaching|attaching");
	assert_sql(s, "guest|na|rw|{\"host\":\"guest\",\"nbd\":true}",
		"select concat_ws('|', attached_host, mountpoint, attach_mode,"
		" replace(connector, ' ', '')) from public.volume_attachment");
	assert_string_equal(e.volume_id, s->volume);
	assert_string_equal(e.host, SOURCE_BACKEND);
	assert_string_equal(e.kind, "attachment");
	assert_string_equal(e.peer, "guest");
	assert_string_equal(e.state, "wanted");
	assert_string_equal(e.reply_id, "");
	assert_true(uuid_is(e.attachment_id));
	assert_int_equal(strlen(e.created_at), 19);
	assert_false(e.read_only);

	assert_int_equal(open_it(s, &e), 1);
	assert_notified(s, DONE_CHANNEL, s->volume);
	assert_attached(s, "in-use|attached|attached");
	assert_int_equal(store_export_get(s->db, e.id, &read, &s->err), 1);
	assert_string_equal(read.state, "open");
	assert_int_equal(read.pid, 4711);
	assert_string_equal(read.boot_id, "this run");
	assert_true(read.pid_start == 12345678901);
	assert_int_equal(read.port, 10809);
	export_uri(&read, uri);
	AUTO(free) char *want = text_format("nbd://127.0.0.1:10809/%s", e.id);
	assert_string_equal(uri, want);

	assert_int_equal(store_export_disconnect(s->db, s->volume, &s->err), 1);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_attached(s, "detaching|detaching|attached");
	/* Its owner reaps it first. */
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_notified(s, DONE_CHANNEL, s->volume);
	assert_attached(s, "available|detached|-");
	assert_sql(s, "detached|t|t",
		"select concat_ws('|', attach_status, deleted,"
		" detach_time is not null)"
		" from public.volume_attachment");
	assert_fails(s, store_export_disconnect(s->db, s->volume, &s->err),
		ERR_INVALID_VOLUME, "volume 'data' is not connected");
}

static void a_server_that_died_is_started_again(void **state)
{
	struct store *s = *state;
	struct export e, old;

	connect(s, true, &e);
	assert_true(e.read_only);
	assert_sql(s, "ro", "select attach_mode from public.volume_attachment");
	old = e;
	assert_int_equal(open_it(s, &e), 1);
	/* Its commit may have been of unknown outcome. */
	struct export again = old;
	assert_int_equal(open_it(s, &again), 1);
	/* Another one that read the row before that is too late. */
	assert_int_equal(open_as(s, &old, 4712), 0);
	assert_sql(s, "4711", "select pid from drover.export");
	assert_int_equal(store_export_get(s->db, e.id, &e, &s->err), 1);
	assert_int_equal(open_as(s, &e, 4713), 1);
	assert_sql(s, "4713", "select pid from drover.export");
	assert_attached(s, "in-use|attached|attached");
}

static void restarts_wait_longer_each_time(void **state)
{
	struct store *s = *state;
	double expected = 0.25;
	struct export e;

	connect(s, false, &e);
	assert_int_equal(open_it(s, &e), 1);
	for (int i = 0; i < 12; i++) {
		sql(s, "update drover.export set not_before = now()");
		assert_int_equal(store_export_restart(s->db, e.id, &s->err), 1);
		assert_sql(s, "t",
			"select extract(epoch from not_before - now())"
			" between %f and %f from drover.export",
			expected - 0.25, expected);
		if (i > 3)
			assert_int_equal(store_export_restart(s->db, e.id, &s->err), 0);
		expected = expected * 2 > 60 ? 60 : expected * 2;
	}
	/* It served for a while: that was another story. */
	sql(s,
		"update drover.export set not_before = now(),"
		" opened_at = now() - interval '61 s'");
	assert_int_equal(store_export_restart(s->db, e.id, &s->err), 1);
	assert_sql(s, "1|t",
		"select concat_ws('|', restarts, not_before <= now())"
		" from drover.export");
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_int_equal(store_export_restart(s->db, e.id, &s->err), 0);
}

static void what_is_to_close_is_not_opened(void **state)
{
	struct store *s = *state;
	struct export e;

	connect(s, false, &e);
	assert_int_equal(store_export_disconnect(s->db, s->volume, &s->err), 1);
	assert_attached(s, "detaching|detaching|attaching");
	assert_int_equal(open_it(s, &e), 0);
	assert_sql(s, "closing", "select state from drover.export");
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_int_equal(open_it(s, &e), 0);
	assert_attached(s, "available|detached|-");
}

static void closing_twice_has_one_effect(void **state)
{
	struct store *s = *state;
	struct export e, read;

	connect(s, false, &e);
	ok(s, store_export_closed(s->db, e.id, "no port is free", &s->err));
	assert_attached(s, "available|detached|-");
	AUTO(free) char *once = sql_everything(s);
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	AUTO(free) char *twice = sql_everything(s);
	assert_string_equal(twice, once);
	assert_int_equal(store_export_get(s->db, e.id, &read, &s->err), 1);
	assert_string_equal(read.state, "closed");
	assert_string_equal(read.error, "no port is free");
	assert_int_equal(store_export_get(s->db, OWNER, &read, &s->err), 0);
}

static void another_attachment_keeps_the_volume_in_use(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];
	struct export e;

	connect(s, false, &e);
	assert_int_equal(open_it(s, &e), 1);
	add_attachment(s, s->volume, id);
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_attached(s, "in-use|attached|attached");
}

static void assert_not_connected(
	struct store *s, const char *volume_id, enum error_code code, const char *text)
{
	AUTO(free) char *before = sql_everything(s);
	char id[UUID_TEXT_SIZE];
	bool read_only = false;

	assert_fails(s,
		store_export_connect(
			s->db, volume_id, "guest", &read_only, id, &s->err),
		code, "%s", text);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

/* ---- initialize_connection and its relatives ---- */

static int ask(struct store *s, const char *volume_id, const char *peer,
	const char *request_id, const char *reply_id, struct export *e)
{
	struct connect_request request = {
		.volume_id = volume_id, .request_id = request_id, .peer = peer
	};

	text_copy(request.reply.queue, sizeof(request.reply.queue), "reply_q");
	text_copy(request.reply.id, sizeof(request.reply.id), reply_id);
	return store_export_want(s->db, &request, e, &s->err);
}

static void only_an_idle_available_volume_is_connected(void **state)
{
	struct store *s = *state;
	struct export e;
	struct migration m;

	assert_not_connected(s, OWNER, ERR_VOLUME_NOT_FOUND,
		"volume '" OWNER "' could not be found");
	sql(s, "update public.volumes set status = 'in-use'");
	assert_not_connected(s, s->volume, ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: its status is 'in-use', it must "
		"be available");
	sql(s, "update public.volumes set status = 'available'");
	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	assert_not_connected(s, s->volume, ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is already migrating to "
		"'" TARGET "'");
	/* What a guest wrote to T would be taken for the copy. */
	assert_not_connected(s, m.temporary_id, ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is the target of a migration");
	assert_fails(s, ask(s, m.temporary_id, "guest", "r2", "i", &e),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is the target of a migration");
	assert_fails(s, ask(s, s->volume, "guest", "r2", "i", &e), ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is already migrating to "
		"'" TARGET "'");
	assert_sql(s, "0", "select count(*) from drover.export");
}

static void a_guests_own_copy_may_be_connected(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct export e;

	admit_migration(s, "r1", &m);
	bring_to(s, &m, PHASE_COPYING);
	sql(s, "update drover.migration set route = 'compute'");
	sql(s,
		"insert into drover.swap (operation_id, attachment_id, server_id)"
		" values ('%s', '-', '-')",
		m.op.id);
	ok(s, ask(s, m.temporary_id, "guest", "r2", "i", &e));
	assert_fails(
		s, ask(s, s->volume, "guest", "r3", "i", &e), ERR_INVALID_VOLUME, NULL);
	/* The guest's own host comes again; not one that had it before or has come since. */
	sql(s,
		"insert into public.volume_attachment (id, volume_id, attached_host,"
		" attach_status, created_at, deleted) select gen_random_uuid(), '%s',"
		" h, 'attached', localtimestamp - interval '1 h', d from (values"
		" ('guest', false), ('before', true), ('late', false)) as x (h, d)",
		s->volume);
	sql(s,
		"update drover.swap set attachment_id = (select id from"
		" public.volume_attachment where attached_host = 'guest')");
	ok(s, ask(s, s->volume, "guest", "r4", "i", &e));
	assert_fails(
		s, ask(s, s->volume, "late", "r5", "i", &e), ERR_INVALID_VOLUME, NULL);
	assert_fails(s, ask(s, s->volume, "before", "r6", "i", &e), ERR_INVALID_VOLUME,
		NULL);
}

static void want_reply(
	struct store *s, const char *peer, const char *reply_id, struct export *e)
{
	static unsigned number;
	AUTO(free) char *request_id = text_format("req-%u", number++);

	ok(s, ask(s, s->volume, peer, request_id, reply_id, e));
}

static void want(struct store *s, const char *peer, struct export *e)
{
	want_reply(s, peer, "message", e);
}

static int unanswered(struct store *s, const char *backend, struct export *first)
{
	AUTO(free) struct export *list = NULL;
	int count = ok(s, store_export_unanswered(s->db, backend, &list, &s->err));

	if (count)
		*first = list[0];
	return count;
}

static void a_connection_is_wanted_and_answered(void **state)
{
	struct store *s = *state;
	struct export e, again, waiting;

	/* Its status is the API tier's business. */
	sql(s,
		"update public.volumes set status = 'attaching',"
		" attach_status = 'attaching'");
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	want(s, "guest", &e);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_attached(s, "attaching|attaching|-");
	assert_string_equal(e.state, "wanted");
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 0);
	/* The same peer again: the same export, and the answer goes to who still waits. */
	want_reply(s, "guest", "newer message", &again);
	assert_string_equal(again.id, e.id);
	assert_int_equal(store_export_get(s->db, e.id, &e, &s->err), 1);
	assert_string_equal(e.attachment_id, "");
	assert_string_equal(e.reply_queue, "reply_q");
	assert_false(e.read_only);
	assert_int_equal(open_it(s, &e), 1);
	assert_attached(s, "attaching|attaching|-");
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 1);
	assert_string_equal(waiting.id, e.id);
	assert_string_equal(waiting.reply_id, "newer message");
	assert_int_equal(unanswered(s, TARGET_BACKEND, &again), 0);
	ok(s, store_export_answered(s->db, &waiting, &s->err));
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 0);
	want(s, "guest", &again);
	assert_string_equal(again.id, e.id);
	assert_string_equal(again.state, "open");
}

static void a_connection_that_cannot_be_made_is_answered_too(void **state)
{
	struct store *s = *state;
	struct export e, next, waiting;

	want(s, "guest", &e);
	ok(s, store_export_closed(s->db, e.id, "no port is free", &s->err));
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 1);
	assert_string_equal(waiting.state, "closed");
	assert_string_equal(waiting.error, "no port is free");
	assert_attached(s, "available|detached|-");
	want(s, "guest", &next);
	assert_string_not_equal(next.id, e.id);
}

static int give_up(
	struct store *s, const char *peer, const char *reply_id, struct export **list)
{
	struct disconnect_request request = {
		.volume_id = s->volume, .loose = true, .peer = peer
	};

	text_copy(request.reply.queue, sizeof(request.reply.queue), "q");
	text_copy(request.reply.id, sizeof(request.reply.id), reply_id);
	return ok(s, store_export_close(s->db, &request, list, &s->err));
}

static void connections_are_closed_by_peer_or_all(void **state)
{
	struct store *s = *state;
	AUTO(free) struct export *none = NULL;
	AUTO(free) struct export *one = NULL;
	AUTO(free) struct export *two = NULL;
	AUTO(free) struct export *list = NULL;
	AUTO(free) struct export *here = NULL;
	AUTO(free) struct export *there = NULL;
	struct export a, b, c, waiting;

	want_reply(s, "a", "who opens it", &a);
	want(s, "b", &b);
	want(s, "c", &c);
	assert_int_equal(give_up(s, "x", "", &none), 0);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	assert_int_equal(give_up(s, "a", "who closes it", &one), 1);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	/* That one waits in vain now, and can be told. */
	assert_string_equal(one[0].reply_id, "who opens it");
	assert_string_equal(one[0].reply_for, REPLY_CONNECTION);
	assert_sql(s, "a",
		"select string_agg(peer, ' ') from drover.export"
		" where state = 'closing'");
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 0);
	ok(s, store_export_closed(s->db, a.id, NULL, &s->err));
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 1);
	assert_string_equal(waiting.reply_id, "who closes it");
	assert_string_equal(waiting.reply_for, REPLY_CLOSED);
	ok(s, store_export_answered(s->db, &waiting, &s->err));
	assert_int_equal(store_export_list(s->db, NULL, &list, &s->err), 2);
	assert_string_equal(list[0].id, b.id);
	assert_int_equal(store_export_list(s->db, SOURCE_BACKEND, &here, &s->err), 2);
	assert_int_equal(store_export_list(s->db, TARGET_BACKEND, &there, &s->err), 0);
	assert_int_equal(give_up(s, NULL, "all", &two), 2);
	/* Who gives up several hears of it once, when all are closed. */
	ok(s, store_export_closed(s->db, b.id, NULL, &s->err));
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 0);
	ok(s, store_export_closed(s->db, c.id, NULL, &s->err));
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 1);
	ok(s, store_export_answered(s->db, &waiting, &s->err));
	assert_int_equal(unanswered(s, SOURCE_BACKEND, &waiting), 0);
	/* A new request of a peer whose old export is closing gets a new one. */
	want(s, "b", &b);
	free(steal(none));
	assert_int_equal(give_up(s, "b", "", &none), 1);
	want(s, "b", &a);
	assert_string_not_equal(a.id, b.id);
}

static void a_request_that_comes_late_opens_nothing(void **state)
{
	struct store *s = *state;
	AUTO(free) struct export *list = NULL;
	struct export e;

	ok(s, ask(s, s->volume, "guest", "r1", "i", &e));
	assert_int_equal(open_it(s, &e), 1);
	assert_int_equal(give_up(s, "guest", "", &list), 1);
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_fails(s, ask(s, s->volume, "guest", "r1", "i", &e), ERR_INVALID_VOLUME,
		"volume '%s' was connected by this request before, and disconnected "
		"since",
		s->volume);
	ok(s, ask(s, s->volume, "guest", "r2", "i", &e));
	/* One that could not be opened may be tried again. */
	ok(s, store_export_closed(s->db, e.id, "no port is free", &s->err));
	ok(s, ask(s, s->volume, "guest", "r2", "i", &e));
	assert_string_equal(e.state, "wanted");
}

static void what_became_read_only_is_not_written_through_an_old_connection(void **state)
{
	struct store *s = *state;
	bool read_only = false;
	char id[UUID_TEXT_SIZE];
	struct export e, again;

	want(s, "guest", &e);
	assert_int_equal(open_it(s, &e), 1);
	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'readonly', 'True', false)",
		s->volume);
	/* The old one has to go first; asked again and again. */
	assert_fails(s, ask(s, s->volume, "guest", "later", "i", &again), ERR_DB_RETRY,
		NULL);
	assert_sql(s, "closing", "select state from drover.export");
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	ok(s, ask(s, s->volume, "guest", "later", "i", &again));
	assert_true(again.read_only);
	ok(s, store_export_closed(s->db, again.id, NULL, &s->err));
	ok(s, store_export_connect(s->db, s->volume, "host", &read_only, id, &s->err));
	assert_true(read_only);
	assert_int_equal(store_export_get(s->db, id, &e, &s->err), 1);
	assert_true(e.read_only);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(connecting_and_disconnecting_a_host),
		STORE_TEST(a_server_that_died_is_started_again),
		STORE_TEST(restarts_wait_longer_each_time),
		STORE_TEST(what_is_to_close_is_not_opened),
		STORE_TEST(closing_twice_has_one_effect),
		STORE_TEST(another_attachment_keeps_the_volume_in_use),
		STORE_TEST(only_an_idle_available_volume_is_connected),
		STORE_TEST(a_guests_own_copy_may_be_connected),
		STORE_TEST(a_connection_is_wanted_and_answered),
		STORE_TEST(a_connection_that_cannot_be_made_is_answered_too),
		STORE_TEST(connections_are_closed_by_peer_or_all),
		STORE_TEST(a_request_that_comes_late_opens_nothing),
		STORE_TEST(
			what_became_read_only_is_not_written_through_an_old_connection),
	};

	return STORE_MAIN(tests);
}
