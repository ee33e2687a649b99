/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - what the programs read from drover.conf or cinder.conf, checked. */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/conf.h"
#include "common/error.h"
#include "common/rpc.h"

/* [nova]: who asks Compute, and where it is; names as in Cinder and keystoneauth. NULL: not
 * set. */
struct nova_settings {
	char *auth_url;
	char *auth_type; /* "password" or "v3applicationcredential", see is_credential */
	char *username, *password, *user_domain_name;
	char *project_name, *project_domain_name;
	char *application_credential_id, *application_credential_secret;
	char *region_name, *interface;
	char *endpoint_override; /* Compute's URL; NULL: from Keystone's catalogue */
	char *cafile; /* NULL: the system's certificates */
	bool insecure; /* TLS is not verified */
	double timeout; /* seconds for one request */
	bool is_credential; /* auth_type */
};

/* Whom the volume manager asks to move attached volumes. */
enum compute_api { COMPUTE_NONE, COMPUTE_NOVA, COMPUTE_RPC };
static inline const char *compute_api_name(enum compute_api api)
{
	return api == COMPUTE_NOVA ? "nova" : api == COMPUTE_RPC ? "rpc" : "none";
}

/* [DEFAULT], [database], [oslo_messaging_rabbit] and Drover's own [drover]. Names of the
 * fields are the names of the options. Owned by the struct settings. */
struct settings {
	struct conf *conf;
	char *host; /* [DEFAULT] host, default the machine's name */
	char **enabled_backends; /* NULL-terminated, may be empty */
	char *transport_url;
	char *control_exchange; /* "openstack" */
	double rpc_response_timeout; /* 60 s */
	bool debug;
	char *log_file, *log_dir;
	double report_interval; /* 10 s: heartbeats of the services rows */
	double periodic_interval; /* 60 s: capability reports */
	double service_down_time; /* 60 s */
	char *storage_availability_zone; /* "nova" */
	char *default_availability_zone; /* NULL: storage_availability_zone */
	char *volume_name_template; /* "volume-%s", exactly one %s */
	char *snapshot_name_template; /* "snapshot-%s", likewise */
	bool no_snapshot_gb_quota; /* snapshots do not count as gigabytes */
	char *state_path; /* "/var/lib/drover": locks of operations */
	double max_over_subscription_ratio; /* 20.0 */
	double message_reap_interval; /* 86400 s: user messages that expired */
	double reservation_clean_interval; /* 86400 s: quota reservations too */
	int64_t scheduler_max_attempts; /* 3 */
	char **scheduler_default_filters; /* NULL-terminated, may be empty */
	char **scheduler_default_weighers; /* the same */
	double capacity_weight_multiplier; /* 1.0 */
	double allocated_capacity_weight_multiplier; /* -1.0 */
	double volume_number_multiplier; /* -1.0 */
	char *default_volume_type; /* "__DEFAULT__" */
	int64_t volume_copy_bps_limit; /* of backends that have none */

	char *connection; /* [database] connection */
	char *conninfo; /* the same for libpq */

	struct rpc_options rpc; /* [oslo_messaging_rabbit] and the URL */

	/* [drover] */
	bool migration_result_keep; /* migration_result = clear | keep */
	int64_t max_operations; /* workers at once in one manager, 8 */
	double source_keep; /* seconds the old object is kept after a migration, 0 */
	int64_t checkpoint_bytes; /* 256 MiB */
	double checkpoint_seconds; /* 5 */
	double rescan_interval; /* 15 s */
	enum compute_api compute_api; /* none without [nova] auth_url */
	double compute_poll; /* 30 s between two looks at what Compute does */
	double compute_grace; /* 120 s without its word after it has ended */
	double compute_timeout; /* 86400 s without its word at all */
	double compute_find_timeout; /* 3 s for the hypervisor that has a guest to say so */
	struct nova_settings nova;
	int64_t worker_attempts; /* crashes without progress before giving up, 5 */
	double worker_timeout; /* 60 s */
	double lease_time; /* 30 s, at least 3 * report_interval */
	double peer_timeout; /* 300 s of silence after the lease */
	double standby_timeout; /* 60 s */
	double switch_settle; /* 30 s */
	char *my_ip; /* [DEFAULT] my_ip: where exports for other hosts listen */
	bool nbd_tls; /* exports between hosts: TLS with a one-time key */
	bool nbd_for_guests; /* nbd_tls = certificates: exports for guests elsewhere too */
	char *nbd_certificates; /* ca-cert.pem, server-cert.pem, server-key.pem */
	char *nbdkit; /* program, "nbdkit" */
	char *mount_helper; /* command that mounts shares for us, words; NULL: none */
	/* Of drover-compute. */
	char *compute_libvirt_uri; /* "qemu:///system" */
	char *nfs_mount_point_base; /* "$state_path/mnt" */
	double compute_detach_timeout; /* 20 s that a guest has to let go of a disk */
};

/* Seconds that a manager may be silent after its lease ended. One that was stopped in good
 * order (released its lease) comes back later than one that died. */
static inline double settings_silence(const struct settings *settings, bool released)
{
	return settings->peer_timeout * (released ? 10 : 1);
}

/* One section of enabled_backends, with [backend_defaults] beneath. */
struct backend_settings {
	char *name; /* the section */
	char *host; /* "server1@fast": backend_host option or host, '@' and the section */
	char *volume_driver; /* "file"; class paths of Cinder select ours */
	char *volume_backend_name; /* default: the section */
	char *volume_name_template, *snapshot_name_template;
	double reserved_percentage;
	char *max_over_subscription_ratio; /* number or "auto" */
	char *file_directory; /* driver file: where the volumes are */
	char *availability_zone; /* backend_availability_zone or storage_availability_zone */
	bool frozen;
	char *state_path; /* [DEFAULT] state_path; NULL: nothing is kept there */
	/* Driver nfs, names as Cinder's; common/nfs_shares.h makes shares of them. */
	char *nfs_shares_config; /* a file; not looked at with nas_host and nas_share_path */
	char *nfs_mount_point_base; /* "$state_path/mnt" */
	char *nfs_mount_options; /* "vers=4.1,..."; NULL: none */
	int64_t nfs_mount_attempts; /* 3 */
	bool nfs_sparsed_volumes; /* true */
	bool nfs_qcow2_volumes, nfs_snapshot_support;
	char *nas_host, *nas_share_path; /* both or none count; may be empty */
	char *nas_mount_options; /* NULL: nfs_mount_options */
	char *nas_secure_file_operations,
		*nas_secure_file_permissions; /* auto|true|false */
	char *mount_helper; /* [drover] mount_helper; NULL: none */
	/* Bytes per second at which what is here is copied elsewhere; 0 or less: none. */
	int64_t volume_copy_bps_limit;
};
static inline int64_t backend_copy_limit(const struct backend_settings *backend)
{
	return backend->volume_copy_bps_limit > 0 ? backend->volume_copy_bps_limit : 0;
}

/* --config-file arguments; none: /etc/drover/drover.conf, else /etc/cinder/cinder.conf.
 * ERR_CONFIG in one sentence with file and line. Unknown options warn once. */
int settings_load(const char *const *paths, size_t count, struct settings **out,
	struct error *err);
/* The same for a program that has no database: conninfo may be NULL. */
int settings_load_without_database(const char *const *paths, size_t count,
	struct settings **out, struct error *err);
void settings_free(struct settings *settings);
DEFINE_AUTO(struct settings *, settings_free)

/* All enabled backends, in order. Refuses a section that is missing, an unknown driver
 * (known_drivers ends with NULL) and two backends of one name. */
int settings_backends(const struct settings *settings, const char *const *known_drivers,
	struct backend_settings **out, size_t *count, struct error *err);
void backend_settings_free(struct backend_settings *backends, size_t count);

/* Print every option with section, value and help: --show-config. */
void settings_print(const struct settings *settings);

#endif
