/* SPDX-License-Identifier: Apache-2.0 */
/* Connection info, beside what a running Cinder has answered. */
#include "tests/unit/scratch.h"

#include "common/auto.h"
#include "common/text.h"
#include "volume-manager/connection.h"

#define ATTACHMENT "e91617ef-4c19-47b3-a5ec-48e5a6463ff8"
#define EXPORT "6f0d3c7e-8a43-4f0e-9d56-5b8e4a2c9d10"
#define VOLUME "52066072-f7ff-4888-988f-ada5754df762"

static struct connection_facts facts_of_share(void)
{
	return (struct connection_facts) { .provider_location = "127.0.0.1:/export1",
		.format = "raw",
		.size_gib = 3 };
}

static struct connection_share share_of(const char *options, bool known)
{
	return (struct connection_share) { .name = "volume-" VOLUME,
		.mount_point_base = "/var/lib/cinder/mnt",
		.known = known,
		.options = options };
}

/* Member by member in this order, as text. Takes the object over. */
static void assert_json(struct json_object *got, const char *want)
{
	AUTO(free) char *text = json_text(got);

	assert_string_equal(text, want);
	json_object_put(got);
}

static void a_share_as_cinder_gives_it(void **state)
{
	struct connection_facts facts = facts_of_share();
	struct connection_share share = share_of(NULL, true);

	(void)state;
	assert_json(connection_nfs(&share, &facts),
		"{\"driver_volume_type\":\"nfs\",\"data\":{"
		"\"export\":\"127.0.0.1:/export1\",\"name\":\"volume-" VOLUME "\","
		"\"options\":null,\"format\":\"raw\",\"qos_specs\":null,"
		"\"access_mode\":\"rw\",\"encrypted\":false,\"cacheable\":false},"
		"\"mount_point_base\":\"/var/lib/cinder/mnt\"}");
}

static void a_share_for_an_attachment(void **state)
{
	struct connection_facts facts = facts_of_share();
	struct connection_share share = share_of("-o vers=4.1", true);

	(void)state;
	facts.read_only = facts.encrypted = facts.cacheable = true;
	assert_json(connection_flat(connection_nfs(&share, &facts), ATTACHMENT),
		"{\"export\":\"127.0.0.1:/export1\",\"name\":\"volume-" VOLUME "\","
		"\"options\":\"-o vers=4.1\",\"format\":\"raw\",\"qos_specs\":null,"
		"\"access_mode\":\"ro\",\"encrypted\":true,\"cacheable\":true,"
		"\"driver_volume_type\":\"nfs\","
		"\"mount_point_base\":\"/var/lib/cinder/mnt\","
		"\"attachment_id\":\"" ATTACHMENT "\"}");
}

static void a_share_that_is_not_configured_has_no_options(void **state)
{
	struct connection_facts facts = facts_of_share();
	struct connection_share share = share_of(NULL, false);
	AUTO(json_object_put)
	struct json_object *flat =
		connection_flat(connection_nfs(&share, &facts), ATTACHMENT);

	(void)state;
	assert_false(json_object_object_get_ex(flat, "options", NULL));
	assert_true(json_object_object_get_ex(flat, "export", NULL));
}

static void an_export_says_what_it_serves(void **state)
{
	struct export export = { .id = EXPORT,
		.volume_id = VOLUME,
		.address = "127.0.0.1",
		.port = 10809,
		.read_only = true };
	struct connection_facts facts = facts_of_share();

	(void)state;
	assert_json(connection_nbd(&export, &facts),
		"{\"driver_volume_type\":\"nbd\",\"data\":{"
		"\"uri\":\"nbd://127.0.0.1:10809/" EXPORT "\","
		"\"address\":\"127.0.0.1\",\"port\":10809,\"export\":\"" EXPORT "\","
		"\"volume_id\":\"" VOLUME "\",\"qos_specs\":null,"
		"\"access_mode\":\"ro\",\"encrypted\":false,\"cacheable\":false}}");
}

static void assert_qos(const char *specs, int64_t size, const char *want)
{
	struct json_object *o = NULL;

	assert_int_equal(json_parse(specs, strlen(specs), &o, NULL), 0);
	assert_json(connection_qos(o, size), want);
	json_object_put(o);
}

static void limits_per_gib_become_limits(void **state)
{
	(void)state;
	assert_null(connection_qos(NULL, 1));
	assert_qos("{\"read_iops_sec\":\"100\",\"other\":\"x\"}", 3,
		"{\"read_iops_sec\":\"100\",\"other\":\"x\"}");
	assert_qos("{\"read_iops_sec_per_gb\":\"10\"}", 3, "{\"read_iops_sec\":30}");
	assert_qos("{\"total_bytes_sec_per_gb\":\"10\","
		   "\"total_bytes_sec_per_gb_min\":\"100\"}",
		3, "{\"total_bytes_sec\":100}");
	assert_qos("{\"write_iops_sec_per_gb\":\"10\",\"write_iops_sec_max\":\"25\"}",
		3, "{\"write_iops_sec\":25}");
	assert_qos("{\"write_iops_sec_max\":\"25\"}", 3,
		"{\"write_iops_sec_max\":\"25\"}");
	/* What is no number is no limit, and no reason to fail. */
	assert_qos("{\"write_bytes_sec_per_gb\":\"many\"}", 3, "{}");
	assert_qos("{\"read_bytes_sec_per_gb\":\"4611686018427387903\"}", 3,
		"{\"read_bytes_sec\":4611686018427387903}");
}

static void who_does_not_speak_nbd_hears_it(void **state)
{
	struct backend_settings settings = { .volume_driver = (char *)"file" };
	struct volume volume = { .host = "server1@fast#fast" };
	struct connection_facts facts = facts_of_share();
	struct json_object *info = NULL;
	struct error err;

	(void)state;
	assert_int_equal(connection_info(&settings, &volume, &facts, "compute1", false,
				 &info, &err),
		-1);
	assert_int_equal(err.code, ERR_INVALID_INPUT);
	assert_string_equal(err.text,
		"the connector of host 'compute1' does not say that it speaks NBD "
		"(\"nbd\": true), and 'server1@fast#fast' offers nothing else");
	assert_null(info);
}

static void a_file_of_the_host_itself_is_a_path(void **state)
{
	struct backend_settings settings = { .volume_driver = (char *)"file",
		.volume_name_template = (char *)"volume-%s",
		.file_directory = (char *)"/srv/fast" };
	struct volume volume = { .id = VOLUME, .name_id = EXPORT, .host = "s@fast#p" };
	struct connection_facts facts = facts_of_share();
	struct json_object *info = NULL;
	struct error err;

	(void)state;
	assert_true(connection_is_file(&settings));
	facts.read_only = true;
	if (connection_info(&settings, &volume, &facts, "s", true, &info, &err) < 0)
		fail_msg("%s", err.text);
	assert_json(info,
		"{\"driver_volume_type\":\"local\",\"data\":{"
		"\"device_path\":\"/srv/fast/volume-" EXPORT "\",\"format\":\"raw\","
		"\"qos_specs\":null,\"access_mode\":\"ro\","
		"\"encrypted\":false,\"cacheable\":false}}");
}

/* The share's options come from nfs_shares_config; the settings of a backend say the rest. */
static void a_backend_of_shares_answers_from_its_settings(void **state)
{
	struct scratch scratch;
	struct connection_facts facts = facts_of_share();
	struct volume volume = { .id = VOLUME, .name_id = EXPORT, .host = "s@nfs#p" };
	struct json_object *info = NULL;
	struct error err;

	(void)state;
	scratch_make(&scratch);
	AUTO(free) char *list = text_format("%s/shares", scratch.path);
	AUTO(fclose) FILE *f = fopen(list, "w");
	assert_true(fputs("127.0.0.1:/export1 -o ro\n127.0.0.1:/export2\n", f) >= 0);
	fflush(f);
	struct backend_settings settings = { .name = (char *)"nfs",
		.volume_driver = (char *)"nfs",
		.volume_name_template = (char *)"volume-%s",
		.nfs_shares_config = list,
		.nfs_mount_point_base = scratch.path };
	AUTO(free)
	char *want = text_format(
		"{\"driver_volume_type\":\"nfs\",\"data\":{"
		"\"export\":\"127.0.0.1:/export1\",\"name\":\"volume-" EXPORT
		"\",\"options\":\"-o ro\",\"format\":\"raw\","
		"\"qos_specs\":null,\"access_mode\":\"rw\","
		"\"encrypted\":false,\"cacheable\":false},"
		"\"mount_point_base\":\"%s\"}",
		scratch.path);
	if (connection_info(&settings, &volume, &facts, "", false, &info, &err) < 0)
		fail_msg("%s", err.text);
	assert_json(info, want);
	facts.provider_location[0] = '\0';
	assert_int_equal(
		connection_info(&settings, &volume, &facts, "", false, &info, &err),
		-1);
	assert_int_equal(err.code, ERR_BACKEND);
	assert_string_equal(err.text,
		"Bad or unexpected response from the storage volume backend API: Driver "
		"initialize connection failed (error: volume '" VOLUME
		"' has no provider_location).");
	scratch_remove(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_as_cinder_gives_it),
		cmocka_unit_test(a_share_for_an_attachment),
		cmocka_unit_test(a_share_that_is_not_configured_has_no_options),
		cmocka_unit_test(an_export_says_what_it_serves),
		cmocka_unit_test(limits_per_gib_become_limits),
		cmocka_unit_test(who_does_not_speak_nbd_hears_it),
		cmocka_unit_test(a_file_of_the_host_itself_is_a_path),
		cmocka_unit_test(a_backend_of_shares_answers_from_its_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
