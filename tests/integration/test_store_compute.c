/* SPDX-License-Identifier: Apache-2.0 */
/* Attached volumes: which ones Compute may move, what is written down around the question,
 * and how it ends. */
#include "common/store/compute.h"
#include "tests/integration/store_fixture.h"

#define SERVER "11111111-1111-4111-8111-111111111111"
#define OLD "22222222-2222-4222-8222-222222222222"
#define NEW "33333333-3333-4333-8333-333333333333"

static void offer(struct store *s, const char *api)
{
	ok(s, store_compute_offer(s->db, SOURCE_BACKEND, OWNER, api, &s->err));
}

static void attach(struct store *s, const char *volume, const char *id,
	const char *status, const char *connector)
{
	sql(s,
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, attach_mode, connector, created_at, deleted) values"
		" ('%s', '%s', '" SERVER "', '%s', 'rw', nullif('%s', ''),"
		" localtimestamp, false)",
		id, volume, status, connector);
	sql(s,
		"update public.volumes set attach_status = '%s', status = case '%s'"
		" when 'attached' then 'in-use' else '%s' end where id = '%s'",
		status, status, status, volume);
}

static void detach(struct store *s, const char *id)
{
	sql(s,
		"update public.volume_attachment set deleted = true,"
		" attach_status = 'detached' where id = '%s'",
		id);
}

/* An attached volume whose migration waits for Compute. */
static void begin(struct store *s, struct migration *m)
{
	offer(s, "nova");
	attach(s, s->volume, OLD, "attached", "{}");
	admit_migration(s, "r1", m);
	assert_string_equal(m->route, "compute");
	ok(s, store_migration_prepare(s->db, m, &s->err));
	ok(s, store_swap_begin(s->db, m, &s->err));
	assert_int_equal(m->op.phase, PHASE_SWAPPING);
}

static void begin_asked(struct store *s, struct migration *m)
{
	begin(s, m);
	ok(s, store_swap_ask(s->db, m, &s->err));
	ok(s, store_swap_accepted(s->db, m, &s->err));
}

/* What Nova does: T is the guest's, S is not any more. */
static void guest_moves(struct store *s, const struct migration *m)
{
	attach(s, m->temporary_id, NEW, "attached", "{\"host\": \"c\"}");
	detach(s, OLD);
}

static int complete(struct store *s, const struct migration *m, bool failed)
{
	struct completion completion = { .volume_id = s->volume,
		.new_volume_id = m->temporary_id,
		.failed = failed };

	return store_swap_complete(s->db, &completion, &s->err);
}

static void assert_phase(struct store *s, const struct migration *m, const char *phase)
{
	assert_sql(s, phase, "select phase from drover.operation where id = '%s'",
		m->op.id);
}

/* ---- admission ---- */

static const struct {
	const char *change; /* %s: S */
	const char *text;
} refusals[] = {
	{ "update drover.manager set compute_api = 'none' where '%s' <> ''",
		"volume 'data' cannot be migrated: it is attached to server " SERVER
		"; detach it first" },
	{ "insert into public.volume_attachment (id, volume_id, instance_uuid,"
	  " attach_status, deleted) values ('x', '%s', '" OLD "', 'attached', false)",
		"volume 'data' cannot be migrated: it has 2 attachments, and Compute can "
		"move a volume with one" },
	{ "update public.volume_attachment set instance_uuid = null"
	  " where volume_id = '%s'",
		"volume 'data' cannot be migrated: it is attached to a host without a "
		"server, which Compute knows nothing of" },
	{ "update public.volume_attachment set instance_uuid = '../x'"
	  " where volume_id = '%s'",
		"volume 'data' cannot be migrated: the id of its server is none" },
	{ "update public.volume_attachment set attach_status = 'detaching'"
	  " where volume_id = '%s'",
		"volume 'data' cannot be migrated: it is being attached or detached" },
	{ "update public.volumes set encryption_key_id = 'key' where id = '%s'",
		"volume 'data' cannot be migrated: it is attached and encrypted, which "
		"Compute cannot move" },
	{ "insert into drover.export (id, volume_id, host, kind, peer) values"
	  " (gen_random_uuid(), '%1$s', 'one@a', 'attachment', 'x'),"
	  " (gen_random_uuid(), '%1$s', 'one@a', 'attachment', 'y')",
		"volume 'data' cannot be migrated: it is connected to several hosts, 'x' "
		"and 'y'" },
	{ "update public.volumes set status = 'in-use' where id = '%1$s';"
	  " delete from public.volume_attachment where volume_id = '%1$s'",
		"volume 'data' cannot be migrated: it is attached to somebody; detach it "
		"first" },
};

static void only_one_guest_of_a_server_is_moved(void **state)
{
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct migration_request request = request_of(s, "r1");
		enum admission admission;

		store_reset(state);
		request = request_of(s, "r1");
		offer(s, "nova");
		attach(s, s->volume, OLD, "attached", "{}");
		sql(s, refusals[i].change, s->volume);
		AUTO(free) char *before = sql_everything(s);
		assert_fails(s,
			store_migration_admit(s->db, &request, &admission, &s->err),
			ERR_INVALID_VOLUME, "%s", refusals[i].text);
		AUTO(free) char *after = sql_everything(s);
		assert_string_equal(after, before);
	}
}

static void what_was_detached_before_it_began_is_copied(void **state)
{
	struct store *s = *state;
	struct migration m;

	offer(s, "nova");
	attach(s, s->volume, OLD, "attached", "{}");
	admit_migration(s, "r1", &m);
	assert_string_equal(m.op.saved_status, "in-use");
	detach(s, OLD);
	sql(s,
		"update public.volumes set status = 'available', attach_status = "
		"'detached'");
	ok(s, store_migration_prepare(s->db, &m, &s->err));
	assert_string_equal(m.route, "");
	assert_sql(s, "0", "select count(*) from drover.swap");
	/* It can be copied as any other. */
	bring_to(s, &m, PHASE_SETTLING);
	assert_volume(s, s->volume, "available|-|" TARGET);
}

static void another_guest_meanwhile_is_refused(void **state)
{
	struct store *s = *state;
	struct migration m;

	offer(s, "nova");
	attach(s, s->volume, OLD, "attached", "{}");
	admit_migration(s, "r1", &m);
	sql(s, "update public.volume_attachment set id = '" NEW "'");
	assert_fails(s, store_migration_prepare(s->db, &m, &s->err), ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: it was attached to another server "
		"meanwhile");
}

/* ---- while Compute has it ---- */

static void t_is_ready_before_compute_is_asked(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'readonly', 'True', false)",
		s->volume);
	begin(s, &m);
	/* Nova looks for this, in this moment. */
	assert_volume(s, s->volume, "in-use|migrating|" SOURCE);
	assert_sql(s, "available|detached|t|f",
		"select concat_ws('|', status, attach_status, migration_status ="
		" 'target:%s', use_quota) from public.volumes where id = '%s'",
		s->volume, m.temporary_id);
	assert_sql(s, "True",
		"select value from public.volume_admin_metadata where volume_id = '%s'"
		" and key = 'readonly'",
		m.temporary_id);
	assert_int_equal(store_swap_get(s->db, &m, &swap, &s->err), 1);
	assert_string_equal(swap.guest.server_id, SERVER);
	assert_string_equal(swap.guest.attachment_id, OLD);
	assert_false(swap.asked || swap.touched || swap.connected || swap.live);
	assert_true(swap.source_attached);
}

static void what_is_asked_is_written_down_first(void **state)
{
	struct store *s = *state;
	struct migration m, old;
	struct swap swap;

	begin(s, &m);
	ok(s, store_swap_ask(s->db, &m, &s->err));
	ok(s, store_swap_ask(s->db, &m, &s->err));
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.asked && !swap.accepted);
	assert_int_equal(swap.asks, 2);
	old = m;
	sql(s, "update drover.operation set not_before = now()");
	claim(s, &m);
	assert_fails(s, store_swap_ask(s->db, &old, &s->err), ERR_FENCED, NULL);
	assert_fails(s, store_swap_accepted(s->db, &old, &s->err), ERR_FENCED, NULL);
	assert_fails(s, store_swap_get(s->db, &old, &swap, &s->err), ERR_FENCED, NULL);
	ok(s, store_migration_cancel(s->db, s->volume, &s->err));
	assert_fails(s, store_swap_ask(s->db, &m, &s->err), ERR_CANCELLED,
		"the migration was cancelled");
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_int_equal(swap.asks, 2);
}

static void the_rows_tell_how_far_the_guest_came(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	begin_asked(s, &m);
	/* The older way: reserved, without an attachment. */
	sql(s, "update public.volumes set status = 'reserved' where id = '%s'",
		m.temporary_id);
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.touched && !swap.connected && swap.live == 1);
	attach(s, m.temporary_id, NEW, "reserved", "");
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.touched && !swap.connected && swap.live == 1);
	sql(s,
		"update public.volume_attachment set connector = '{}', attach_status ="
		" 'attaching' where id = '" NEW "'");
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.connected && !swap.attached && !swap.was_attached);
	sql(s,
		"update public.volume_attachment set attach_status = 'attached' where id ="
		" '" NEW "'");
	sql(s, "update public.volumes set status = 'in-use' where id = '%s'",
		m.temporary_id);
	detach(s, OLD);
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.attached && swap.was_attached && !swap.source_attached);
	/* When it is over, that it was so still shows. */
	detach(s, NEW);
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.was_attached && swap.connected && !swap.attached);
	assert_int_equal(swap.live, 0);
}

static void something_new_is_not_waited_with(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	begin_asked(s, &m);
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	ok(s, store_swap_later(s->db, &m, 60, &s->err));
	assert_sql(s, "t", "select not_before > now() from drover.operation");
	assert_int_equal(complete(s, &m, true), 1);
	assert_sql(s, "f", "select not_before > now() from drover.operation");
	/* The worker that looked before had not seen it. */
	claim(s, &m);
	ok(s, store_swap_later(s->db, &m, 60, &s->err));
	assert_sql(s, "f", "select not_before > now() from drover.operation");
}

/* ---- the switch ---- */

static void the_switch_takes_the_attachments_too(void **state)
{
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	guest_moves(s, &m);
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, attachment_id,"
		" peer, state, pid, port) values (gen_random_uuid(), '%s',"
		" '" TARGET_BACKEND "', 'attachment', '" NEW "', 'c', 'open', 1, 1),"
		" (gen_random_uuid(), '%s', '" SOURCE_BACKEND "', 'attachment', '" OLD
		"', 'c', 'open', 1, 1)",
		m.temporary_id, s->volume);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	assert_int_equal(complete(s, &m, false), 1);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_volume(s, s->volume, "in-use|-|" TARGET);
	assert_sql(s, "attached|t",
		"select concat_ws('|', attach_status, _name_id = '%s')"
		" from public.volumes where id = '%s'",
		m.temporary_id, s->volume);
	assert_sql(s, NEW " attached",
		"select string_agg(id || ' ' || attach_status, ' ')"
		" from public.volume_attachment where volume_id = '%s' and not deleted",
		s->volume);
	assert_sql(s, "t", "select deleted from public.volumes where id = '%s'",
		m.temporary_id);
	/* Its own connection goes on, the old one ends. */
	assert_sql(s, "closing open",
		"select string_agg(state, ' ' order by state) from drover.export"
		" where volume_id = '%s'",
		s->volume);
	assert_sql(s, SOURCE_BACKEND " f",
		"select host || ' ' || case when quarantined then 't' else 'f' end"
		" from drover.garbage");
	assert_phase(s, &m, "settling");
	/* Nobody but the guest waits for its own connection. */
	AUTO(free) struct garbage *list = NULL;
	sql(s, "update drover.operation set phase = 'done', finished_at = now()");
	assert_int_equal(
		store_garbage_due(s->db, SOURCE_BACKEND, 9, &list, &s->err), 0);
	sql(s,
		"update drover.export set state = 'closed', closed_at = now()"
		" where state = 'closing'");
	AUTO(free) struct garbage *second = NULL;
	assert_int_equal(
		store_garbage_due(s->db, SOURCE_BACKEND, 9, &second, &s->err), 1);
}

static void an_attachment_that_nobody_ended_is_over(void **state)
{
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	attach(s, m.temporary_id, NEW, "attached", "{}");
	assert_int_equal(complete(s, &m, false), 1);
	assert_sql(s, NEW,
		"select string_agg(id, ' ') from public.volume_attachment"
		" where volume_id = '%s' and not deleted",
		s->volume);
}

static void the_older_way_keeps_its_attachment(void **state)
{
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	sql(s, "update public.volumes set status = 'attaching' where id = '%s'",
		m.temporary_id);
	assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME, NULL);
	sql(s,
		"insert into drover.connection (volume_id, peer, request_id)"
		" values ('%s', 'c', 'r')",
		m.temporary_id);
	assert_int_equal(complete(s, &m, false), 1);
	assert_volume(s, s->volume, "in-use|-|" TARGET);
	assert_sql(s, OLD,
		"select string_agg(id, ' ') from public.volume_attachment"
		" where volume_id = '%s' and not deleted",
		s->volume);
}

static void a_completion_is_known_for_ever(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct completion other = { .volume_id = s->volume, .new_volume_id = NEW };

	assert_int_equal(store_swap_complete(s->db, &other, &s->err), 0);
	begin(s, &m);
	assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME,
		"Compute was not asked yet to migrate volume '%s'", s->volume);
	claim(s, &m);
	ok(s, store_swap_ask(s->db, &m, &s->err));
	assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME, NULL);
	guest_moves(s, &m);
	assert_int_equal(complete(s, &m, false), 1);
	assert_int_equal(complete(s, &m, false), 1);
	assert_int_equal(complete(s, &m, true), 1);
	assert_phase(s, &m, "settling");
	assert_int_equal(store_migration_get(s->db, m.op.id, &m, &s->err), 1);
	ok(s, store_migration_done(s->db, &m, &s->err));
	assert_int_equal(complete(s, &m, false), 1);
	assert_volume(s, s->volume, "in-use|-|" TARGET);
}

static void a_worker_switches_only_what_is_proven(void **state)
{
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	attach(s, m.temporary_id, NEW, "attached", "{}");
	assert_fails(s, store_swap_switch(s->db, &m, false, 0, &s->err),
		ERR_INVALID_VOLUME, NULL);
	detach(s, OLD);
	ok(s, store_swap_switch(s->db, &m, false, 0, &s->err));
	assert_volume(s, s->volume, "in-use|-|" TARGET);
	/* Its commit's outcome was unknown. */
	ok(s, store_swap_switch(s->db, &m, false, 0, &s->err));
}

/* ---- the way back ---- */

static void nothing_is_taken_back_from_under_a_guest(void **state)
{
	struct error why = { .code = ERR_COMPUTE, .text = "it failed" };
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	attach(s, m.temporary_id, NEW, "reserved", "");
	assert_fails(s,
		store_swap_give_up(
			s->db, &m, PHASE_FAILED, false, &why, false, &s->err),
		ERR_INVALID_VOLUME, NULL);
	detach(s, NEW);
	ok(s, store_swap_give_up(s->db, &m, PHASE_FAILED, false, &why, false, &s->err));
	assert_volume(s, s->volume, "in-use|-|" SOURCE);
	assert_sql(s, "failed|compute|it failed",
		"select concat_ws('|', phase, error_code, reason) from drover.operation");
	assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME,
		"the migration of volume '%s' has ended: it failed", s->volume);
	assert_fails(s, complete(s, &m, true), ERR_INVALID_VOLUME, NULL);
}

static void what_is_quarantined_waits_for_an_operator(void **state)
{
	struct error why = { .code = ERR_COMPUTE, .text = "it failed" };
	AUTO(free) struct garbage *none = NULL;
	AUTO(free) struct garbage *list = NULL;
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	ok(s,
		store_object_plan(
			s->db, NULL, TARGET_BACKEND, "vol-t", m.temporary_id, &s->err));
	attach(s, m.temporary_id, NEW, "attaching", "{}");
	detach(s, NEW);
	ok(s, store_swap_give_up(s->db, &m, PHASE_FAILED, false, &why, true, &s->err));
	assert_volume(s, s->volume, "in-use|error|" SOURCE);
	assert_int_equal(
		store_garbage_due(s->db, TARGET_BACKEND, 9, &none, &s->err), 0);
	assert_int_equal(store_garbage_list(s->db, NULL, &list, &s->err), 1);
	assert_true(list[0].quarantined && !list[0].due);
	ok(s, store_garbage_hurry(s->db, "vol-t", &s->err));
	AUTO(free) struct garbage *due = NULL;
	assert_int_equal(store_garbage_due(s->db, TARGET_BACKEND, 9, &due, &s->err), 1);
	assert_true(due[0].due);
}

/* The worker has looked before; what counts is how it is. */
static void what_became_of_t_meanwhile_counts(void **state)
{
	static const struct {
		const char *status, *connector;
		bool gone, given_up, quarantined;
	} cases[] = {
		{ "reserved", "", false, true, false },
		{ "attaching", "{}", false, true, true },
		{ "attaching", "{}", true, true, false },
		{ "attached", "{}", true, false, false },
	};
	struct error why = { .code = ERR_COMPUTE, .text = "it failed" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct migration m;

		store_reset(state);
		begin_asked(s, &m);
		attach(s, m.temporary_id, NEW, cases[i].status, cases[i].connector);
		detach(s, NEW);
		if (!cases[i].given_up) {
			assert_fails(s,
				store_swap_give_up(s->db, &m, PHASE_FAILED,
					cases[i].gone, &why, false, &s->err),
				ERR_INVALID_VOLUME, NULL);
			continue;
		}
		ok(s,
			store_swap_give_up(s->db, &m, PHASE_FAILED, cases[i].gone, &why,
				false, &s->err));
		assert_sql(s, cases[i].quarantined ? "t" : "f",
			"select quarantined from drover.garbage");
	}
}

/* What the API tier lets through meanwhile would be lost by the switch. */
static void a_second_guest_is_in_the_way(void **state)
{
	static const char second[] = "44444444-4444-4444-8444-444444444444";
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	begin(s, &m);
	attach(s, s->volume, second, "attached", "{}");
	assert_fails(s, store_swap_ask(s->db, &m, &s->err), ERR_INVALID_VOLUME,
		"volume '%s' was attached to somebody else meanwhile", s->volume);
	assert_int_equal(store_swap_get(s->db, &m, &swap, &s->err), 1);
	assert_int_equal(swap.source_others, 1);
	assert_false(swap.asked);

	store_reset(state);
	begin_asked(s, &m);
	guest_moves(s, &m);
	attach(s, s->volume, second, "attached", "{}");
	assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME, NULL);
	assert_non_null(strstr(s->err.text, "somebody else"));
	assert_fails(s, store_swap_switch(s->db, &m, false, 0, &s->err),
		ERR_INVALID_VOLUME, NULL);
	assert_sql(s, "0", "select count(*) from drover.garbage");
	detach(s, second);
	assert_int_equal(complete(s, &m, false), 1);
}

/* Reserved is not moved, whoever says so. */
static void a_completion_that_comes_too_early_is_refused(void **state)
{
	static const struct {
		const char *status, *connector;
	} cases[] = { { "reserved", "" }, { "attaching", "{}" } };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct migration m;

		store_reset(state);
		begin_asked(s, &m);
		attach(s, m.temporary_id, NEW, cases[i].status, cases[i].connector);
		assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME, NULL);
		assert_phase(s, &m, "swapping");
		assert_volume(s, s->volume, "in-use|migrating|" SOURCE);
	}
}

/* Of two orders one may fail: what the guest has counts. */
static void a_success_counts_after_a_failure(void **state)
{
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m);
	assert_int_equal(complete(s, &m, true), 1);
	assert_fails(s, complete(s, &m, false), ERR_INVALID_VOLUME, NULL);
	guest_moves(s, &m);
	assert_int_equal(complete(s, &m, false), 1);
	assert_phase(s, &m, "settling");
}

/* A failure that changes nothing else is looked at once, not again and again. */
static void a_failure_is_not_looked_at_without_pause(void **state)
{
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	begin_asked(s, &m);
	attach(s, m.temporary_id, NEW, "attaching", "{}");
	assert_int_equal(store_swap_get(s->db, &m, &swap, &s->err), 1);
	assert_int_equal(complete(s, &m, true), 1);
	assert_int_equal(store_migration_get(s->db, m.op.id, &m, &s->err), 1);
	assert_int_equal(store_swap_get(s->db, &m, &swap, &s->err), 1);
	assert_true(swap.failed);
	ok(s, store_swap_later(s->db, &m, 60, &s->err));
	assert_sql(s, "t",
		"select not_before > now() + interval '30 s'"
		" from drover.operation");
}

/* While it migrates the API tier does not do it. */
static void a_volume_whose_guest_is_gone_is_available(void **state)
{
	struct error why = { .code = ERR_COMPUTE, .text = "no" };
	struct store *s = *state;
	struct migration m;

	offer(s, "nova");
	attach(s, s->volume, OLD, "attached", "{}");
	admit_migration(s, "r1", &m);
	detach(s, OLD);
	assert_fails(s, store_migration_prepare(s->db, &m, &s->err), ERR_INVALID_VOLUME,
		NULL);
	ok(s, store_migration_roll_back(s->db, &m, PHASE_FAILED, &why, false, &s->err));
	assert_volume(s, s->volume, "available|-|" SOURCE);
}

/* The API tier writes 'ro' for every volume that has a "readonly", whatever it says. */
static void t_is_read_only_when_the_guest_has_s_so(void **state)
{
	static const struct {
		const char *readonly, *mode;
	} cases[] = { { "False", "-" }, { "True", "ro" }, { "", "ro" } };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct migration m;

		store_reset(state);
		offer(s, "nova");
		attach(s, s->volume, OLD, "attached", "{}");
		sql(s, "update public.volume_attachment set attach_mode = 'ro'");
		sql(s,
			"insert into public.volume_admin_metadata (created_at, deleted,"
			" volume_id, key, value) select localtimestamp, false, '%s',"
			" 'readonly', '%s' where '%s' <> ''",
			s->volume, cases[i].readonly, cases[i].readonly);
		admit_migration(s, "r1", &m);
		ok(s, store_migration_prepare(s->db, &m, &s->err));
		ok(s, store_swap_begin(s->db, &m, &s->err));
		assert_sql(s, cases[i].mode,
			"select coalesce((select value from"
			" public.volume_admin_metadata where volume_id = '%s'"
			" and key = 'attached_mode' and not deleted), '-')",
			m.temporary_id);
	}
}

static void only_what_is_held_is_resolved(void **state)
{
	static const bool answers[] = { false, true };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		struct migration m;

		store_reset(state);
		begin_asked(s, &m);
		attach(s, m.temporary_id, NEW, "attached", "{}");
		assert_fails(s,
			store_swap_resolve(
				s->db, s->volume, answers[i], false, 0, &s->err),
			ERR_INVALID_VOLUME, "volume '%s' has no migration that is held",
			s->volume);
		ok(s, store_swap_hold(s->db, &m, "nobody knows", &s->err));
		assert_sql(s, "held|nobody knows",
			"select phase || '|' || reason from drover.operation");
		assert_volume(s, s->volume, "in-use|migrating|" SOURCE);
		if (!answers[i]) {
			sql(s,
				"insert into drover.export (id, volume_id, host, peer,"
				" kind, state, pid, port) values (gen_random_uuid(),"
				" '%s', '" TARGET_BACKEND "', 'c', 'attachment',"
				" 'open', 1, 1)",
				m.temporary_id);
			assert_fails(s,
				store_swap_resolve(
					s->db, s->volume, false, false, 0, &s->err),
				ERR_INVALID_VOLUME, NULL);
			assert_int_equal(complete(s, &m, true), 1);
		}
		ok(s,
			store_swap_resolve(
				s->db, s->volume, answers[i], false, 0, &s->err));
		assert_sql(s, "0",
			"select count(*) from drover.export where state = 'open'");
		assert_volume(s, s->volume,
			answers[i] ? "in-use|-|" TARGET : "in-use|-|" SOURCE);
		assert_phase(s, &m, answers[i] ? "settling" : "failed");
		assert_sql(s, answers[i] ? "f" : "t",
			"select quarantined from drover.garbage");
		assert_sql(s, answers[i] ? NEW : OLD,
			"select string_agg(id, ' ') from public.volume_attachment"
			" where not deleted");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(only_one_guest_of_a_server_is_moved),
		STORE_TEST(what_was_detached_before_it_began_is_copied),
		STORE_TEST(another_guest_meanwhile_is_refused),
		STORE_TEST(t_is_ready_before_compute_is_asked),
		STORE_TEST(what_is_asked_is_written_down_first),
		STORE_TEST(the_rows_tell_how_far_the_guest_came),
		STORE_TEST(something_new_is_not_waited_with),
		STORE_TEST(the_switch_takes_the_attachments_too),
		STORE_TEST(an_attachment_that_nobody_ended_is_over),
		STORE_TEST(the_older_way_keeps_its_attachment),
		STORE_TEST(a_completion_is_known_for_ever),
		STORE_TEST(a_worker_switches_only_what_is_proven),
		STORE_TEST(nothing_is_taken_back_from_under_a_guest),
		STORE_TEST(what_is_quarantined_waits_for_an_operator),
		STORE_TEST(what_became_of_t_meanwhile_counts),
		STORE_TEST(a_second_guest_is_in_the_way),
		STORE_TEST(a_completion_that_comes_too_early_is_refused),
		STORE_TEST(a_success_counts_after_a_failure),
		STORE_TEST(a_failure_is_not_looked_at_without_pause),
		STORE_TEST(a_volume_whose_guest_is_gone_is_available),
		STORE_TEST(t_is_read_only_when_the_guest_has_s_so),
		STORE_TEST(only_what_is_held_is_resolved),
	};

	return STORE_MAIN(tests);
}
