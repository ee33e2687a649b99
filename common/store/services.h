/* SPDX-License-Identifier: Apache-2.0 */
/* services.h - rows of Cinder's services table, and the leases of managers. */
#ifndef COMMON_STORE_SERVICES_H
#define COMMON_STORE_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/address.h"
#include "common/db.h"
#include "common/error.h"
#include "common/text.h"

#define SCHEDULER_BINARY "cinder-scheduler"
#define VOLUME_BINARY "cinder-volume"
#define SCHEDULER_RPC_VERSION "3.12"
#define VOLUME_RPC_VERSION "3.18"
#define OBJECT_VERSION "1.39"

struct service {
	int64_t id;
	char uuid[UUID_TEXT_SIZE];
	char host[ADDRESS_SIZE]; /* "server1" or "server1@fast" */
	char binary[64];
	char availability_zone[256];
	char disabled_reason[256];
	char updated_at[40];
	bool up, disabled, frozen;
	bool drover; /* a live lease of a drover manager is there (volume services) */
	char owner[UUID_TEXT_SIZE]; /* the process that has the lease */
};

/* Insert or refresh the row of a service of ours, and its heartbeat. A row that an
 * administrator disabled stays disabled. The uuid is copied out. */
int store_service_register(struct db *db, const char *host, const char *binary,
	const char *availability_zone, const char *rpc_version,
	char uuid[UUID_TEXT_SIZE], struct error *err);
/* Heartbeat, without waiting for the disk. 0 rows: the row is gone, register again. */
int store_service_beat(
	struct db *db, const char *host, const char *binary, struct error *err);
/* Say at once that it is down: on a clean stop. */
int store_service_down(struct db *db, const char *host, const char *binary,
	double down_time, struct error *err);

/* freeze_host and thaw_host: disabled with the reason "frozen", or enabled. The API tier
 * writes the column frozen itself. Returns the number of rows. */
int store_service_freeze(
	struct db *db, const char *backend, bool frozen, struct error *err);
/* A fail-over that was asked for is not done. */
int store_service_not_failed_over(
	struct db *db, const char *backend, struct error *err);

/* All that are not deleted; *list is malloc'd. up is judged by the database's clock. */
int store_service_list(
	struct db *db, double down_time, struct service **list, struct error *err);
/* 1 and *out: the volume service of a backend ("server1@fast"); 0 none. */
int store_service_get(struct db *db, const char *backend, double down_time,
	struct service *out, struct error *err);

/* Take or renew the lease on a backend for seconds. 1 it is ours, 0 another process has
 * it (who, since when: *holder as text for people). */
int store_lease_take(struct db *db, const char *backend, const char *owner, int pid,
	double seconds, char *holder, size_t size, struct error *err);
/* Stopped in good order. 1 it was ours, 0 it was not (any more). */
int store_lease_release(
	struct db *db, const char *backend, const char *owner, struct error *err);

#endif
