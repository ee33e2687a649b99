/* SPDX-License-Identifier: Apache-2.0 */
/* volumes.h - rows of Cinder's volumes table and what hangs on them.
 *
 * The functions with "locked" in their name are parts of a transaction (db_transact).
 * Ids are checked UUIDs only where said so.
 */
#ifndef COMMON_STORE_VOLUMES_H
#define COMMON_STORE_VOLUMES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/text.h"

/* A copy of a row; empty text for null. */
struct volume {
	char id[UUID_TEXT_SIZE];
	char name_id[UUID_TEXT_SIZE]; /* _name_id, or id when that is null */
	bool has_name_id; /* _name_id is not null */
	char display_name[256];
	char display_description[256];
	char project_id[256], user_id[256];
	char host[ADDRESS_SIZE];
	char cluster_name[ADDRESS_SIZE];
	char status[64], previous_status[64], attach_status[64];
	char migration_status[64];
	char availability_zone[256];
	char volume_type_id[UUID_TEXT_SIZE], volume_type[256];
	char snapshot_id[UUID_TEXT_SIZE], source_volid[UUID_TEXT_SIZE];
	char group_id[UUID_TEXT_SIZE], consistencygroup_id[UUID_TEXT_SIZE];
	char replication_status[64];
	char format[16]; /* admin metadata "format", empty: raw */
	char provider_location[256]; /* driver nfs: the share */
	char created_at[40]; /* as Cinder's REST API shows it */
	int64_t size_gib;
	bool bootable, multiattach, encrypted, use_quota, deleted;
	int64_t snapshots; /* not deleted ones */
	int64_t snapshot_objects; /* those that the backend has, or may have */
	int64_t attachments; /* not deleted ones */
	int64_t connected; /* those of them that are more than a reservation */
	int64_t exports; /* served to somebody, or about to be */
};

#define VOLUME_LIST_MAX 100000

/* 1 and *out, or 0 when there is no such row (deleted ones do not count). */
int store_volume_get(
	struct db *db, const char *id, struct volume *out, struct error *err);
/* The same, and the row stays locked until the transaction ends. */
int store_volume_get_locked(
	struct db *db, const char *id, struct volume *out, struct error *err);
/* The same for a volume that has to be there: ERR_VOLUME_NOT_FOUND. */
int store_volume_require_locked(
	struct db *db, const char *id, struct volume *out, struct error *err);
/* What people call it: its display name, or its id. Borrowed from the volume. */
const char *volume_called(const struct volume *volume);
/* ERR_INVALID_VOLUME when its file has a format of its own (qcow2), whose bytes are not the
 * volume's. doing: "be migrated". */
int volume_check_raw(const struct volume *volume, const char *doing, struct error *err);
/* By id or display name. ERR_VOLUME_NOT_FOUND, ERR_AMBIGUOUS. */
int store_volume_find(
	struct db *db, const char *id_or_name, struct volume *out, struct error *err);
/* All, oldest first, without temporary ones unless asked; *list is malloc'd. Returns
 * their number. */
int store_volume_list(
	struct db *db, bool temporary_too, struct volume **list, struct error *err);

struct volume_create {
	char id[UUID_TEXT_SIZE]; /* filled in */
	const char *display_name; /* NULL or text */
	int64_t size_gib;
	const char *availability_zone;
	const char *volume_type; /* name; NULL: __DEFAULT__ */
	const char *project_id, *user_id;
};
/* Insert a row with status creating, as the API tier does; not counted in quotas. */
int store_volume_create(struct db *db, struct volume_create *create, struct error *err);

/* The scheduler has chosen: host, scheduled_at, zone. Only while status is creating and
 * host is null; 1 written, 0 not (somebody was faster). */
int store_volume_place(struct db *db, const char *id, const char *host,
	const char *availability_zone, struct error *err);
/* No place for it, or it could not be made: status error, workers row gone, and a user
 * message (detail: MESSAGE_NO_BACKEND or MESSAGE_CREATE_FAILED; NULL: none). */
int store_volume_create_failed(struct db *db, const char *id, const char *request_id,
	const char *detail, struct error *err);

/* What a refused request changed before it came here is put back: its own status
 * status_now, reservations rolled back, workers row removed. The status becomes what a
 * running operation has saved, else previous_status where the API tier remembers it
 * (extending, retyping and the like), else what the row and its attachments say it is.
 * reservations ends with NULL or is NULL. */
int store_volume_put_back(struct db *db, const char *id, const char *status_now,
	const char *const *reservations, struct error *err);

/* Fill *out from a row that has the columns of store_volume_columns. */
void store_volume_from_row(const PGresult *rows, int row, struct volume *out);

/* The attachments of a volume as text for people: "server X on host Y"; "" for none. */
int store_volume_attached_to(
	struct db *db, const char *id, char *out, size_t size, struct error *err);

/* What the rows say a backend holds: GiB of all volumes on it, and how many. */
int store_volume_usage(struct db *db, const char *backend, int64_t *gib, int64_t *count,
	struct error *err);

/* Its object was made at location (driver nfs: the share): provider_location, and the admin
 * metadata "format" that Cinder's driver keeps. Empty: nothing. Part of a transaction. */
int store_volume_set_location_locked(
	struct db *db, const char *id, const char *location, struct error *err);

/* Soft-delete a volume and what hangs on it (metadata, attachments ...); give its quota
 * back when it is counted. Part of a transaction. */
int store_volume_delete_locked(
	struct db *db, const struct volume *volume, struct error *err);

#endif
