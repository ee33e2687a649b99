/* SPDX-License-Identifier: Apache-2.0 */
#include "common/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/cinder-options.h"
#include "common/log.h"
#include "common/text.h"
#include "common/url.h"

/* What the tables fill: the settings, and raw values that settings are made from. */
struct whole {
	struct settings settings;
	struct option host_option; /* its default is the machine's name */
	char hostname[256];

	char *over_subscription; /* number or "auto" */
	char *migration_result;
	char *compute_api;
	char *nbd_tls;

	int64_t heartbeat, prefetch, transient_ttl; /* [oslo_messaging_rabbit] */
	bool durable, auto_delete, quorum, transient_quorum, ssl;
	char *ssl_ca, *ssl_cert, *ssl_key;
};

#define S(field) offsetof(struct whole, settings.field)
#define W(field) offsetof(struct whole, field)
#define B(field) offsetof(struct backend_settings, field)
#define MANY 1e9

static const struct option default_options[] = {
	{ "host", OPTION_STRING, S(host), NULL, 0, 0,
		"Name of this host in the services it offers; the machine's name if "
		"not set." },
	{ "enabled_backends", OPTION_LIST, S(enabled_backends), "", 0, 0,
		"Sections of the backends that this host's volume manager serves." },
	{ "transport_url", OPTION_STRING, S(transport_url), "rabbit://", 0, 0,
		"Message broker: rabbit://user:password@host:port[,...]/vhost." },
	{ "control_exchange", OPTION_STRING, S(control_exchange), "openstack", 0, 0,
		"AMQP exchange of the topics; the peers must use the same one." },
	{ "rpc_response_timeout", OPTION_FLOAT, S(rpc_response_timeout), "60", 0.1,
		MANY, "Seconds that a call waits for its answer." },
	{ "debug", OPTION_BOOL, S(debug), "false", 0, 0, "Log debug messages too." },
	{ "log_file", OPTION_STRING, S(log_file), NULL, 0, 0,
		"File that log lines are appended to as well." },
	{ "log_dir", OPTION_STRING, S(log_dir), NULL, 0, 0,
		"Directory of log files, before a relative log_file." },
	{ "report_interval", OPTION_FLOAT, S(report_interval), "10", 0.1, MANY,
		"Seconds between heartbeats of a service in the database." },
	{ "periodic_interval", OPTION_FLOAT, S(periodic_interval), "60", 0.1, MANY,
		"Seconds between reports of the backends' capacity." },
	{ "service_down_time", OPTION_FLOAT, S(service_down_time), "60", 0.1, MANY,
		"Seconds without a heartbeat after which a service counts as down." },
	{ "storage_availability_zone", OPTION_STRING, S(storage_availability_zone),
		"nova", 0, 0, "Availability zone of this host." },
	{ "default_availability_zone", OPTION_STRING, S(default_availability_zone),
		NULL, 0, 0,
		"Zone of new volumes; storage_availability_zone if not set." },
	{ "volume_name_template", OPTION_STRING, S(volume_name_template), "volume-%s",
		0, 0, "Name of a volume on its backend, with one %s for its id." },
	{ "snapshot_name_template", OPTION_STRING, S(snapshot_name_template),
		"snapshot-%s", 0, 0,
		"Name of a snapshot on its backend, with one %s for its id." },
	{ "no_snapshot_gb_quota", OPTION_BOOL, S(no_snapshot_gb_quota), "false", 0, 0,
		"Snapshots do not count as gigabytes in quotas." },
	{ "my_ip", OPTION_STRING, S(my_ip), NULL, 0, 0,
		"this host's address: exports for other hosts listen there" },
	{ "state_path", OPTION_STRING, S(state_path), "/var/lib/drover", 0, 0,
		"Directory of what must survive a restart, such as operations' "
		"locks." },
	{ "max_over_subscription_ratio", OPTION_STRING, W(over_subscription), "20.0", 0,
		0,
		"Thin provisioning: provisioned by real capacity, for pools that do "
		"not say." },
	{ "message_reap_interval", OPTION_FLOAT, S(message_reap_interval), "86400", 1,
		MANY, "Seconds between looks for user messages that expired." },
	{ "reservation_clean_interval", OPTION_FLOAT, S(reservation_clean_interval),
		"86400", 1, MANY,
		"Seconds between looks for quota reservations that expired." },
	{ "scheduler_max_attempts", OPTION_INT, S(scheduler_max_attempts), "3", 1, 1000,
		"Backends that may fail to make a volume before it is in error." },
	{ "scheduler_default_filters", OPTION_LIST, S(scheduler_default_filters),
		"AvailabilityZoneFilter,CapacityFilter,CapabilitiesFilter", 0, 0,
		"What a pool must pass to be chosen." },
	{ "scheduler_default_weighers", OPTION_LIST, S(scheduler_default_weighers),
		"CapacityWeigher", 0, 0, "What decides between pools that passed." },
	{ "capacity_weight_multiplier", OPTION_FLOAT, S(capacity_weight_multiplier),
		"1.0", -MANY, MANY,
		"Weight of free capacity; negative fills pools up." },
	{ "allocated_capacity_weight_multiplier", OPTION_FLOAT,
		S(allocated_capacity_weight_multiplier), "-1.0", -MANY, MANY,
		"Weight of allocated capacity; positive fills pools up." },
	{ "volume_number_multiplier", OPTION_FLOAT, S(volume_number_multiplier), "-1.0",
		-MANY, MANY,
		"Weight of the number of volumes; positive fills pools up." },
	{ "default_volume_type", OPTION_STRING, S(default_volume_type), "__DEFAULT__",
		0, 0, "Type of volumes that are created without one." },
	{ "volume_copy_bps_limit", OPTION_INT, S(volume_copy_bps_limit), "0", 0, 0,
		"The same as in the sections of backends, for those without a limit." },
};

static const struct option database_options[] = {
	{ "connection", OPTION_STRING, S(connection), NULL, 0, 0,
		"Database: postgresql://user:password@host/database." },
};

static const struct option rabbit_options[] = {
	{ "heartbeat_timeout_threshold", OPTION_INT, W(heartbeat), "60", 0, 3600,
		"Seconds after which a silent broker counts as gone; 0: never." },
	{ "rabbit_qos_prefetch_count", OPTION_INT, W(prefetch), "0", 0, 65535,
		"Messages taken before the first is acknowledged; 0: 32." },
	{ "amqp_durable_queues", OPTION_BOOL, W(durable), "false", 0, 0,
		"Durable queues; the peers must use the same." },
	{ "amqp_auto_delete", OPTION_BOOL, W(auto_delete), "false", 0, 0,
		"Queues that go with their last consumer; the peers must use the "
		"same." },
	{ "rabbit_quorum_queue", OPTION_BOOL, W(quorum), "false", 0, 0,
		"Quorum queues; the peers must use the same." },
	{ "rabbit_transient_quorum_queue", OPTION_BOOL, W(transient_quorum), "false", 0,
		0, "Quorum queues for replies and fanouts too." },
	{ "rabbit_transient_queues_ttl", OPTION_INT, W(transient_ttl), "1800", 0, 86400,
		"Seconds that unused reply and fanout queues live; the peers must use "
		"the"
		" same." },
	{ "ssl", OPTION_BOOL, W(ssl), "false", 0, 0, "TLS to the broker." },
	{ "ssl_ca_file", OPTION_STRING, W(ssl_ca), NULL, 0, 0,
		"Certificates that the broker's is checked against, with its host name;"
		" not set: unchecked." },
	{ "ssl_cert_file", OPTION_STRING, W(ssl_cert), NULL, 0, 0,
		"Own certificate shown to the broker." },
	{ "ssl_key_file", OPTION_STRING, W(ssl_key), NULL, 0, 0,
		"Key of the own certificate." },
};

static const struct option drover_options[] = {
	{ "migration_result", OPTION_STRING, W(migration_result), "clear", 0, 0,
		"migration_status after a migration: clear it, or keep success or "
		"error." },
	{ "max_operations", OPTION_INT, S(max_operations), "8", 1, 1024,
		"Operations that run at once in one volume manager; more wait." },
	{ "source_keep", OPTION_FLOAT, S(source_keep), "0", 0, MANY,
		"Seconds that the old object is kept after a migration." },
	{ "checkpoint_bytes", OPTION_INT, S(checkpoint_bytes), "268435456", 1048576,
		1099511627776, "Bytes copied between two checkpoints." },
	{ "checkpoint_seconds", OPTION_FLOAT, S(checkpoint_seconds), "5", 0.1, 3600,
		"Seconds between two checkpoints, if sooner." },
	{ "rescan_interval", OPTION_FLOAT, S(rescan_interval), "15", 0.1, 3600,
		"Seconds after which waiting work is looked for without a notice." },
	{ "compute_api", OPTION_STRING, W(compute_api), NULL, 0, 0,
		"Who moves attached volumes: nova, rpc (drover-compute on the guest's host)"
		" or none; nova if [nova] has auth_url." },
	{ "compute_poll", OPTION_FLOAT, S(compute_poll), "30", 0.1, 3600,
		"Seconds between two looks at what Compute does with a volume." },
	{ "compute_grace", OPTION_FLOAT, S(compute_grace), "120", 0, MANY,
		"Seconds that Compute may need for its answer when it has ended." },
	{ "compute_timeout", OPTION_FLOAT, S(compute_timeout), "86400", 1, MANY,
		"Seconds without any answer of Compute after which a migration is held." },
	{ "compute_find_timeout", OPTION_FLOAT, S(compute_find_timeout), "3", 0.1, 600,
		"Seconds in which the hypervisor that has a guest answers; compute_api = rpc." },
	{ "worker_attempts", OPTION_INT, S(worker_attempts), "5", 1, 1000,
		"Crashes of an operation without progress before it is given up." },
	{ "worker_timeout", OPTION_FLOAT, S(worker_timeout), "60", 2, MANY,
		"Seconds after which a worker that shows no sign of life is killed." },
	{ "lease_time", OPTION_FLOAT, S(lease_time), "30", 1, 3600,
		"Seconds that a manager's hold on its backends counts after its last sign "
		"of life; at least three times report_interval." },
	{ "peer_timeout", OPTION_FLOAT, S(peer_timeout), "300", 1, MANY,
		"Seconds that the other host may be silent after that before a migration "
		"is taken back." },
	{ "standby_timeout", OPTION_FLOAT, S(standby_timeout), "60", 0, MANY,
		"Seconds that work waits for a standby of the database that is behind." },
	{ "switch_settle", OPTION_FLOAT, S(switch_settle), "30", 0, MANY,
		"Seconds that leftovers are left alone when the database does not show "
		"how far its standbys are." },
	{ "nbd_tls", OPTION_STRING, W(nbd_tls), "true", 0, 0,
		"true: encrypt the data of migrations between hosts, each with a key of its"
		" own; certificates: and serve guests of other hosts; false." },
	{ "nbd_certificates", OPTION_STRING, S(nbd_certificates), NULL, 0, 0,
		"Directory of ca-cert.pem, server-cert.pem and server-key.pem for that." },
	{ "nbdkit", OPTION_STRING, S(nbdkit), "nbdkit", 0, 0,
		"The program that exports volumes to other hosts." },
	{ "mount_helper", OPTION_STRING, S(mount_helper), NULL, 0, 0,
		"Command that runs drover-mount as root, when Drover itself is not root." },
	{ "compute_libvirt_uri", OPTION_STRING, S(compute_libvirt_uri),
		"qemu:///system", 0, 0, "drover-compute: the libvirt of this host." },
	{ "compute_detach_timeout", OPTION_FLOAT, S(compute_detach_timeout), "20", 1,
		3600, "drover-compute: seconds that a guest has to let go of a disk." },
	{ "nfs_mount_point_base", OPTION_STRING, S(nfs_mount_point_base),
		"$state_path/mnt", 0, 0,
		"drover-compute: directory of the mount points of guests' shares." },
};

/* backend_host is not here: as in Cinder it counts in the backend's own section only. */
static const struct option backend_options[] = {
	{ "volume_driver", OPTION_STRING,
		offsetof(struct backend_settings, volume_driver), "file", 0, 0,
		"Kind of storage; class paths of Cinder are understood." },
	{ "volume_backend_name", OPTION_STRING,
		offsetof(struct backend_settings, volume_backend_name), NULL, 0, 0,
		"Name that volume types refer to; the section's name if not set." },
	{ "reserved_percentage", OPTION_FLOAT,
		offsetof(struct backend_settings, reserved_percentage), "0", 0, 100,
		"Share of the capacity that new volumes leave free." },
	{ "max_over_subscription_ratio", OPTION_STRING,
		offsetof(struct backend_settings, max_over_subscription_ratio), "20.0",
		0, 0, "Thin provisioning: provisioned by real capacity, or auto." },
	{ "file_directory", OPTION_STRING,
		offsetof(struct backend_settings, file_directory), NULL, 0, 0,
		"Driver file: the directory of the volumes." },
	{ "backend_availability_zone", OPTION_STRING,
		offsetof(struct backend_settings, availability_zone), NULL, 0, 0,
		"Availability zone of this backend; storage_availability_zone if not "
		"set." },
	{ "frozen", OPTION_BOOL, B(frozen), "false", 0, 0, "Take no new volumes." },
	{ "volume_copy_bps_limit", OPTION_INT, B(volume_copy_bps_limit), "0", 0, 0,
		"Bytes per second at which a volume of this backend is copied; 0: no limit." },
	{ "nfs_shares_config", OPTION_STRING, B(nfs_shares_config),
		"/etc/cinder/nfs_shares", 0, 0,
		"Driver nfs: file with a share in each line, server:/path." },
	{ "nas_host", OPTION_STRING, B(nas_host), "", 0, 0,
		"Driver nfs: server of the only share, in place of nfs_shares_config." },
	{ "nas_share_path", OPTION_STRING, B(nas_share_path), "", 0, 0,
		"Driver nfs: path of that share on nas_host." },
	{ "nfs_mount_point_base", OPTION_STRING, B(nfs_mount_point_base),
		"$state_path/mnt", 0, 0,
		"Driver nfs: directory of the mount points, each named by its share's MD5." },
	{ "nfs_mount_options", OPTION_STRING, B(nfs_mount_options), NULL, 0, 0,
		"Driver nfs: options for mount -o, see nfs(5)." },
	{ "nas_mount_options", OPTION_STRING, B(nas_mount_options), NULL, 0, 0,
		"Driver nfs: the same; counts before nfs_mount_options." },
	{ "nfs_mount_attempts", OPTION_INT, B(nfs_mount_attempts), "3", 0, 1000,
		"Driver nfs: attempts to mount a share; at least one is made." },
	{ "nfs_sparsed_volumes", OPTION_BOOL, B(nfs_sparsed_volumes), "true", 0, 0,
		"Driver nfs: new volumes take space only as they are written." },
	{ "nfs_qcow2_volumes", OPTION_BOOL, B(nfs_qcow2_volumes), "false", 0, 0,
		"Driver nfs: refused when true, volumes are raw." },
	{ "nfs_snapshot_support", OPTION_BOOL, B(nfs_snapshot_support), "false", 0, 0,
		"Driver nfs: accepted; snapshots need no such switch here." },
	{ "nas_secure_file_operations", OPTION_STRING, B(nas_secure_file_operations),
		"auto", 0, 0,
		"Driver nfs: auto, true or false; files are the daemon's user's always." },
	{ "nas_secure_file_permissions", OPTION_STRING, B(nas_secure_file_permissions),
		"auto", 0, 0,
		"Driver nfs: mode of new volumes: true 660, false 666, auto as found." },
};

static const struct option backend_host_options[] = {
	{ "backend_host", OPTION_STRING, offsetof(struct backend_settings, host), NULL,
		0, 0, "Host part of this backend's name, in place of host." },
};

static const struct option nova_options[] = {
	{ "auth_url", OPTION_STRING, S(nova.auth_url), NULL, 0, 0,
		"Keystone, version 3: http://host:5000/v3." },
	{ "auth_type", OPTION_STRING, S(nova.auth_type), "password", 0, 0,
		"password or v3applicationcredential." },
	{ "username", OPTION_STRING, S(nova.username), NULL, 0, 0,
		"A user with the role service or admin." },
	{ "password", OPTION_STRING, S(nova.password), NULL, 0, 0, "Its password." },
	{ "user_domain_name", OPTION_STRING, S(nova.user_domain_name), "Default", 0, 0,
		"Its domain." },
	{ "project_name", OPTION_STRING, S(nova.project_name), "service", 0, 0,
		"The project it asks for a token of." },
	{ "project_domain_name", OPTION_STRING, S(nova.project_domain_name), "Default",
		0, 0, "The project's domain." },
	{ "application_credential_id", OPTION_STRING, S(nova.application_credential_id),
		NULL, 0, 0, "In place of user and project." },
	{ "application_credential_secret", OPTION_STRING,
		S(nova.application_credential_secret), NULL, 0, 0, "Its secret." },
	{ "region_name", OPTION_STRING, S(nova.region_name), NULL, 0, 0,
		"Compute's region; the first of the catalogue if not set." },
	{ "interface", OPTION_STRING, S(nova.interface), "public", 0, 0,
		"Compute's interface: public, internal or admin." },
	{ "endpoint_override", OPTION_STRING, S(nova.endpoint_override), NULL, 0, 0,
		"Compute's URL, http://host:8774/v2.1; the catalogue's if not set." },
	{ "cafile", OPTION_STRING, S(nova.cafile), NULL, 0, 0,
		"Certificates that Keystone's and Compute's are checked against." },
	{ "insecure", OPTION_BOOL, S(nova.insecure), "false", 0, 0,
		"Do not check them." },
	{ "timeout", OPTION_FLOAT, S(nova.timeout), "60", 1, 3600,
		"Seconds that one request may take." },
};

static const struct section_table {
	const char *name;
	const struct option *options;
	size_t count;
} section_tables[] = {
	{ "DEFAULT", default_options, ARRAY_SIZE(default_options) },
	{ "database", database_options, ARRAY_SIZE(database_options) },
	{ "oslo_messaging_rabbit", rabbit_options, ARRAY_SIZE(rabbit_options) },
	{ "drover", drover_options, ARRAY_SIZE(drover_options) },
	{ "nova", nova_options, ARRAY_SIZE(nova_options) },
};

static const char *const default_paths[] = {
	"/etc/drover/drover.conf",
	"/etc/cinder/cinder.conf",
};

/* Drivers of Cinder whose volumes a driver of ours serves. */
static const struct {
	const char *class_path, *driver;
} driver_aliases[] = {
	{ "cinder.volume.drivers.lvm.LVMVolumeDriver", "lvm" },
	{ "cinder.volume.drivers.lvm.LVMISCSIDriver", "lvm" },
	{ "cinder.volume.drivers.nfs.NfsDriver", "nfs" },
	{ "cinder.volume.drivers.rbd.RBDDriver", "rbd" },
};

void settings_free(struct settings *settings)
{
	struct whole *w = container_of(settings, struct whole, settings);

	if (!settings)
		return;

	for (size_t i = 0; i < ARRAY_SIZE(section_tables); i++)
		conf_clear(section_tables[i].options, section_tables[i].count, w);
	rabbit_url_clear(&settings->rpc.url);
	free(settings->conninfo);
	if (settings->conf)
		conf_free(settings->conf);
	free(w);
}

/* Say where in the files the option stands that *err is about. */
static int blame(const struct settings *s, const char *section, const char *option,
	struct error *err)
{
	AUTO(free) char *value = NULL;
	const char *where = NULL;

	if (conf_get(s->conf, section, NULL, option, &value, &where, NULL) < 0 ||
		!where)
		return error_context(err, "[%s] %s", section, option);
	return error_context(err, "%s: option '%s'", where, option);
}

/* A part of a host's name: no separators of the other parts. */
static bool host_is_safe(const char *name)
{
	return name_is_safe(name) && !strpbrk(name, "@#");
}

static int check_template(const char *template, struct error *err)
{
	const char *hole = strchr(template, '%');
	AUTO(free) char *sample = NULL;

	if (!hole || hole[1] != 's' || strchr(hole + 1, '%'))
		return error_set(
			err, ERR_CONFIG, "'%s' must hold '%%s' exactly once", template);
	sample = text_format("%.*sx%s", (int)(hole - template), template, hole + 2);
	if (!sample)
		return error_no_memory(err);
	if (!name_is_safe(sample) || strlen(sample) > 200)
		return error_set(
			err, ERR_CONFIG, "'%s' is not fit for a file name", template);
	return 0;
}

static int check_ratio(const char *text, double *out, struct error *err)
{
	double ratio;

	if (strcmp(text, "auto") == 0)
		return 0;
	if (text_to_double(text, &ratio, NULL) < 0 || ratio < 1)
		return error_set(err, ERR_CONFIG,
			"'%s' is neither 'auto' nor a number from 1 up", text);
	if (out)
		*out = ratio;
	return 0;
}

static int check_default(struct whole *w, struct error *err)
{
	struct settings *s = &w->settings;

	if (!host_is_safe(s->host)) {
		error_set(err, ERR_CONFIG, "'%s' is not fit for the name of a host",
			s->host);
		return blame(s, "DEFAULT", "host", err);
	}
	if (!name_is_safe(s->control_exchange)) {
		error_set(err, ERR_CONFIG,
			"'%s' is not fit for the name of an exchange",
			s->control_exchange);
		return blame(s, "DEFAULT", "control_exchange", err);
	}
	if (check_template(s->volume_name_template, err) < 0)
		return blame(s, "DEFAULT", "volume_name_template", err);
	if (check_template(s->snapshot_name_template, err) < 0)
		return blame(s, "DEFAULT", "snapshot_name_template", err);
	s->max_over_subscription_ratio = 20.0; /* "auto" is the pools' business */
	if (check_ratio(w->over_subscription, &s->max_over_subscription_ratio, err) < 0)
		return blame(s, "DEFAULT", "max_over_subscription_ratio", err);
	if (s->state_path[0] != '/') {
		error_set(
			err, ERR_CONFIG, "'%s' is not an absolute path", s->state_path);
		return blame(s, "DEFAULT", "state_path", err);
	}
	if (s->lease_time < 3 * s->report_interval) {
		log_warning("lease_time is below three times report_interval;"
			    " going on with lease_time=%g",
			3 * s->report_interval);
		s->lease_time = 3 * s->report_interval;
	}
	if (s->service_down_time <= s->report_interval) {
		log_warning("service_down_time is not above report_interval;"
			    " going on with service_down_time=%g",
			s->report_interval * 2.5);
		s->service_down_time = s->report_interval * 2.5;
	}
	return 0;
}

static int check_database(struct whole *w, bool needed, struct error *err)
{
	struct settings *s = &w->settings;

	if (!s->connection && !needed)
		return 0;
	if (!s->connection)
		return error_set(err, ERR_CONFIG, "[database] connection is not set");
	if (url_to_conninfo(s->connection, &s->conninfo, err) < 0)
		return blame(s, "database", "connection", err);
	return 0;
}

static int need(const struct settings *s, const char *value, const char *option,
	struct error *err)
{
	if (value && *value)
		return 0;
	error_set(err, ERR_CONFIG, "it is not set, but compute_api is 'nova'");
	return blame(s, "nova", option, err);
}

static int check_url(const struct settings *s, const char *url, const char *option,
	struct error *err)
{
	if (!url || strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0)
		return 0;
	error_set(err, ERR_CONFIG, "'%.200s' is neither http:// nor https://", url);
	return blame(s, "nova", option, err);
}

static int check_nova(struct settings *s, struct error *err)
{
	struct nova_settings *nova = &s->nova;

	nova->is_credential = strcmp(nova->auth_type, "v3applicationcredential") == 0;
	if (!nova->is_credential && strcmp(nova->auth_type, "password") != 0 &&
		strcmp(nova->auth_type, "v3password") != 0) {
		error_set(err, ERR_CONFIG,
			"'%.64s' is neither password nor v3applicationcredential",
			nova->auth_type);
		return blame(s, "nova", "auth_type", err);
	}
	if (need(s, nova->auth_url, "auth_url", err) < 0 ||
		check_url(s, nova->auth_url, "auth_url", err) < 0 ||
		check_url(s, nova->endpoint_override, "endpoint_override", err) < 0)
		return -1;
	if (nova->is_credential)
		return need(s, nova->application_credential_id,
			       "application_credential_id", err) < 0 ||
				need(s, nova->application_credential_secret,
					"application_credential_secret", err) < 0
			? -1
			: 0;
	return need(s, nova->username, "username", err) < 0 ||
			need(s, nova->password, "password", err) < 0
		? -1
		: 0;
}

static int check_compute(struct whole *w, struct error *err)
{
	struct settings *s = &w->settings;
	bool has_nova = s->nova.auth_url && *s->nova.auth_url;
	const char *api = w->compute_api ? w->compute_api : has_nova ? "nova" : "none";

	s->compute_api = COMPUTE_NONE;
	if (strcmp(api, "none") == 0)
		return 0;
	if (strcmp(api, "rpc") == 0) {
		s->compute_api = COMPUTE_RPC;
		return 0;
	}
	if (strcmp(api, "nova") != 0) {
		error_set(err, ERR_CONFIG,
			"'%.64s' is none of 'nova', 'rpc' and 'none'", api);
		return blame(s, "drover", "compute_api", err);
	}
	s->compute_api = COMPUTE_NOVA;
	if (check_nova(s, err) == 0)
		return 0;
	if (w->compute_api)
		return -1;
	/* A cinder.conf may know ways to Compute that we do not. */
	log_warning("attached volumes cannot be migrated: %s", err->text);
	s->compute_api = COMPUTE_NONE;
	return 0;
}

static int check_nbd(struct whole *w, struct error *err)
{
	static const struct option flag = { "nbd_tls", OPTION_BOOL, S(nbd_tls), NULL, 0,
		0, NULL };
	struct settings *s = &w->settings;

	s->nbd_tls = s->nbd_for_guests = strcmp(w->nbd_tls, "certificates") == 0;
	if (!s->nbd_for_guests)
		return conf_convert(&flag, w->nbd_tls, w, err) < 0
			? blame(s, "drover", "nbd_tls", err)
			: 0;
	if (s->nbd_certificates && s->nbd_certificates[0] == '/')
		return 0;
	error_set(err, ERR_CONFIG,
		"it is no absolute path, but nbd_tls is 'certificates'");
	return blame(s, "drover", "nbd_certificates", err);
}

static int check_drover(struct whole *w, struct error *err)
{
	struct settings *s = &w->settings;

	if (check_compute(w, err) < 0 || check_nbd(w, err) < 0)
		return -1;
	s->migration_result_keep = strcmp(w->migration_result, "keep") == 0;
	if (s->migration_result_keep || strcmp(w->migration_result, "clear") == 0)
		return 0;
	error_set(err, ERR_CONFIG, "'%s' is neither 'clear' nor 'keep'",
		w->migration_result);
	return blame(s, "drover", "migration_result", err);
}

/* As in oslo.messaging: what stands behind '?' in the URL wins over the section. */
static int take_url_options(struct whole *w, struct error *err)
{
	const char *query = w->settings.rpc.url.query;

	for (;;) {
		AUTO(free) char *name = NULL, *value = NULL;
		int rc = rabbit_url_next_option(&query, &name, &value, err);
		if (rc <= 0)
			return rc;
		for (size_t i = 0; i < ARRAY_SIZE(rabbit_options); i++)
			if (strcmp(rabbit_options[i].name, name) == 0 &&
				conf_convert(&rabbit_options[i], value, w, err) < 0)
				return -1;
	}
}

static int make_rpc(struct whole *w, struct error *err)
{
	struct settings *s = &w->settings;
	struct rpc_options *rpc = &s->rpc;

	if (rabbit_url_parse(s->transport_url, &rpc->url, err) < 0 ||
		take_url_options(w, err) < 0)
		return blame(s, "DEFAULT", "transport_url", err);
	rpc->exchange = s->control_exchange;
	rpc->heartbeat_s = (int)w->heartbeat;
	rpc->prefetch = w->prefetch ? (int)w->prefetch : 32;
	rpc->durable = w->durable || w->quorum;
	rpc->auto_delete = w->auto_delete;
	rpc->quorum = w->quorum;
	rpc->transient_quorum = w->transient_quorum;
	rpc->transient_ttl_s = (int)w->transient_ttl;
	rpc->confirm_timeout_s = 5;
	rpc->response_timeout_s = s->rpc_response_timeout;
	rpc->max_message_bytes = 4 << 20;
	rpc->tls = w->ssl;
	rpc->tls_ca = w->ssl_ca;
	rpc->tls_cert = w->ssl_cert;
	rpc->tls_key = w->ssl_key;
	rpc->tls_verify = w->ssl && w->ssl_ca;
	return 0;
}

static int check_backend_names(const struct settings *s, struct error *err)
{
	char **names = s->enabled_backends;

	for (size_t i = 0; names[i]; i++) {
		if (!host_is_safe(names[i])) {
			error_set(err, ERR_CONFIG,
				"'%s' is not fit for the name of a backend", names[i]);
			return blame(s, "DEFAULT", "enabled_backends", err);
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(names[i], names[j]) != 0)
				continue;
			error_set(err, ERR_CONFIG, "'%s' stands there twice", names[i]);
			return blame(s, "DEFAULT", "enabled_backends", err);
		}
	}
	return 0;
}

/* Warnings about what nobody reads. */

static void warn_unknown_options(const struct settings *s)
{
	const struct conf *conf = s->conf;
	const struct option_table in_default[] = {
		{ default_options, ARRAY_SIZE(default_options) },
		{ cinder_default_options, cinder_default_options_count },
		{ cinder_backend_options, cinder_backend_options_count },
		{ 0 },
	};
	const struct option_table in_database[] = {
		{ database_options, ARRAY_SIZE(database_options) },
		{ cinder_database_options, cinder_database_options_count },
		{ 0 },
	};
	const struct option_table in_rabbit[] = {
		{ rabbit_options, ARRAY_SIZE(rabbit_options) },
		{ cinder_rabbit_options, cinder_rabbit_options_count },
		{ 0 },
	};
	const struct option_table in_drover[] = {
		{ drover_options, ARRAY_SIZE(drover_options) },
		{ 0 },
	};
	const struct option_table in_nova[] = {
		{ nova_options, ARRAY_SIZE(nova_options) },
		{ cinder_nova_options, cinder_nova_options_count },
		{ 0 },
	};
	const struct option_table in_backend[] = {
		{ backend_options, ARRAY_SIZE(backend_options) },
		{ backend_host_options, ARRAY_SIZE(backend_host_options) },
		{ cinder_backend_options, cinder_backend_options_count },
		{ 0 },
	};

	conf_warn_unknown(conf, "DEFAULT", in_default);
	conf_warn_unknown(conf, "database", in_database);
	conf_warn_unknown(conf, "oslo_messaging_rabbit", in_rabbit);
	conf_warn_unknown(conf, "drover", in_drover);
	conf_warn_unknown(conf, "nova", in_nova);
	conf_warn_unknown(conf, "backend_defaults", in_backend);
	for (char **name = s->enabled_backends; *name; name++)
		conf_warn_unknown(conf, *name, in_backend);
}

/* A section that names a driver is a backend, though not an enabled one. */
static bool is_idle_backend(const struct conf *conf, const char *section)
{
	AUTO(free) char *driver = NULL;

	return conf_get(conf, section, NULL, "volume_driver", &driver, NULL, NULL) <
		0 ||
		driver;
}

static int warn_unknown_sections(const struct settings *s, struct error *err)
{
	size_t count = 0, most = ARRAY_SIZE(section_tables) + cinder_sections_count + 2;

	for (char **name = s->enabled_backends; *name; name++)
		most++;
	for (size_t i = 0; conf_section(s->conf, i); i++)
		most++;
	AUTO(free) const char **known = calloc(most, sizeof(*known));
	if (!known)
		return error_no_memory(err);
	known[count++] = "backend_defaults";
	for (size_t i = 0; i < ARRAY_SIZE(section_tables); i++)
		known[count++] = section_tables[i].name;
	for (size_t i = 0; i < cinder_sections_count; i++)
		known[count++] = cinder_sections[i];
	for (char **name = s->enabled_backends; *name; name++)
		known[count++] = *name;
	for (size_t i = 0; conf_section(s->conf, i); i++)
		if (is_idle_backend(s->conf, conf_section(s->conf, i)))
			known[count++] = conf_section(s->conf, i);
	conf_warn_sections(s->conf, known);
	return 0;
}

static int add_defaults(struct whole *w, struct error *err)
{
	struct conf *conf = w->settings.conf;

	if (gethostname(w->hostname, sizeof(w->hostname) - 1) < 0)
		return error_set_errno(err, ERR_CONFIG, "cannot find this host's name");
	w->host_option = default_options[0];
	w->host_option.fallback = w->hostname;
	if (conf_add_defaults(conf, "DEFAULT", &w->host_option, 1, err) < 0 ||
		conf_add_defaults(conf, "DEFAULT", cinder_default_options,
			cinder_default_options_count, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(section_tables); i++) {
		const struct section_table *t = &section_tables[i];
		if (conf_add_defaults(conf, t->name, t->options, t->count, err) < 0)
			return -1;
	}
	return 0;
}

static int read_all(struct whole *w, bool need_database, struct error *err)
{
	struct settings *s = &w->settings;

	for (size_t i = 0; i < ARRAY_SIZE(section_tables); i++) {
		const struct section_table *t = &section_tables[i];
		if (conf_read(s->conf, t->name, NULL, t->options, t->count, w, err) < 0)
			return -1;
	}
	if (!s->host &&
		conf_convert(&w->host_option, w->host_option.fallback, w, err) < 0)
		return -1;
	if (check_default(w, err) < 0 || check_backend_names(s, err) < 0 ||
		make_rpc(w, err) < 0 || check_drover(w, err) < 0)
		return -1;
	return check_database(w, need_database, err);
}

static int load(const char *const *paths, size_t count, bool need_database,
	struct settings **out, struct error *err)
{
	const char *found = NULL;

	for (size_t i = 0; !count && !found && i < ARRAY_SIZE(default_paths); i++)
		if (access(default_paths[i], F_OK) == 0)
			found = default_paths[i];
	if (!count && !found)
		return error_set(err, ERR_CONFIG,
			"there is no configuration file: neither '%s' nor '%s'",
			default_paths[0], default_paths[1]);

	struct whole *w = calloc(1, sizeof(*w));
	if (!w)
		return error_no_memory(err);
	AUTO(settings_free) struct settings *s = &w->settings;
	if (conf_load(count ? paths : &found, count ? count : 1, &s->conf, err) < 0 ||
		add_defaults(w, err) < 0 || read_all(w, need_database, err) < 0)
		return -1;
	warn_unknown_options(s);
	if (warn_unknown_sections(s, err) < 0)
		return -1;
	*out = steal(s);
	return 0;
}

int settings_load(const char *const *paths, size_t count, struct settings **out,
	struct error *err)
{
	return load(paths, count, true, out, err);
}

int settings_load_without_database(const char *const *paths, size_t count,
	struct settings **out, struct error *err)
{
	return load(paths, count, false, out, err);
}

/* Backends. */

static void backend_clear(struct backend_settings *b)
{
	conf_clear(backend_options, ARRAY_SIZE(backend_options), b);
	free(b->name);
	free(b->host);
	free(b->volume_name_template);
	free(b->snapshot_name_template);
	free(b->state_path);
	free(b->mount_helper);
}

void backend_settings_free(struct backend_settings *backends, size_t count)
{
	for (size_t i = 0; backends && i < count; i++)
		backend_clear(&backends[i]);
	free(backends);
}

static const char *our_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(driver_aliases); i++)
		if (strcmp(driver_aliases[i].class_path, name) == 0)
			return driver_aliases[i].driver;
	return name;
}

static int check_driver(
	struct backend_settings *b, const char *const *known, struct error *err)
{
	const char *driver = our_driver(b->volume_driver);
	char list[256] = "";
	size_t used = 0;

	for (size_t i = 0; known[i]; i++) {
		if (strcmp(known[i], driver) != 0) {
			if (used < sizeof(list))
				used += (size_t)snprintf(list + used,
					sizeof(list) - used, "%s%s", used ? ", " : "",
					known[i]);
			continue;
		}
		char *copy = strdup(driver);
		if (!copy)
			return error_no_memory(err);
		free(b->volume_driver);
		b->volume_driver = copy;
		return 0;
	}
	return error_set(err, ERR_CONFIG, "there is no driver '%s', only: %s",
		b->volume_driver, list);
}

static int set_if_missing(char **at, const char *value, struct error *err)
{
	if (!*at)
		*at = strdup(value);
	return *at ? 0 : error_no_memory(err);
}

static int read_backend(const struct settings *s, const char *name,
	struct backend_settings *b, struct error *err)
{
	AUTO(free) char *host = NULL;

	if (conf_read(s->conf, name, "backend_defaults", backend_options,
		    ARRAY_SIZE(backend_options), b, err) < 0)
		return -1;
	if (conf_get(s->conf, name, NULL, "backend_host", &host, NULL, err) < 0)
		return -1;
	if (host && *host && !host_is_safe(host)) {
		error_set(err, ERR_CONFIG, "'%s' is not fit for the name of a host",
			host);
		return blame(s, name, "backend_host", err);
	}
	b->host = text_format("%s@%s", host && *host ? host : s->host, name);
	if (!b->host)
		return error_no_memory(err);
	if (s->mount_helper &&
		set_if_missing(&b->mount_helper, s->mount_helper, err) < 0)
		return -1;
	if (set_if_missing(&b->name, name, err) < 0 ||
		set_if_missing(&b->state_path, s->state_path, err) < 0 ||
		set_if_missing(&b->volume_backend_name, name, err) < 0 ||
		set_if_missing(&b->volume_name_template, s->volume_name_template, err) <
			0 ||
		set_if_missing(&b->snapshot_name_template, s->snapshot_name_template,
			err) < 0 ||
		set_if_missing(
			&b->availability_zone, s->storage_availability_zone, err) < 0)
		return -1;
	/* As in Cinder a backend's 0 is no limit of its own. */
	if (b->volume_copy_bps_limit == 0)
		b->volume_copy_bps_limit = s->volume_copy_bps_limit;
	if (check_ratio(b->max_over_subscription_ratio, NULL, err) < 0)
		return blame(s, name, "max_over_subscription_ratio", err);
	return 0;
}

static int check_switch(const struct settings *s, const struct backend_settings *b,
	const char *option, const char *value, struct error *err)
{
	static const char *const known[] = { "auto", "true", "false" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcasecmp(known[i], value) == 0)
			return 0;
	error_set(err, ERR_CONFIG, "'%s' is neither auto nor true nor false", value);
	return blame(s, b->name, option, err);
}

static int check_nfs(
	const struct settings *s, const struct backend_settings *b, struct error *err)
{
	if (b->nfs_qcow2_volumes) {
		error_set(err, ERR_CONFIG,
			"Drover keeps volumes as raw files only, not as qcow2");
		return blame(s, b->name, "nfs_qcow2_volumes", err);
	}
	if (b->nfs_mount_point_base[0] != '/') {
		error_set(err, ERR_CONFIG, "'%s' is not an absolute path",
			b->nfs_mount_point_base);
		return blame(s, b->name, "nfs_mount_point_base", err);
	}
	if (check_switch(s, b, "nas_secure_file_operations",
		    b->nas_secure_file_operations, err) < 0)
		return -1;
	return check_switch(s, b, "nas_secure_file_permissions",
		b->nas_secure_file_permissions, err);
}

static int check_backend(const struct settings *s, struct backend_settings *b,
	const char *const *known_drivers, struct error *err)
{
	if (check_driver(b, known_drivers, err) < 0)
		return blame(s, b->name, "volume_driver", err);
	if (strcmp(b->volume_driver, "nfs") == 0)
		return check_nfs(s, b, err);
	if (strcmp(b->volume_driver, "file") != 0)
		return 0;
	if (!b->file_directory)
		return error_set(err, ERR_CONFIG,
			"[%s] file_directory is not set, but driver 'file' needs it",
			b->name);
	if (b->file_directory[0] != '/') {
		error_set(err, ERR_CONFIG, "'%s' is not an absolute path",
			b->file_directory);
		return blame(s, b->name, "file_directory", err);
	}
	return 0;
}

int settings_backends(const struct settings *settings, const char *const *known_drivers,
	struct backend_settings **out, size_t *count, struct error *err)
{
	char **names = settings->enabled_backends;
	struct backend_settings *backends;
	size_t n = 0;

	while (names[n])
		n++;
	backends = calloc(n + 1, sizeof(*backends));
	if (!backends)
		return error_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		int rc;
		if (!conf_has_section(settings->conf, names[i]))
			rc = error_set(err, ERR_CONFIG,
				"backend '%s' is enabled, but there is no section [%s]",
				names[i], names[i]);
		else if ((rc = read_backend(settings, names[i], &backends[i], err)) ==
			0)
			rc = check_backend(settings, &backends[i], known_drivers, err);
		if (rc < 0) {
			backend_settings_free(backends, n);
			return -1;
		}
	}
	*out = backends;
	*count = n;
	return 0;
}

/* --show-config. The listing can be read back: help in comments, '$' doubled. */

/* What a listing must not show of a URL: from the first ':' behind "://" to the last '@',
 * and parameters once one of them is a password. False when text is no such URL. */
static bool find_secret(const char *text, const char **start, const char **end)
{
	const char *host = strstr(text, "://");
	const char *query = host ? strchr(host, '?') : NULL;

	if (!host)
		return false;
	if (query && strstr(query, "password")) {
		*start = strchr(host + 3, ':');
		if (!*start || *start > query)
			*start = query;
		*end = query + strlen(query);
	} else {
		*start = strchr(host + 3, ':');
		*end = strrchr(host, '@');
	}
	if (!*start || !*end || *end < *start)
		return false;
	++*start;
	return true;
}

static void print_text(const char *text)
{
	const char *start = NULL, *end = NULL;
	bool secret = find_secret(text, &start, &end);

	while (*text) {
		if (secret && text == start && start < end) {
			fputs("***", stdout);
			text = end;
			continue;
		}
		if (*text == '$')
			fputs("$$", stdout);
		else if (*text == '\n')
			fputs("\n    ", stdout);
		else
			putchar(*text);
		text++;
	}
}

static void print_list(char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (i)
			putchar(',');
		print_text(list[i]);
	}
}

static bool is_secret(const struct option *option)
{
	return strcmp(option->name, "password") == 0 ||
		strcmp(option->name, "application_credential_secret") == 0;
}

static void print_option(const struct option *option, const void *from)
{
	const void *at = (const char *)from + option->offset;
	bool unset = option->type == OPTION_STRING && !*(char *const *)at;

	printf("# %s\n%s%s = ", option->help, unset ? "#" : "", option->name);
	switch (option->type) {
	case OPTION_STRING:
		print_text(unset ? "" : is_secret(option) ? "***" : *(char *const *)at);
		break;
	case OPTION_BOOL:
		fputs(BOOL_TEXT(*(const bool *)at), stdout);
		break;
	case OPTION_INT:
		printf("%" PRId64, *(const int64_t *)at);
		break;
	case OPTION_FLOAT:
		printf("%.15g", *(const double *)at);
		break;
	case OPTION_LIST:
		print_list(*(char **const *)at);
		break;
	case OPTION_IGNORED:
		break;
	}
	putchar('\n');
}

static void print_section(
	const char *name, const struct option *options, size_t count, const void *from)
{
	printf("[%s]\n", name);
	for (size_t i = 0; i < count; i++)
		print_option(&options[i], from);
	putchar('\n');
}

static void print_backend(const struct settings *s, const char *name)
{
	struct backend_settings b = { 0 };
	struct error err = { 0 };

	if (read_backend(s, name, &b, &err) < 0)
		printf("# [%s]: %s\n\n", name, err.text);
	else
		print_section(name, backend_options, ARRAY_SIZE(backend_options), &b);
	backend_clear(&b);
}

void settings_print(const struct settings *settings)
{
	const struct whole *w = container_of(settings, const struct whole, settings);

	for (size_t i = 0; i < ARRAY_SIZE(section_tables); i++)
		print_section(section_tables[i].name, section_tables[i].options,
			section_tables[i].count, w);
	for (char **name = settings->enabled_backends; *name; name++)
		print_backend(settings, *name);
}
