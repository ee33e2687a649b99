/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown with a volume and with a migration. */
#include "tests/integration/schema_fixture.h"

#include "common/store/attachments.h"
#include "common/store/details.h"
#include "common/store/history.h"

#define VOLUME "9d5bf922-6364-4a78-a9e4-5a1fb0474ed6"
#define OPERATION "00000000-0000-4000-8000-000000000001"

static int with_volume(void **state)
{
	struct fixture *f;

	if (make_database(state) < 0)
		return -1;
	f = *state;
	sync_says(f);
	run_script(f->db,
		"insert into public.volumes (id, size, deleted, use_quota, volume_type_id)"
		" select '" VOLUME "', 1, false, false, id from public.volume_types"
		" where name = '__DEFAULT__'");
	return 0;
}

static void metadata_comes_by_key_without_deleted_ones(void **state)
{
	struct fixture *f = *state;
	AUTO(free) struct detail *list = NULL;
	struct error err;

	run_script(f->db,
		"insert into public.volume_metadata"
		" (volume_id, key, value, deleted) values"
		" ('" VOLUME "', 'b', '2', false),"
		" ('" VOLUME "', 'a', null, false),"
		" ('" VOLUME "', 'c', '3', true)");
	assert_int_equal(store_metadata_list(f->db, VOLUME, &list, &err), 2);
	assert_string_equal(list[0].key, "a");
	assert_string_equal(list[0].value, "");
	assert_string_equal(list[1].key, "b");
	assert_string_equal(list[1].value, "2");
}

static void extra_specs_are_those_of_the_type(void **state)
{
	struct fixture *f = *state;
	AUTO(free) struct detail *list = NULL;
	AUTO(free) struct detail *none = NULL;
	AUTO(free)
	char *type = query_text(f->db,
		"select id from public.volume_types"
		" where name = '__DEFAULT__'");
	struct error err;

	run_format(f->db,
		"insert into public.volume_type_extra_specs"
		" (volume_type_id, key, value, deleted)"
		" values ('%s', 'volume_backend_name', 'fast', false)",
		type);
	assert_int_equal(store_type_spec_list(f->db, type, &list, &err), 1);
	assert_string_equal(list[0].key, "volume_backend_name");
	assert_string_equal(list[0].value, "fast");
	assert_int_equal(store_type_spec_list(f->db, "", &none, &err), 0);
}

static void attachments_come_oldest_first(void **state)
{
	struct fixture *f = *state;
	AUTO(free) struct attachment *list = NULL;
	struct error err;

	run_script(f->db,
		"insert into public.volume_attachment (id, volume_id,"
		" attached_host, instance_uuid, mountpoint, attach_status,"
		" attach_mode, attach_time, created_at, deleted) values"
		" ('a2', '" VOLUME "', 'compute1', 'server', '/dev/vdb',"
		"  'attached', 'rw', '2024-05-01 12:00:00.5',"
		"  '2024-05-01 12:00:00', false),"
		" ('a1', '" VOLUME "', null, null, null, 'reserved', null, null,"
		"  '2024-05-01 11:00:00', false),"
		" ('a0', '" VOLUME "', null, null, null, 'detached', null, null,"
		"  '2024-05-01 10:00:00', true)");
	assert_int_equal(store_attachment_list(f->db, VOLUME, &list, &err), 2);
	assert_string_equal(list[0].id, "a1");
	assert_string_equal(list[0].host_name, "");
	assert_string_equal(list[0].attached_at, "");
	assert_string_equal(list[1].server_id, "server");
	assert_string_equal(list[1].device, "/dev/vdb");
	assert_string_equal(list[1].mode, "rw");
	assert_string_equal(list[1].attached_at, "2024-05-01T12:00:00.500000");
}

static void history_tells_every_step_in_order(void **state)
{
	struct fixture *f = *state;
	AUTO(free) struct transition *list = NULL;
	struct error err;

	run_script(f->db,
		"insert into drover.operation (id, kind, volume_id, host,"
		" request_id) values ('" OPERATION "', 'migrate_volume',"
		" '" VOLUME "', 'server1@fast', 'req-1')");
	run_script(f->db,
		"insert into drover.transition (operation_id, at, epoch,"
		" from_phase, to_phase, why) values"
		" ('" OPERATION "', '2024-05-01 12:00:00+00', 1, 'queued',"
		"  'preparing', 'a worker took it'),"
		" ('" OPERATION "', '2024-05-01 12:00:01+00', 2, 'preparing',"
		"  'failed', 'no room')");
	assert_int_equal(store_history(f->db, OPERATION, &list, &err), 2);
	assert_string_equal(list[0].at, "2024-05-01T12:00:00.000000");
	assert_string_equal(list[0].to, "preparing");
	assert_string_equal(list[1].from, "preparing");
	assert_string_equal(list[1].why, "no room");
	assert_int_equal(list[1].epoch, 2);
}

static void the_reason_of_a_failed_creation_is_the_newest(void **state)
{
	struct fixture *f = *state;
	char reason[64] = "";
	struct error err;

	assert_int_equal(
		store_create_reason(f->db, VOLUME, reason, sizeof(reason), &err), 0);
	run_script(f->db,
		"insert into drover.operation (id, kind, volume_id, host, request_id,"
		" phase, reason, created_at, finished_at) values"
		" (gen_random_uuid(), 'create_volume', '" VOLUME "', 'server1@fast',"
		"  'req-2', 'failed', 'old', now() - interval '1 hour', now()),"
		" (gen_random_uuid(), 'create_volume', '" VOLUME "', 'server1@fast',"
		"  'req-3', 'failed', 'the disk is full', now(), now())");
	assert_int_equal(
		store_create_reason(f->db, VOLUME, reason, sizeof(reason), &err), 1);
	assert_string_equal(reason, "the disk is full");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metadata_comes_by_key_without_deleted_ones),
		cmocka_unit_test(extra_specs_are_those_of_the_type),
		cmocka_unit_test(attachments_come_oldest_first),
		cmocka_unit_test(history_tells_every_step_in_order),
		cmocka_unit_test(the_reason_of_a_failed_creation_is_the_newest),
	};

	if (!getenv("DROVER_TEST_DATABASE")) {
		puts("skipped, because DROVER_TEST_DATABASE is not set");
		return 77;
	}
	return cmocka_run_group_tests(tests, with_volume, drop_database);
}
