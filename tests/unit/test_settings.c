/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/text.h"

#define DATABASE "\n[database]\nconnection = postgresql://u:p@h/d\n"

static const char *const drivers[] = { "file", "lvm", "nfs", NULL };

static char *write_file(const char *text)
{
	char *path = strdup("/tmp/test_settings.XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static char *read_file(const char *path)
{
	char *text = calloc(1, 65536);
	AUTO(fclose) FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_true(fread(text, 1, 65535, file) < 65535);
	return text;
}

/* Load text as a file; the path in messages becomes "F". */
static int load(const char *text, struct settings **out, struct error *err)
{
	AUTO(free) char *path = write_file(text);
	const char *paths[] = { path };
	int rc = settings_load(paths, 1, out, err);
	char *at = rc < 0 ? strstr(err->text, path) : NULL;

	if (at) {
		size_t rest = strlen(at + strlen(path)) + 1;
		*at = 'F';
		memmove(at + 1, at + strlen(path), rest);
	}
	unlink(path);
	return rc;
}

static struct settings *loaded(const char *text)
{
	struct settings *s = NULL;
	struct error err = { 0 };

	if (load(text, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

/* What the log says while text is loaded. */
static char *warnings(const char *text)
{
	AUTO(free) char *path = write_file("");

	assert_int_equal(log_to_file(path), 0);
	settings_free(loaded(text));
	log_to_file(NULL);
	char *said = read_file(path);
	unlink(path);
	return said;
}

static void a_short_file_gets_the_defaults(void **state)
{
	AUTO(settings_free) struct settings *s = loaded(DATABASE);
	char hostname[256] = "";

	gethostname(hostname, sizeof(hostname) - 1);
	assert_string_equal(s->host, hostname);
	assert_null(s->enabled_backends[0]);
	assert_string_equal(s->control_exchange, "openstack");
	assert_string_equal(s->storage_availability_zone, "nova");
	assert_null(s->default_availability_zone);
	assert_string_equal(s->volume_name_template, "volume-%s");
	assert_string_equal(s->snapshot_name_template, "snapshot-%s");
	assert_false(s->no_snapshot_gb_quota);
	assert_string_equal(s->state_path, "/var/lib/drover");
	assert_true(s->service_down_time > 59 && s->service_down_time < 61);
	assert_int_equal(s->max_operations, 8);
	assert_int_equal(s->checkpoint_bytes, 268435456);
	assert_int_equal(s->worker_attempts, 5);
	assert_false(s->migration_result_keep);
	assert_string_equal(s->nbdkit, "nbdkit");
	assert_non_null(
		strstr(s->conninfo, "host='h' user='u' password='p' dbname='d'"));
}

static void the_broker_gets_oslo_messagings_defaults(void **state)
{
	AUTO(settings_free) struct settings *s = loaded(DATABASE);
	const struct rpc_options *rpc = &s->rpc;

	assert_int_equal(rpc->url.host_count, 1);
	assert_string_equal(rpc->url.hosts[0].host, "localhost");
	assert_string_equal(rpc->url.vhost, "/");
	assert_string_equal(rpc->exchange, "openstack");
	assert_int_equal(rpc->heartbeat_s, 60);
	assert_int_equal(rpc->prefetch, 32);
	assert_false(rpc->durable);
	assert_false(rpc->auto_delete);
	assert_false(rpc->quorum);
	assert_false(rpc->transient_quorum);
	assert_int_equal(rpc->transient_ttl_s, 1800);
	assert_true(rpc->confirm_timeout_s > 0);
	assert_true(rpc->response_timeout_s > 59 && rpc->response_timeout_s < 61);
	assert_int_equal(rpc->max_message_bytes, 4 << 20);
	assert_false(rpc->tls);
}

static void the_broker_section_is_heard(void **state)
{
	AUTO(settings_free)
	struct settings *s = loaded(
		"[DEFAULT]\ntransport_url = rabbit://u:p@a,u:p@b:1/v\n"
		"control_exchange = cinder\nrpc_response_timeout = 7\n"
		"[oslo_messaging_rabbit]\nheartbeat_timeout_threshold = 0\n"
		"rabbit_qos_prefetch_count = 5\nrabbit_quorum_queue = true\n"
		"rabbit_transient_quorum_queue = yes\n"
		"rabbit_transient_queues_ttl = 60\namqp_auto_delete = on\n"
		"ssl = 1\nssl_ca_file = /ca\nssl_cert_file = /c\nssl_key_file = /k"
		"\n" DATABASE);
	const struct rpc_options *rpc = &s->rpc;

	assert_int_equal(rpc->url.host_count, 2);
	assert_int_equal(rpc->url.hosts[1].port, 1);
	assert_string_equal(rpc->exchange, "cinder");
	assert_int_equal(rpc->heartbeat_s, 0);
	assert_int_equal(rpc->prefetch, 5);
	assert_true(rpc->quorum);
	assert_true(rpc->durable);
	assert_true(rpc->auto_delete);
	assert_true(rpc->transient_quorum);
	assert_int_equal(rpc->transient_ttl_s, 60);
	assert_true(rpc->tls);
	assert_true(rpc->tls_verify);
	assert_string_equal(rpc->tls_ca, "/ca");
	assert_string_equal(rpc->tls_cert, "/c");
	assert_string_equal(rpc->tls_key, "/k");
}

static void options_in_the_broker_url_win(void **state)
{
	AUTO(settings_free)
	struct settings *s = loaded(
		"[DEFAULT]\ntransport_url = rabbit://h/?ssl=1&amqp_durable_queues="
		"true&other=x\n[oslo_messaging_rabbit]\nssl=false\n" DATABASE);

	assert_true(s->rpc.tls);
	assert_false(s->rpc.tls_verify);
	assert_true(s->rpc.durable);
}

static void an_operators_cinder_conf_is_read_in_silence(void **state)
{
	AUTO(free)
	char *said = warnings(
		"[DEFAULT]\nrootwrap_config = /etc/cinder/rootwrap.conf\n"
		"api_paste_config = api-paste.ini\nauth_strategy = keystone\n"
		"my_ip = 192.0.2.1\nglance_api_servers = http://$my_ip:9292\n"
		"osapi_volume_listen = 0.0.0.0\nosapi_volume_workers = 2\n"
		"scheduler_default_filters = A,B\nbackup_driver = x\nuse_stderr = true\n"
		"image_conversion_dir = $state_path/conversion\nvolume_dd_blocksize = 1M\n"
		"lock_path = /tmp\nvolume_group = vg\ntarget_helper = lioadm\n"
		"[oslo_messaging_rabbit]\nkombu_reconnect_delay = 1\nrabbit_retry_interval"
		"=1\n[keystone_authtoken]\nanything = 1\n[nova]\nsplit_loggers = 1\n"
		"[oslo_concurrency]\nlock_path = /x\n[oslo_policy]\n[privsep]\n"
		"[backend_defaults]\nvolume_clear = none\n"
		"[idle]\nvolume_driver = cinder.volume.drivers.rbd.RBDDriver\n"
		"rbd_pool = p\nodd = 1\n[database]\nmax_retries = -1\n"
		"connection = postgresql://h/d\n");

	assert_string_equal(said, "");
}

static void an_unknown_option_is_one_warning(void **state)
{
	AUTO(free)
	char *said =
		warnings("[DEFAULT]\nenabled_backend = a\nenabled_backend = b\n"
			 "enabled_backends = a\n[a]\nfile_dirctory = /x\n"
			 "[drover]\nmax_operation = 1\n[mystery]\nx = 1\n" DATABASE);
	static const char nearest[] = "the nearest known one is 'enabled_backends'";
	const char *first = strstr(said, nearest);

	assert_non_null(first);
	assert_null(strstr(first + 1, nearest));
	assert_non_null(strstr(said, "the nearest known one is 'file_directory'"));
	assert_non_null(strstr(said, "the nearest known one is 'max_operations'"));
	assert_non_null(strstr(said, "nothing reads section [mystery]"));
}

static void a_wrong_setting_is_one_sentence(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "[DEFAULT]\n", "[database] connection is not set" },
		{ "[database]\nconnection = mysql://h/d\n",
			"F:2: option 'connection': the database is mysql, but PostgreSQL is"
			" needed" },
		{ "[DEFAULT]\nhost = a@b\n" DATABASE,
			"F:2: option 'host': 'a@b' is not fit for the name of a host" },
		{ "[DEFAULT]\nhost = ../x\n" DATABASE,
			"F:2: option 'host': '../x' is not fit for the name of a host" },
		{ "[DEFAULT]\nenabled_backends = a,a\n" DATABASE,
			"F:2: option 'enabled_backends': 'a' stands there twice" },
		{ "[DEFAULT]\nenabled_backends = a,,b\n" DATABASE,
			"F:2: option 'enabled_backends': '' is not fit for the name of a"
			" backend" },
		{ "[DEFAULT]\nvolume_name_template = volume\n" DATABASE,
			"F:2: option 'volume_name_template': 'volume' must hold '%s' exactly"
			" once" },
		{ "[DEFAULT]\nsnapshot_name_template = s\n" DATABASE,
			"F:2: option 'snapshot_name_template': 's' must hold '%s' exactly"
			" once" },
		{ "[DEFAULT]\nvolume_name_template = %s%s\n" DATABASE,
			"F:2: option 'volume_name_template': '%s%s' must hold '%s' exactly"
			" once" },
		{ "[DEFAULT]\nvolume_name_template = %d\n" DATABASE,
			"F:2: option 'volume_name_template': '%d' must hold '%s' exactly"
			" once" },
		{ "[DEFAULT]\nvolume_name_template = a/%s\n" DATABASE,
			"F:2: option 'volume_name_template': 'a/%s' is not fit for a file"
			" name" },
		{ "[DEFAULT]\ntransport_url = amqp://h\n" DATABASE,
			"F:2: option 'transport_url': the message broker's URL does not begin"
			" with rabbit://, but RabbitMQ is needed" },
		{ "[DEFAULT]\ntransport_url = rabbit://h/?ssl=x\n" DATABASE,
			"F:2: option 'transport_url': option 'ssl': 'x' is neither true nor"
			" false" },
		{ "[DEFAULT]\nstate_path = var\n" DATABASE,
			"F:2: option 'state_path': 'var' is not an absolute path" },
		{ "[DEFAULT]\nmax_over_subscription_ratio = 0.5\n" DATABASE,
			"F:2: option 'max_over_subscription_ratio': '0.5' is neither 'auto'"
			" nor a number from 1 up" },
		{ "[DEFAULT]\nreport_interval = 0\n" DATABASE,
			"F:2: option 'report_interval': 0 is outside 0.1 to 1e+09" },
		{ "[drover]\nmigration_result = maybe\n" DATABASE,
			"F:2: option 'migration_result': 'maybe' is neither 'clear' nor"
			" 'keep'" },
		{ "[drover]\nmax_operations = 0\n" DATABASE,
			"F:2: option 'max_operations': 0 is outside 1 to 1024" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct settings *s = NULL;
		struct error err = { 0 };
		if (load(cases[i].text, &s, &err) == 0)
			fail_msg("taken: %s", cases[i].text);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_string_equal(err.text, cases[i].reason);
		assert_null(s);
	}
}

static void a_service_is_never_down_between_two_heartbeats(void **state)
{
	AUTO(settings_free)
	struct settings *s = loaded("[DEFAULT]\nreport_interval = 100\n" DATABASE);

	assert_true(s->service_down_time > 249 && s->service_down_time < 251);
}

static void backends_are_made_from_their_sections(void **state)
{
	AUTO(settings_free)
	struct settings *s = loaded(
		"[DEFAULT]\nhost = server1\nenabled_backends = fast, slow\n"
		"volume_name_template = v-%s\nmax_over_subscription_ratio = auto\n"
		"[backend_defaults]\nreserved_percentage = 5\n"
		"file_directory = $state_path/shared\nbackend_host = not-used\n"
		"volume_copy_bps_limit = 5000000000\n"
		"[fast]\nvolume_backend_name = FAST\nfile_directory = /fast\n"
		"backend_availability_zone = az1\nfrozen = true\n"
		"[slow]\nvolume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver\n"
		"backend_host = cluster1\nmax_over_subscription_ratio = auto\n"
		"volume_copy_bps_limit = -1\n"
		"reserved_percentage = 7.5\n" DATABASE);
	struct backend_settings *b = NULL;
	struct error err = { 0 };
	size_t count = 0;

	if (settings_backends(s, drivers, &b, &count, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(count, 2);
	assert_string_equal(b[0].name, "fast");
	assert_string_equal(b[0].host, "server1@fast");
	assert_string_equal(b[0].volume_driver, "file");
	assert_string_equal(b[0].volume_backend_name, "FAST");
	assert_string_equal(b[0].volume_name_template, "v-%s");
	assert_string_equal(b[0].file_directory, "/fast");
	assert_string_equal(b[0].state_path, "/var/lib/drover");
	assert_string_equal(b[0].availability_zone, "az1");
	assert_string_equal(b[0].max_over_subscription_ratio, "20.0");
	assert_true(b[0].reserved_percentage > 4.9 && b[0].reserved_percentage < 5.1);
	assert_true(b[0].frozen);
	assert_true(backend_copy_limit(&b[0]) == 5000000000);
	/* Cinder's integer may be anything. */
	assert_true(b[1].volume_copy_bps_limit == -1);
	assert_true(backend_copy_limit(&b[1]) == 0);
	assert_string_equal(b[1].host, "cluster1@slow");
	assert_string_equal(b[1].volume_driver, "lvm");
	assert_string_equal(b[1].volume_backend_name, "slow");
	assert_string_equal(b[1].file_directory, "/var/lib/drover/shared");
	assert_string_equal(b[1].availability_zone, "nova");
	assert_string_equal(b[1].max_over_subscription_ratio, "auto");
	assert_true(b[1].reserved_percentage > 7.4 && b[1].reserved_percentage < 7.6);
	assert_false(b[1].frozen);
	backend_settings_free(b, count);
}

static void assert_copy_limits(const char *text, int64_t first, int64_t second)
{
	AUTO(settings_free) struct settings *s = loaded(text);
	struct backend_settings *b = NULL;
	struct error err = { 0 };
	size_t count = 0;

	if (settings_backends(s, drivers, &b, &count, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(count, 2);
	assert_true(backend_copy_limit(&b[0]) == first);
	assert_true(backend_copy_limit(&b[1]) == second);
	backend_settings_free(b, count);
}

/* As in Cinder: a backend's 0 does not lift what [DEFAULT] says. */
static void the_limit_of_copies_is_the_backends_or_the_default(void **state)
{
	assert_copy_limits("[DEFAULT]\nenabled_backends = a, b\n"
			   "[a]\nfile_directory = /a\n[b]\nfile_directory = /b\n"
			   "volume_copy_bps_limit =\n" DATABASE,
		0, 0);
	assert_copy_limits(
		"[DEFAULT]\nenabled_backends = a, b\nvolume_copy_bps_limit = 7\n"
		"[a]\nfile_directory = /a\nvolume_copy_bps_limit = 0\n"
		"[b]\nfile_directory = /b\nvolume_copy_bps_limit = 9\n" DATABASE,
		7, 9);
}

static void an_nfs_backend_takes_cinders_options(void **state)
{
	AUTO(settings_free)
	struct settings *s = loaded(
		"[DEFAULT]\nenabled_backends = one, two\nstate_path = /state\n"
		"[backend_defaults]\n"
		"volume_driver = cinder.volume.drivers.nfs.NfsDriver\n"
		"nfs_mount_options = vers=4.2\nnas_secure_file_permissions = False\n"
		"[one]\nnfs_shares_config = /etc/one.shares\nnfs_mount_attempts = 7\n"
		"[two]\nnas_host = nas\nnas_share_path = /x\n"
		"nas_mount_options = vers=3\nnfs_sparsed_volumes = 0\n"
		"nfs_mount_point_base = /mnt/two\n"
		"[drover]\nmount_helper = sudo -n helper\n" DATABASE);
	struct backend_settings *b = NULL;
	struct error err = { 0 };
	size_t count = 0;

	if (settings_backends(s, drivers, &b, &count, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(count, 2);
	assert_string_equal(b[0].volume_driver, "nfs");
	assert_string_equal(b[0].nfs_shares_config, "/etc/one.shares");
	assert_string_equal(b[0].nfs_mount_point_base, "/state/mnt");
	assert_string_equal(b[0].nfs_mount_options, "vers=4.2");
	assert_int_equal(b[0].nfs_mount_attempts, 7);
	assert_null(b[0].nas_mount_options);
	assert_string_equal(b[0].nas_host, "");
	assert_true(b[0].nfs_sparsed_volumes);
	assert_string_equal(b[0].mount_helper, "sudo -n helper");
	assert_string_equal(b[0].nas_secure_file_permissions, "False");
	assert_string_equal(b[0].nas_secure_file_operations, "auto");
	assert_string_equal(b[1].nfs_shares_config, "/etc/cinder/nfs_shares");
	assert_string_equal(b[1].nfs_mount_point_base, "/mnt/two");
	assert_string_equal(b[1].nas_host, "nas");
	assert_string_equal(b[1].nas_share_path, "/x");
	assert_string_equal(b[1].nas_mount_options, "vers=3");
	assert_int_equal(b[1].nfs_mount_attempts, 3);
	assert_false(b[1].nfs_sparsed_volumes);
	backend_settings_free(b, count);
}

static void a_wrong_backend_is_one_sentence(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "", "backend 'a' is enabled, but there is no section [a]" },
		{ "[a]\nvolume_driver = cinder.volume.drivers.rbd.RBDDriver\n",
			"there is no driver 'cinder.volume.drivers.rbd.RBDDriver', only:"
			" file, lvm, nfs" },
		{ "[a]\nvolume_driver = file\n",
			"[a] file_directory is not set, but driver 'file' needs it" },
		{ "[a]\nfile_directory = x\n", "'x' is not an absolute path" },
		{ "[a]\nfile_directory = /x\nbackend_host = a@b\n",
			"'a@b' is not fit for the name of a host" },
		{ "[a]\nfile_directory = /x\nreserved_percentage = 101\n",
			"option 'reserved_percentage': 101 is outside 0 to 100" },
		{ "[a]\nfile_directory = /x\nvolume_copy_bps_limit = 10M\n",
			"option 'volume_copy_bps_limit': '10M' is not a whole number" },
		{ "[a]\nfile_directory = /x\nmax_over_subscription_ratio = lots\n",
			"'lots' is neither 'auto' nor a number from 1 up" },
		{ "[a]\nvolume_driver = nfs\nnfs_qcow2_volumes = yes\n",
			"option 'nfs_qcow2_volumes': Drover keeps volumes as raw files" },
		{ "[a]\nvolume_driver = nfs\nnfs_mount_point_base = mnt\n",
			"option 'nfs_mount_point_base': 'mnt' is not an absolute" },
		{ "[a]\nvolume_driver = nfs\nnas_secure_file_permissions = 660\n",
			"'660' is neither auto nor true nor false" },
		{ "[a]\nvolume_driver = nfs\nnas_secure_file_operations =\n",
			"'' is neither auto nor true nor false" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512];
		snprintf(text, sizeof(text),
			"[DEFAULT]\nenabled_backends = a\n%s" DATABASE, cases[i].text);
		AUTO(settings_free) struct settings *s = loaded(text);
		struct backend_settings *b = NULL;
		struct error err = { 0 };
		size_t count = 0;
		assert_int_equal(settings_backends(s, drivers, &b, &count, &err), -1);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.text, cases[i].reason));
		assert_null(b);
	}
}

/* What settings_print writes to standard output. */
static char *printed(const struct settings *s)
{
	AUTO(free) char *path = write_file("");

	fflush(stdout);
	int out = dup(STDOUT_FILENO);
	assert_non_null(freopen(path, "w", stdout));
	settings_print(s);
	fflush(stdout);
	assert_true(dup2(out, STDOUT_FILENO) >= 0);
	close(out);
	char *text = read_file(path);
	unlink(path);
	return text;
}

static void the_listing_can_be_read_again(void **state)
{
	static const char text[] =
		"[DEFAULT]\nhost = a.b\nenabled_backends = x,y\nlog_file = a$$b\n"
		"[x]\nfile_directory = /x\n[y]\nfile_directory = /y\nfrozen = 1\n"
		"[drover]\nsource_keep = 2.5\n"
		"[database]\nconnection = postgresql://h/d\n";
	AUTO(settings_free) struct settings *one = loaded(text);
	AUTO(free) char *first = printed(one);
	AUTO(settings_free) struct settings *two = loaded(first);
	AUTO(free) char *second = printed(two);

	assert_string_equal(first, second);
	assert_string_equal(two->log_file, "a$b");
	assert_non_null(strstr(first, "\nsource_keep = 2.5\n"));
	assert_non_null(strstr(first, "\n[y]\n"));
}

#define NOVA "[nova]\nauth_url = https://k:5000/v3\n"
#define USER "username = cinder\npassword = hush\n"

static void attached_volumes_are_moved_by_nova_if_it_is_known(void **state)
{
	AUTO(settings_free) struct settings *none = loaded(DATABASE);
	AUTO(settings_free) struct settings *nova = loaded(DATABASE NOVA USER);
	AUTO(settings_free)
	struct settings *off =
		loaded(DATABASE "[drover]\ncompute_api = none\n" NOVA USER);
	AUTO(settings_free)
	struct settings *credential =
		loaded(DATABASE NOVA "auth_type = v3applicationcredential\n"
				     "application_credential_id = i\n"
				     "application_credential_secret = hush\n");
	AUTO(free) char *user = printed(nova);
	AUTO(free) char *secret = printed(credential);

	assert_int_equal(none->compute_api, COMPUTE_NONE);
	assert_int_equal(nova->compute_api, COMPUTE_NOVA);
	assert_int_equal(off->compute_api, COMPUTE_NONE);
	assert_int_equal(credential->compute_api, COMPUTE_NOVA);
	assert_true(credential->nova.is_credential && !nova->nova.is_credential);
	assert_string_equal(nova->nova.interface, "public");
	assert_string_equal(nova->nova.project_name, "service");
	assert_non_null(strstr(user, "\npassword = ***\n"));
	assert_null(strstr(user, "hush"));
	assert_null(strstr(secret, "hush"));
}

/* A cinder.conf may log in to Compute in a way that is not known here. */
static void what_is_wrong_of_nova_is_a_warning_unless_it_is_asked_for(void **state)
{
	static const char *const wrong[] = {
		DATABASE "%s" NOVA,
		DATABASE "%s" NOVA USER "auth_type = v3oidcpassword\n",
		DATABASE "%s" NOVA "auth_type = v3applicationcredential\n",
		DATABASE "%s" NOVA USER "endpoint_override = ftp://x\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		AUTO(free) char *text = text_format(wrong[i], "");
		AUTO(free)
		char *asked = text_format(wrong[i], "[drover]\ncompute_api = nova\n");
		AUTO(free) char *said = warnings(text);
		struct settings *s = NULL;
		struct error err;

		assert_non_null(strstr(said, "attached volumes cannot be migrated"));
		assert_int_equal(load(asked, &s, &err), -1);
		assert_int_equal(err.code, ERR_CONFIG);
	}
}

static void the_listing_keeps_secrets(void **state)
{
	AUTO(settings_free)
	struct settings *s =
		loaded("[DEFAULT]\ntransport_url = rabbit://u:hush@h1,u:hush@h2/v\n"
		       "[database]\nconnection = postgresql://u:hu/sh:hush@h/d\n");
	AUTO(settings_free)
	struct settings *query =
		loaded("[database]\nconnection = postgresql://u@h/d?password=hush\n");
	AUTO(free) char *one = printed(s);
	AUTO(free) char *two = printed(query);

	assert_null(strstr(one, "hush"));
	assert_null(strstr(one, "hu/sh"));
	assert_non_null(strstr(one, "\ntransport_url = rabbit://u:***@h2/v\n"));
	assert_non_null(strstr(one, "\nconnection = postgresql://u:***@h/d\n"));
	assert_null(strstr(two, "hush"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_file_gets_the_defaults),
		cmocka_unit_test(the_broker_gets_oslo_messagings_defaults),
		cmocka_unit_test(the_broker_section_is_heard),
		cmocka_unit_test(options_in_the_broker_url_win),
		cmocka_unit_test(an_operators_cinder_conf_is_read_in_silence),
		cmocka_unit_test(an_unknown_option_is_one_warning),
		cmocka_unit_test(a_wrong_setting_is_one_sentence),
		cmocka_unit_test(a_service_is_never_down_between_two_heartbeats),
		cmocka_unit_test(backends_are_made_from_their_sections),
		cmocka_unit_test(the_limit_of_copies_is_the_backends_or_the_default),
		cmocka_unit_test(an_nfs_backend_takes_cinders_options),
		cmocka_unit_test(a_wrong_backend_is_one_sentence),
		cmocka_unit_test(the_listing_can_be_read_again),
		cmocka_unit_test(attached_volumes_are_moved_by_nova_if_it_is_known),
		cmocka_unit_test(
			what_is_wrong_of_nova_is_a_warning_unless_it_is_asked_for),
		cmocka_unit_test(the_listing_keeps_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
