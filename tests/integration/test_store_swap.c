/* SPDX-License-Identifier: Apache-2.0 */
/* Guests without Nova: T's attachment is ours, and the hypervisor's word counts; and the
 * attachments that the command line makes. */
#include "common/hypervisor.h"
#include "common/store/compute.h"
#include "common/store/guests.h"
#include "tests/integration/store_fixture.h"

#define INSTANCE "11111111-1111-4111-8111-111111111111"
#define OLD "22222222-2222-4222-8222-222222222222"

static void attach_source(struct store *s)
{
	sql(s,
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, attach_mode, connector, mountpoint, attached_host,"
		" connection_info, created_at, deleted) values ('" OLD
		"', '%s', '" INSTANCE "', 'attached', 'ro', '{}', '/dev/vdb', 'one',"
		" '{}', localtimestamp, false)",
		s->volume);
	sql(s,
		"update public.volumes set attach_status = 'attached', status = 'in-use'"
		" where id = '%s'",
		s->volume);
}

static void assert_phase_is(
	struct store *s, const struct migration *m, const char *phase)
{
	assert_sql(s, phase, "select phase from drover.operation where id = '%s'",
		m->op.id);
}

static void begin(struct store *s, struct migration *m)
{
	ok(s, store_compute_offer(s->db, SOURCE_BACKEND, OWNER, "rpc", &s->err));
	attach_source(s);
	admit_migration(s, "r1", m);
	ok(s, store_migration_prepare(s->db, m, &s->err));
	ok(s, store_swap_begin(s->db, m, &s->err));
}

/* Reserved, and connected over a server. */
static void begin_asked(struct store *s, struct migration *m, char id[UUID_TEXT_SIZE])
{
	begin(s, m);
	ok(s, store_swap_reserve(s->db, m, "two", id, &s->err));
	sql(s,
		"update public.volume_attachment set attach_status = 'attaching',"
		" connector = '{\"host\":\"two\"}', attached_host = 'two',"
		" connection_info = '{\"volume_id\":\"%s\",\"attachment_id\":\"%s\"}'"
		" where id = '%s'",
		m->temporary_id, id, id);
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer,"
		" attachment_id) values (gen_random_uuid(), '%s', '" TARGET_BACKEND
		"', 'attachment', 'two', '%s')",
		m->temporary_id, id);
	ok(s, store_swap_ask(s->db, m, &s->err));
}

static void ts_attachment_is_written_down_once(void **state)
{
	char id[UUID_TEXT_SIZE], again[UUID_TEXT_SIZE];
	struct store *s = *state;
	struct migration m, old;
	struct swap swap;

	begin(s, &m);
	/* Not before it is known whom to ask. */
	assert_int_equal(store_swap_ask(s->db, &m, &s->err), -1);
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.rpc && !swap.hypervisor[0] && !swap.target_attachment_id[0]);
	ok(s, store_swap_reserve(s->db, &m, "two", id, &s->err));
	ok(s, store_swap_reserve(s->db, &m, "three", again, &s->err));
	assert_string_equal(id, again);
	assert_sql(s, "reserved|ro|" INSTANCE "|reserved",
		"select concat_ws('|', a.attach_status, a.attach_mode, a.instance_uuid,"
		" v.status) from public.volume_attachment a join public.volumes v"
		" on v.id = a.volume_id where a.id = '%s'",
		id);
	ok(s, store_swap_ask(s->db, &m, &s->err));
	/* The one that was asked stays that. */
	ok(s, store_swap_reserve(s->db, &m, "four", again, &s->err));
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_string_equal(swap.hypervisor, "three");
	assert_int_equal(swap.others, 0);
	assert_int_equal(swap.live, 1);
	old = m;
	sql(s, "update drover.operation set not_before = now()");
	claim(s, &m);
	assert_fails(s, store_swap_reserve(s->db, &old, "x", again, &s->err),
		ERR_FENCED, NULL);
	ok(s, store_migration_cancel(s->db, s->volume, &s->err));
	assert_fails(s, store_swap_reserve(s->db, &m, "x", again, &s->err),
		ERR_CANCELLED, NULL);
}

static void what_it_says_is_progress(void **state)
{
	struct swap_status status = { .state = SWAP_COPYING };
	char id[UUID_TEXT_SIZE];
	struct store *s = *state;
	struct migration m;
	struct swap swap;

	begin_asked(s, &m, id);
	ok(s, store_swap_said(s->db, &m, &status, &s->err));
	assert_sql(s, "0", "select position from drover.migration");
	status.done = m.size_bytes;
	status.total = 2 * m.size_bytes; /* the guest has written meanwhile */
	ok(s, store_swap_said(s->db, &m, &status, &s->err));
	assert_sql(s, "true|true",
		"select (position = size_bytes / 2) || '|' || (copied = size_bytes)"
		" from drover.migration");
	status.done = INT64_MAX;
	status.total = INT64_MAX;
	ok(s, store_swap_said(s->db, &m, &status, &s->err));
	assert_sql(s, "t", "select position = size_bytes from drover.migration");
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_string_equal(swap.said, "copying");
	assert_true(swap.said_s >= 0);
	/* That it has forgotten stays known. */
	status = (struct swap_status) { .state = SWAP_NONE };
	ok(s, store_swap_said(s->db, &m, &status, &s->err));
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_false(swap.forgotten);
	ok(s, store_swap_accepted(s->db, &m, &s->err));
	ok(s, store_swap_said(s->db, &m, &status, &s->err));
	status.state = SWAP_CANCELLED;
	ok(s, store_swap_said(s->db, &m, &status, &s->err));
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.forgotten);
}

static void s_keeps_its_attachment_in_the_switch(void **state)
{
	char id[UUID_TEXT_SIZE];
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m, id);
	sql(s,
		"insert into drover.export (id, volume_id, host, kind, peer,"
		" attachment_id, state) values (gen_random_uuid(), '%s', '" SOURCE_BACKEND
		"', 'attachment', 'one', '" OLD "', 'wanted')",
		s->volume);
	ok(s, store_swap_moved(s->db, &m, false, 0, "it says so", &s->err));
	assert_phase_is(s, &m, "settling");
	assert_sql(s, OLD "|attached|ro|/dev/vdb|two|{\"host\":\"two\"}",
		"select concat_ws('|', id, attach_status, attach_mode, mountpoint,"
		" attached_host, connector) from public.volume_attachment"
		" where volume_id = '%s' and not deleted",
		s->volume);
	assert_sql(s, "t",
		"select connection_info::jsonb = jsonb_build_object('volume_id',"
		" volume_id, 'attachment_id', id) from public.volume_attachment"
		" where id = '" OLD "'");
	assert_sql(s, "0",
		"select count(*) from public.volume_attachment where volume_id = '%s'"
		" and not deleted",
		m.temporary_id);
	/* What led to S's old object closes; what leads to the new one is its attachment's. */
	assert_sql(s, SOURCE_BACKEND "|closing|-, " TARGET_BACKEND "|wanted|" OLD,
		"select string_agg(host || '|' || state || '|' ||"
		" coalesce(attachment_id, '-'), ', ' order by state)"
		" from drover.export where volume_id = '%s'",
		s->volume);
	assert_volume(s, s->volume, "in-use|-|" TARGET);
	/* Its commit's outcome was unknown. */
	ok(s, store_swap_moved(s->db, &m, false, 0, "it says so", &s->err));
}

/* Somebody has ended S's attachment: the guest is attached by T's. */
static void without_its_attachment_s_takes_that_of_t(void **state)
{
	char id[UUID_TEXT_SIZE];
	struct store *s = *state;
	struct migration m;

	begin_asked(s, &m, id);
	sql(s,
		"update public.volume_attachment set deleted = true where id = '" OLD
		"'");
	ok(s, store_swap_moved(s->db, &m, false, 0, "it says so", &s->err));
	assert_sql(s, id,
		"select id from public.volume_attachment where volume_id = '%s'"
		" and not deleted",
		s->volume);
}

static void what_is_unused_goes_the_rest_is_kept(void **state)
{
	static const bool unused[] = { true, false };
	struct error why = { .code = ERR_COMPUTE, .text = "it failed" };
	struct store *s = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(unused); i++) {
		char id[UUID_TEXT_SIZE];
		struct migration m;

		store_reset(state);
		begin_asked(s, &m, id);
		sql(s,
			"insert into public.volume_attachment (id, volume_id,"
			" attach_status, deleted) values ('x', '%s', 'attached', false)",
			m.temporary_id);
		assert_fails(s,
			store_swap_take_back(s->db, &m, PHASE_FAILED, unused[i], &why,
				false, &s->err),
			ERR_INVALID_VOLUME,
			"somebody else may use the temporary "
			"volume '%s'",
			m.temporary_id);
		sql(s, "delete from public.volume_attachment where id = 'x'");
		ok(s,
			store_swap_take_back(s->db, &m, PHASE_FAILED, unused[i], &why,
				false, &s->err));
		ok(s,
			store_swap_take_back(s->db, &m, PHASE_FAILED, unused[i], &why,
				false, &s->err));
		assert_volume(s, s->volume, "in-use|-|" SOURCE);
		assert_sql(s, OLD,
			"select string_agg(id, ' ') from public.volume_attachment"
			" where not deleted");
		assert_sql(s, "closing", "select state from drover.export");
		assert_sql(s, unused[i] ? "f" : "t",
			"select quarantined from drover.garbage");
	}
}

static void its_call_is_noted_and_proves_nothing(void **state)
{
	char id[UUID_TEXT_SIZE];
	struct store *s = *state;
	struct completion completion;
	struct migration m;
	struct swap swap;

	begin_asked(s, &m, id);
	completion = (struct completion) { .volume_id = s->volume,
		.new_volume_id = m.temporary_id };
	/* Only its own hypervisor can. */
	for (unsigned i = 0; i < 2; i++) {
		assert_fails(s, store_swap_complete(s->db, &completion, &s->err),
			ERR_INVALID_VOLUME, NULL);
		completion.host = "one";
	}
	completion.host = "two";
	assert_int_equal(store_swap_complete(s->db, &completion, &s->err), 1);
	assert_phase_is(s, &m, "swapping");
	claim(s, &m);
	ok(s, store_swap_get(s->db, &m, &swap, &s->err));
	assert_true(swap.completed && !swap.failed);
	ok(s, store_swap_hold(s->db, &m, "nobody knows", &s->err));
	ok(s, store_swap_resolve(s->db, s->volume, false, false, 0, &s->err));
	assert_sql(s, OLD,
		"select string_agg(id, ' ') from public.volume_attachment"
		" where not deleted");
}

/* ---- the command line's ---- */

static void an_instance_is_attached_and_detached(void **state)
{
	struct attachment first, again;
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	ok(s, store_guest_reserve(s->db, s->volume, INSTANCE, "ro", &first, &s->err));
	assert_volume(s, s->volume, "reserved|-|" SOURCE);
	ok(s, store_guest_reserve(s->db, s->volume, INSTANCE, NULL, &again, &s->err));
	assert_string_equal(first.id, again.id);
	assert_fails(s,
		store_guest_reserve(s->db, s->volume, INSTANCE, "rw", &again, &s->err),
		ERR_ATTACH_MODE, NULL);
	uuid_make(id);
	assert_fails(s,
		store_guest_reserve(s->db, s->volume, id, NULL, &again, &s->err),
		ERR_INVALID_VOLUME, NULL);
	ok(s, store_guest_attached(s->db, &first, "/dev/vdb", &s->err));
	assert_volume(s, s->volume, "in-use|-|" SOURCE);
	assert_fails(s, store_guest_detaching(s->db, s->volume, id, &again, &s->err),
		ERR_NOT_FOUND, NULL);
	ok(s, store_guest_detaching(s->db, s->volume, NULL, &again, &s->err));
	assert_volume(s, s->volume, "detaching|-|" SOURCE);
	assert_fails(s,
		store_guest_reserve(s->db, s->volume, INSTANCE, NULL, &first, &s->err),
		ERR_INVALID_VOLUME, NULL);
	ok(s, store_guest_kept(s->db, &again, &s->err));
	assert_volume(s, s->volume, "in-use|-|" SOURCE);
	ok(s, store_guest_detaching(s->db, s->volume, INSTANCE, &again, &s->err));
	ok(s, store_guest_detached(s->db, &again, &s->err));
	ok(s, store_guest_detached(s->db, &again, &s->err));
	assert_volume(s, s->volume, "available|-|" SOURCE);
	assert_fails(s, store_guest_attached(s->db, &again, "/dev/vdb", &s->err),
		ERR_NOT_FOUND, NULL);
}

static void what_cannot_be_attached_or_detached(void **state)
{
	struct attachment attachment;
	struct store *s = *state;

	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', 'readonly', 'True', false)",
		s->volume);
	assert_fails(s,
		store_guest_reserve(
			s->db, s->volume, INSTANCE, "rw", &attachment, &s->err),
		ERR_ATTACH_MODE, NULL);
	sql(s, "delete from public.volume_admin_metadata");
	sql(s, "update public.volumes set status = 'error' where id = '%s'", s->volume);
	assert_fails(s,
		store_guest_reserve(
			s->db, s->volume, INSTANCE, "rw", &attachment, &s->err),
		ERR_INVALID_VOLUME, NULL);
	assert_fails(s,
		store_guest_detaching(s->db, s->volume, NULL, &attachment, &s->err),
		ERR_NOT_FOUND, NULL);
	attach_source(s);
	sql(s, "update public.volume_attachment set instance_uuid = null");
	assert_fails(s,
		store_guest_detaching(s->db, s->volume, NULL, &attachment, &s->err),
		ERR_INVALID_VOLUME, NULL);
	sql(s,
		"insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, deleted) values ('x', '%s', '" INSTANCE
		"', 'attached', false)",
		s->volume);
	assert_fails(s,
		store_guest_detaching(s->db, s->volume, NULL, &attachment, &s->err),
		ERR_AMBIGUOUS, NULL);
	ok(s, store_guest_detaching(s->db, s->volume, INSTANCE, &attachment, &s->err));
	assert_string_equal(attachment.id, "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(ts_attachment_is_written_down_once),
		STORE_TEST(what_it_says_is_progress),
		STORE_TEST(s_keeps_its_attachment_in_the_switch),
		STORE_TEST(without_its_attachment_s_takes_that_of_t),
		STORE_TEST(what_is_unused_goes_the_rest_is_kept),
		STORE_TEST(its_call_is_noted_and_proves_nothing),
		STORE_TEST(an_instance_is_attached_and_detached),
		STORE_TEST(what_cannot_be_attached_or_detached),
	};

	return STORE_MAIN(tests);
}
