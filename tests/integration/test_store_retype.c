/* SPDX-License-Identifier: Apache-2.0 */
/* Another type for a volume: where it is, by a migration, and the way back; with what the
 * API tier reserves. */
#include "common/store/expired.h"
#include "common/store/retype.h"
#include "tests/integration/store_fixture.h"

#define TYPE "00000000-0000-4000-8000-0000000000aa"

static const char *const reserved[] = { "10000000-0000-4000-8000-000000000001",
	"10000000-0000-4000-8000-000000000002", NULL };
static const char *const reserved_old[] = { "20000000-0000-4000-8000-000000000001",
	"20000000-0000-4000-8000-000000000002", NULL };

static void add_usage(struct store *s, const char *resource, int in_use, int delta,
	const char *reservation)
{
	sql(s,
		"with u as (insert into public.quota_usages (project_id, resource,"
		" in_use, reserved, deleted) values ('project', '%s', %d,"
		" greatest(0, %d), false) returning id)"
		" insert into public.reservations (uuid, usage_id, project_id,"
		" resource, delta, deleted) select '%s', id, 'project', '%s', %d,"
		" false from u",
		resource, in_use, delta, reservation, resource, delta);
}

/* What the API tier writes for a retype of a volume of 2 GiB. */
static struct retype_request ask(struct store *s, const char *request_id)
{
	sql(s,
		"delete from public.volume_types where id = '" TYPE "';"
		" insert into public.volume_types (id, name, deleted)"
		" values ('" TYPE "', 'gold', false);"
		" insert into public.volume_type_extra_specs (volume_type_id, key,"
		" value, deleted) values ('" TYPE "', 'multiattach', '<is> True',"
		" false)");
	add_usage(s, "volumes_gold", 0, 1, reserved[0]);
	add_usage(s, "gigabytes_gold", 0, 2, reserved[1]);
	add_usage(s, "volumes___DEFAULT__", 5, -1, reserved_old[0]);
	add_usage(s, "gigabytes___DEFAULT__", 9, -2, reserved_old[1]);
	sql(s,
		"update public.volumes set previous_status = status,"
		" status = 'retyping', multiattach = true where id = '%s'",
		s->volume);
	return (struct retype_request) {
		.migration = request_of(s, request_id),
		.new_type_id = TYPE,
		.reservations = reserved,
		.old_reservations = reserved_old,
	};
}

/* in_use/reserved of the new type's volumes and GiB, then the old one's; and how many
 * reservations there are. */
static void assert_quota(struct store *s, const char *want)
{
	assert_sql(s, want,
		"select string_agg(in_use || '/' || reserved, ' ' order by id) || ' '"
		" || (select count(*) from public.reservations where not deleted)"
		" from public.quota_usages");
}

static void assert_type(struct store *s, const char *want)
{
	assert_sql(s, want,
		"select t.name || '|' || v.multiattach || '|' || v.status"
		" from public.volumes v join public.volume_types t"
		" on t.id = v.volume_type_id where v.id = '%s'",
		s->volume);
}

static void assert_untouched(struct store *s, const char *status)
{
	AUTO(free) char *want = text_format("__DEFAULT__|false|%s", status);

	assert_type(s, want);
	assert_quota(s, "0/0 0/0 5/0 9/0 0");
}

static void in_its_own_pool_only_the_row_changes(void **state)
{
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");
	enum retyped outcome;

	assert_quota(s, "0/1 0/2 5/0 9/0 4");
	request.migration.target = SOURCE;
	request.never = true;
	ok(s, store_retype(s->db, &request, &outcome, &s->err));
	assert_int_equal(outcome, RETYPED_IN_PLACE);
	assert_type(s, "gold|true|available");
	assert_quota(s, "1/0 2/0 4/0 7/0 0");
	/* There was no migration. */
	assert_sql(s, "1 0",
		"select count(o) || ' ' || count(m) from drover.operation o"
		" left join drover.migration m on m.operation_id = o.id");
	/* The message again, while another retype has begun: that is not its business, and
	 * nothing is counted twice. */
	sql(s, "update public.volumes set status = 'retyping'");
	ok(s, store_retype(s->db, &request, &outcome, &s->err));
	assert_int_equal(outcome, RETYPED_BEFORE);
	ok(s, store_retype_refuse(s->db, &request, &s->err, &s->err));
	assert_type(s, "gold|true|retyping");
	assert_quota(s, "1/0 2/0 4/0 7/0 0");
}

static void an_attached_volume_keeps_its_status_in_place(void **state)
{
	struct store *s = *state;
	struct retype_request request;
	char attachment[UUID_TEXT_SIZE];
	enum retyped outcome;

	add_attachment(s, s->volume, attachment);
	sql(s, "update public.volumes set status = 'in-use'");
	request = ask(s, "r1");
	request.migration.target = SOURCE;
	ok(s, store_retype(s->db, &request, &outcome, &s->err));
	assert_type(s, "gold|true|in-use");
}

static void by_a_migration_the_switch_changes_it(void **state)
{
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");
	enum retyped outcome;
	struct migration m;

	ok(s, store_retype(s->db, &request, &outcome, &s->err));
	assert_int_equal(outcome, RETYPED_BY_MIGRATION);
	ok(s, store_retype(s->db, &request, &outcome, &s->err));
	assert_int_equal(outcome, RETYPED_BEFORE);
	assert_int_equal(store_migration_last(s->db, s->volume, &m, &s->err), 1);
	claim(s, &m);
	bring_to(s, &m, PHASE_SEALING);
	assert_type(s, "__DEFAULT__|true|retyping");
	assert_quota(s, "0/1 0/2 5/0 9/0 4");
	assert_sql(s, "gold",
		"select t.name from public.volumes v join public.volume_types t"
		" on t.id = v.volume_type_id where v.id = '%s'",
		m.temporary_id);
	bring_to(s, &m, PHASE_SETTLING);
	assert_type(s, "gold|true|available");
	assert_quota(s, "1/0 2/0 4/0 7/0 0");
	bring_to(s, &m, PHASE_DONE);
	assert_quota(s, "1/0 2/0 4/0 7/0 0");
	assert_volume(s, s->volume, "available|-|" TARGET);
}

static void a_migration_that_is_taken_back_leaves_the_type(void **state)
{
	static const enum phase phases[] = { PHASE_QUEUED, PHASE_COPYING,
		PHASE_SEALING };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(phases); i++) {
		struct retype_request request;
		enum retyped outcome;
		struct migration m;

		store_reset(state);
		request = ask(s, "r1");
		ok(s, store_retype(s->db, &request, &outcome, &s->err));
		assert_int_equal(
			store_migration_last(s->db, s->volume, &m, &s->err), 1);
		claim(s, &m);
		bring_to(s, &m, phases[i]);
		error_set(&s->err, ERR_CANCELLED, "somebody cancelled it");
		ok(s,
			store_migration_roll_back(
				s->db, &m, PHASE_CANCELLED, &s->err, false, &s->err));
		assert_untouched(s, "available");
		assert_volume(s, s->volume, "available|-|" SOURCE);
	}
}

static void assert_refused(struct store *s, const struct retype_request *request,
	enum error_code code, const char *text)
{
	AUTO(free) char *before = sql_everything(s);
	enum retyped outcome;
	struct error why;

	assert_fails(
		s, store_retype(s->db, request, &outcome, &s->err), code, "%s", text);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(before, after);
	why = s->err;
	ok(s, store_retype_refuse(s->db, request, &why, &s->err));
	assert_sql(s, text,
		"select reason from drover.operation where request_id = '%s'",
		request->migration.request_id);
}

/* A copy may take longer than reservations live; which is a day. */
static void what_it_has_reserved_does_not_expire(void **state)
{
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");
	enum retyped outcome;

	sql(s, "update public.reservations set expire = localtimestamp");
	ok(s, store_retype(s->db, &request, &outcome, &s->err));
	assert_int_equal(ok(s, store_expire_reservations(s->db, &s->err)), 0);
	assert_quota(s, "0/1 0/2 5/0 9/0 4");
}

/* The API tier writes it after it has asked. */
static void multiattach_that_comes_late_is_corrected(void **state)
{
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");
	char other[UUID_TEXT_SIZE];

	request.migration.target = "";
	error_set(&s->err, ERR_NO_VALID_BACKEND, "there is no place");
	ok(s, store_retype_refuse(s->db, &request, &s->err, &s->err));
	assert_untouched(s, "available");
	assert_int_equal(store_retype_correct(s->db, SOURCE_BACKEND, &s->err), 0);
	/* One that nobody has retyped may say so from its beginning. */
	add_volume(s, "other", SOURCE, other);
	sql(s, "update public.volumes set multiattach = true");
	assert_int_equal(store_retype_correct(s->db, TARGET_BACKEND, &s->err), 0);
	assert_int_equal(store_retype_correct(s->db, SOURCE_BACKEND, &s->err), 1);
	assert_untouched(s, "available");
	assert_sql(s, "true",
		"select multiattach::text from public.volumes where id = '%s'", other);
}

static void the_policy_never_forbids_a_migration(void **state)
{
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");

	request.never = true;
	assert_refused(s, &request, ERR_INVALID_VOLUME,
		"volume 'data' cannot be retyped: it would have to move to '" TARGET
		"', and the migration policy is 'never'");
	assert_untouched(s, "available");
}

static void what_forbids_a_migration_forbids_it(void **state)
{
	struct store *s = *state;
	struct retype_request request;
	char attachment[UUID_TEXT_SIZE];

	add_snapshot(s, s->volume);
	request = ask(s, "r1");
	assert_refused(s, &request, ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: it has snapshots");
	assert_untouched(s, "available");
	store_reset(state);
	add_attachment(s, s->volume, attachment);
	sql(s, "update public.volumes set status = 'in-use'");
	request = ask(s, "r2");
	assert_refused(s, &request, ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: it is attached to host guest; "
		"detach it first");
	assert_untouched(s, "in-use");
}

static void types_that_are_gone_or_encrypted(void **state)
{
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");

	request.new_type_id = OWNER;
	assert_refused(s, &request, ERR_NOT_FOUND,
		"volume type '" OWNER "' could not be found");
	assert_untouched(s, "available");
	store_reset(state);
	request = ask(s, "r2");
	sql(s,
		"insert into public.encryption (encryption_id, volume_type_id,"
		" control_location, provider, deleted)"
		" values ('e', '" TYPE "', 'front-end', 'luks', false)");
	request.migration.target = SOURCE;
	assert_refused(s, &request, ERR_NOT_SUPPORTED,
		"volume 'data' cannot be retyped: types with encryption are not "
		"supported");
	sql(s, "delete from public.encryption");
	assert_untouched(s, "available");
}

static void reservations_are_checked(void **state)
{
	static const char *const bad[] = { "1'); drop table volumes; --", NULL };
	struct store *s = *state;
	struct retype_request request = ask(s, "r1");
	enum retyped outcome;

	request.reservations = bad;
	assert_fails(s, store_retype(s->db, &request, &outcome, &s->err),
		ERR_INVALID_INPUT, NULL);
	assert_type(s, "__DEFAULT__|true|retyping");
	ok(s, store_retype_refuse(s->db, &request, &s->err, &s->err));
	assert_type(s, "__DEFAULT__|false|available");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STORE_TEST(in_its_own_pool_only_the_row_changes),
		STORE_TEST(an_attached_volume_keeps_its_status_in_place),
		STORE_TEST(by_a_migration_the_switch_changes_it),
		STORE_TEST(a_migration_that_is_taken_back_leaves_the_type),
		STORE_TEST(what_it_has_reserved_does_not_expire),
		STORE_TEST(multiattach_that_comes_late_is_corrected),
		STORE_TEST(the_policy_never_forbids_a_migration),
		STORE_TEST(what_forbids_a_migration_forbids_it),
		STORE_TEST(types_that_are_gone_or_encrypted),
		STORE_TEST(reservations_are_checked),
	};

	return STORE_MAIN(tests);
}
