/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are about to be made, and leftovers until they are gone. */
#include "tests/integration/store_fixture.h"

/* ---- objects ---- */

static void an_object_is_written_down_before_it_exists(void **state)
{
	struct store *s = *state;
	struct object_row object;

	assert_int_equal(
		store_object_get(s->db, SOURCE_BACKEND, s->volume, &object, &s->err),
		0);
	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "vol", s->volume, &s->err));
	assert_int_equal(
		store_object_get(s->db, SOURCE_BACKEND, s->volume, &object, &s->err),
		1);
	assert_string_equal(object.name, "vol");
	assert_string_equal(object.identity, "");
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol", "inode-1", &s->err));
	/* Planned again, as after a crash: what is known stays. */
	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "vol", s->volume, &s->err));
	assert_int_equal(
		store_object_get(s->db, SOURCE_BACKEND, s->volume, &object, &s->err),
		1);
	assert_string_equal(object.identity, "inode-1");
	/* Another backend may have one of the same name. */
	assert_int_equal(
		store_object_get(s->db, TARGET_BACKEND, s->volume, &object, &s->err),
		0);
	assert_fails(s,
		store_object_identify(s->db, NULL, TARGET_BACKEND, "vol", "x", &s->err),
		ERR_FENCED,
		"object 'vol' of '" TARGET_BACKEND "' is not written down any more");
}

static void hint(struct store *s, const char *name_id, int found, const char *location,
	const char *format)
{
	struct object_hint hint;

	assert_int_equal(
		store_object_hint(s->db, SOURCE_BACKEND, name_id, &hint, &s->err),
		found);
	assert_string_equal(hint.location, location);
	assert_string_equal(hint.format, format);
}

/* As a real Cinder has left it. */
static void an_object_of_others_is_where_its_row_says(void **state)
{
	struct store *s = *state;

	hint(s, s->volume, 1, "", "");
	sql(s, "update public.volumes set provider_location = 'a:/x'");
	sql(s,
		"insert into public.volume_admin_metadata"
		" (volume_id, key, value, deleted) values"
		" ('%s', 'format', 'qcow2', true), ('%s', 'format', 'raw', false)",
		s->volume, s->volume);
	hint(s, s->volume, 1, "a:/x", "raw");
	/* A deleted one is still there for the one who removes it. */
	sql(s, "update public.volumes set deleted = true");
	hint(s, s->volume, 1, "a:/x", "raw");
	/* Its name is another's after a migration, and other backends have other objects. */
	sql(s, "update public.volumes set deleted = false, _name_id = '" OWNER "'");
	hint(s, s->volume, 0, "", "");
	hint(s, OWNER, 1, "a:/x", "raw");
	sql(s, "update public.volumes set host = '" TARGET "'");
	hint(s, OWNER, 0, "", "");
}

/* ---- leftovers ---- */

struct adding {
	const char *volume_id, *operation_id;
	double keep_s;
};

static int add_body(struct db *db, void *arg, struct error *err)
{
	const struct adding *adding = arg;
	struct volume volume;

	if (store_volume_get(db, adding->volume_id, &volume, err) <= 0)
		return -1;
	return store_garbage_add_volume_locked(db, &volume, SOURCE_BACKEND,
		adding->operation_id, adding->keep_s, "for a test", err);
}

static void add(struct store *s, const char *operation_id, double keep_s)
{
	struct adding adding = { s->volume, operation_id, keep_s };

	ok(s, db_transact(s->db, add_body, &adding, &s->err));
}

/* The only one there is, with a new epoch. */
static void claim_it(struct store *s, struct garbage *g)
{
	AUTO(free) char *id = sql_value(s, "select id from drover.garbage");

	assert_int_equal(store_garbage_claim(s->db, id, g, &s->err), 1);
}

static int due(struct store *s)
{
	AUTO(free) struct garbage *list = NULL;

	return ok(s, store_garbage_due(s->db, SOURCE_BACKEND, 10, &list, &s->err));
}

static void a_known_object_goes_by_its_identity(void **state)
{
	struct store *s = *state;
	AUTO(free) struct garbage *list = NULL;
	AUTO(free) char *trash = NULL;

	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "vol", s->volume, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol", "inode-1", &s->err));
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	add(s, NULL, 0);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(store_garbage_list(s->db, SOURCE_BACKEND, &list, &s->err), 1);
	assert_string_equal(list[0].host, SOURCE_BACKEND);
	assert_string_equal(list[0].name, "vol");
	assert_string_equal(list[0].identity, "inode-1");
	assert_string_equal(list[0].volume_id, s->volume);
	assert_string_equal(list[0].operation_id, "");
	assert_string_equal(list[0].reason, "for a test");
	assert_string_equal(list[0].last_error, "");
	assert_int_equal(strlen(list[0].created_at), 19);
	trash = text_format("trash-%s-", s->volume);
	assert_begins(list[0].trash_name, trash);
	assert_int_equal(strlen(list[0].trash_name), strlen(trash) + 8);
	assert_false(list[0].by_name);
	assert_int_equal(list[0].epoch, 0);
	assert_int_equal(list[0].attempts, 0);
	/* Once. */
	add(s, NULL, 0);
	assert_sql(s, "1", "select count(*) from drover.garbage");
}

static void a_strangers_object_is_looked_for_by_name_once(void **state)
{
	struct store *s = *state;
	AUTO(free) char *name = text_format("volume-%s", s->volume);
	struct garbage g, old;

	add(s, NULL, 0);
	claim_it(s, &old);
	assert_true(old.by_name);
	assert_string_equal(old.name, name);
	assert_string_equal(old.identity, "");
	claim_it(s, &g);
	assert_fails(s, store_garbage_identify(s->db, &old, "x", "inode-1", &s->err),
		ERR_FENCED, "leftover '%s' was taken over", g.name);
	ok(s, store_garbage_identify(s->db, &g, "as-it-is", "inode-2", &s->err));
	claim_it(s, &g);
	assert_false(g.by_name);
	assert_string_equal(g.name, "as-it-is");
	assert_string_equal(g.identity, "inode-2");
}

static void it_waits_for_source_keep(void **state)
{
	struct store *s = *state;
	AUTO(free) struct garbage *list = NULL;
	struct garbage g;

	add(s, NULL, 7200);
	/* It may be renamed long before it may be removed. */
	assert_int_equal(due(s), 1);
	claim_it(s, &g);
	assert_false(g.due);
	ok(s, store_garbage_renamed(s->db, &g, &s->err));
	assert_int_equal(g.state, GARBAGE_RENAMED);
	assert_int_equal(due(s), 0);
	assert_int_equal(store_garbage_list(s->db, NULL, &list, &s->err), 1);
	assert_int_equal(list[0].state, GARBAGE_RENAMED);
	assert_true(list[0].wait_s > 7190 && list[0].wait_s <= 7200);
	sql(s, "update drover.garbage set remove_after = now()");
	assert_int_equal(due(s), 1);
}

static void it_waits_for_whoever_may_be_at_it(void **state)
{
	struct store *s = *state;
	struct migration m;

	admit_migration(s, "r1", &m);
	add(s, m.op.id, 0);
	assert_int_equal(due(s), 0);
	sql(s, "update drover.operation set phase = 'done', finished_at = now()");
	assert_int_equal(due(s), 1);
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer) values"
		" (gen_random_uuid(), '%s', '" SOURCE_BACKEND "', 'attachment', 'x')",
		s->volume);
	assert_int_equal(due(s), 0);
	sql(s, "update drover.export set state = 'closed', closed_at = now()");
	assert_int_equal(due(s), 1);
}

static void its_life_ends_with_its_object(void **state)
{
	struct store *s = *state;
	AUTO(free) struct garbage *none = NULL;
	struct object_row object;
	struct garbage g;

	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "vol", s->volume, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol", "inode-1", &s->err));
	add(s, NULL, 0);
	claim_it(s, &g);
	ok(s, store_garbage_renamed(s->db, &g, &s->err));
	ok(s, store_garbage_renamed(s->db, &g, &s->err));
	ok(s, store_garbage_removed(s->db, &g, &s->err));
	assert_int_equal(g.state, GARBAGE_REMOVED);
	assert_sql(s, "removed|t",
		"select concat_ws('|', state, removed_at is not"
		" null) from drover.garbage");
	/* Its commit may have been of unknown outcome. */
	AUTO(free) char *once = sql_everything(s);
	ok(s, store_garbage_removed(s->db, &g, &s->err));
	AUTO(free) char *twice = sql_everything(s);
	assert_string_equal(twice, once);
	assert_int_equal(due(s), 0);
	assert_int_equal(store_garbage_list(s->db, NULL, &none, &s->err), 0);
	assert_int_equal(store_garbage_claim(s->db, g.id, &g, &s->err), 0);
	assert_int_equal(
		store_object_get(s->db, SOURCE_BACKEND, s->volume, &object, &s->err),
		0);
}

/* Of the same name, made after the leftover was renamed. */
static void a_new_object_of_the_name_is_not_forgotten(void **state)
{
	struct store *s = *state;
	struct object_row object;
	struct garbage g;

	ok(s,
		store_object_plan(
			s->db, NULL, SOURCE_BACKEND, "vol", s->volume, &s->err));
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol", "inode-1", &s->err));
	add(s, NULL, 0);
	claim_it(s, &g);
	ok(s,
		store_object_identify(
			s->db, NULL, SOURCE_BACKEND, "vol", "inode-2", &s->err));
	ok(s, store_garbage_removed(s->db, &g, &s->err));
	assert_int_equal(
		store_object_get(s->db, SOURCE_BACKEND, s->volume, &object, &s->err),
		1);
	assert_string_equal(object.identity, "inode-2");
}

static void failures_wait_longer_each_time(void **state)
{
	struct store *s = *state;
	struct garbage g;
	double expected = 1;

	add(s, NULL, 0);
	for (int i = 0; i < 13; i++) {
		sql(s, "update drover.garbage set not_before = now()");
		claim_it(s, &g);
		assert_int_equal(g.attempts, i + 1);
		assert_true(g.wait_s > expected - 1 && g.wait_s <= expected);
		ok(s, store_garbage_failed(s->db, &g, "the disk is away", &s->err));
		expected = expected * 2 > 600 ? 600 : expected * 2;
	}
	assert_int_equal(due(s), 0);
	assert_sql(s, "the disk is away", "select last_error from drover.garbage");
	/* Getting on begins anew. */
	ok(s, store_garbage_renamed(s->db, &g, &s->err));
	assert_sql(s, "0|-",
		"select concat_ws('|', attempts,"
		" coalesce(last_error, '-')) from drover.garbage");
	assert_int_equal(due(s), 1);
}

static void who_was_taken_over_can_do_nothing(void **state)
{
	struct store *s = *state;
	struct garbage old, g;

	add(s, NULL, 0);
	claim_it(s, &old);
	claim_it(s, &g);
	assert_int_equal(g.epoch, old.epoch + 1);
	AUTO(free) char *before = sql_everything(s);
	assert_fails(s, store_garbage_renamed(s->db, &old, &s->err), ERR_FENCED,
		"leftover '%s' was taken over", old.name);
	assert_fails(s, store_garbage_removed(s->db, &old, &s->err), ERR_FENCED, NULL);
	ok(s, store_garbage_failed(s->db, &old, "late news", &s->err));
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
	assert_int_equal(old.state, GARBAGE_WAITING);
	ok(s, store_garbage_removed(s->db, &g, &s->err));
	assert_fails(s, store_garbage_renamed(s->db, &g, &s->err), ERR_FENCED, NULL);
}

static void an_object_that_a_volume_stands_for_is_in_use(void **state)
{
	struct store *s = *state;
	struct garbage g;

	add(s, NULL, 0);
	claim_it(s, &g);
	assert_int_equal(store_garbage_in_use(s->db, &g, &s->err), 1);
	sql(s, "update public.volumes set host = '" TARGET "'");
	assert_int_equal(store_garbage_in_use(s->db, &g, &s->err), 0);
	sql(s, "update public.volumes set host = '" SOURCE_BACKEND "#other'");
	assert_int_equal(store_garbage_in_use(s->db, &g, &s->err), 1);
	/* Its name is made of _name_id then. */
	sql(s, "update public.volumes set _name_id = '" OWNER "'");
	assert_int_equal(store_garbage_in_use(s->db, &g, &s->err), 0);
	sql(s, "update public.volumes set _name_id = null, deleted = true");
	assert_int_equal(store_garbage_in_use(s->db, &g, &s->err), 0);
}

static void leftovers_belong_to_their_backend(void **state)
{
	struct store *s = *state;
	AUTO(free) struct garbage *own = NULL;
	AUTO(free) struct garbage *others = NULL;
	AUTO(free) struct garbage *one = NULL;
	struct garbage g;

	add(s, NULL, 0);
	add_volume(s, "more", SOURCE, s->volume);
	add(s, NULL, 0);
	assert_int_equal(
		store_garbage_due(s->db, SOURCE_BACKEND, 10, &own, &s->err), 2);
	assert_int_equal(store_garbage_due(s->db, SOURCE_BACKEND, 1, &one, &s->err), 1);
	assert_string_equal(one[0].id, own[0].id);
	assert_int_equal(
		store_garbage_list(s->db, TARGET_BACKEND, &others, &s->err), 0);
	assert_int_equal(
		store_garbage_of_operation(s->db, OWNER, SOURCE_BACKEND, &g, &s->err),
		0);
	assert_int_equal(store_garbage_claim(s->db, OWNER, &g, &s->err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(an_object_is_written_down_before_it_exists),
		STORE_TEST(an_object_of_others_is_where_its_row_says),
		STORE_TEST(a_known_object_goes_by_its_identity),
		STORE_TEST(a_strangers_object_is_looked_for_by_name_once),
		STORE_TEST(it_waits_for_source_keep),
		STORE_TEST(it_waits_for_whoever_may_be_at_it),
		STORE_TEST(its_life_ends_with_its_object),
		STORE_TEST(a_new_object_of_the_name_is_not_forgotten),
		STORE_TEST(failures_wait_longer_each_time),
		STORE_TEST(who_was_taken_over_can_do_nothing),
		STORE_TEST(an_object_that_a_volume_stands_for_is_in_use),
		STORE_TEST(leftovers_belong_to_their_backend),
	};

	return STORE_MAIN(tests);
}
