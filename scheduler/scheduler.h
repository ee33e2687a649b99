/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.h - what the files of the scheduler share. */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include <stdbool.h>

#include <ev.h>

#include "common/db.h"
#include "common/json.h"
#include "common/rpc.h"
#include "common/settings.h"
#include "common/store/volumes.h"
#include "scheduler/placement.h"
#include "scheduler/policy.h"
#include "scheduler/pools.h"

struct scheduler {
	struct loop *loop;
	const struct settings *settings;
	struct db *db;
	struct rpc *rpc;
	char *suspects_path; /* for the RPC; NULL: there is no state_path */
	struct policy policy;
	struct pools pools;
	ev_timer beat; /* heartbeat, or the next try to reach the database */
	double pause_s; /* until the next try to reach the database */
	double said_at; /* when a line last told that the database is missing */
	double asked_at; /* when reports were last asked for */
	double messages_at, reservations_at; /* when those that expired were removed */
	bool ready; /* the schema is current and our row is there */
	bool stopping;
	char uuid[UUID_TEXT_SIZE];
};

/* What one decision rests on, read anew for each. */
struct facts {
	struct view view;
	struct service *services;
	struct reservation *reservations;
	struct pool_load *load;
};
int facts_read(struct scheduler *s, struct facts *out, struct error *err);
void facts_clear(struct facts *facts);

/* Until this service is ready a request waits with ERR_DB_UNAVAILABLE. */
int scheduler_check_ready(const struct scheduler *s, struct error *err);
/* Should a request wait for the first report of a backend that could be its target? Then
 * reports are asked for. target NULL: any backend. */
bool scheduler_misses_reports(
	struct scheduler *s, const struct view *view, const char *target);
void scheduler_ask_for_reports(struct scheduler *s);

/* Is it a failure after which the request is tried again? */
bool error_is_temporary(const struct error *err);
/* The same for a request that may be sent on twice. */
bool error_must_wait(const struct error *err);

/* The members of a versioned object, or o itself when it is a plain one. */
struct json_object *object_data(struct json_object *o);
/* Member key of o when it is an object; NULL when it is missing or null. A wrong type is
 * ERR_INVALID_INPUT. */
int get_object_or_null(struct json_object *o, const char *key, struct json_object **out,
	struct error *err);
/* The volume that a request is about: its id in volume or request_spec, checked. */
int request_volume_id(struct json_object *args, const char **out, struct error *err);
/* Its row. ERR_VOLUME_NOT_FOUND. */
int request_volume(struct scheduler *s, const struct rpc_request *request,
	struct volume *out, struct error *err);
/* Strings of a list, which may be missing or null: *out is malloc'd, ends with NULL, and
 * its strings are borrowed; NULL for an empty list. */
int get_strings(
	struct json_object *o, const char *key, const char ***out, struct error *err);

/* Quota reservations that come with a request, borrowed from it. */
#define RESERVED_MAX 64
struct reserved {
	const char *uuids[RESERVED_MAX + 1]; /* ends with NULL */
	size_t count;
};
/* Add those of a list under key; what is no list of texts counts as none. */
void reserved_add(struct reserved *reserved, struct json_object *o, const char *key);

/* Where the volume is: does its pool pass? As placement_choose(). When the backend has not
 * reported yet: STEP_WAIT. *facts stays valid in any case. */
int request_own_pool(struct scheduler *s, const struct facts *facts,
	const struct volume *volume, const struct placement *asked, struct pool **out,
	struct error *err);
/* Send it on to the service of a backend ("server1@fast#pool"). */
int request_cast(struct scheduler *s, const struct rpc_request *request,
	const char *host, const char *method, const char *version,
	struct json_object *args, struct error *err);
/* A pool as volume services are told of it: host, cluster_name, capabilities. */
struct json_object *request_host(const struct pool *pool);
/* What was written before the request for this volume has been put back. */
void request_log_refused(
	const struct rpc_request *request, const char *id, const struct error *why);

enum {
	STEP_FAILED = -1,
	STEP_DONE = 0,
	STEP_WAIT = 1, /* again after the next report, or some seconds */
};
typedef int (*request_step)(
	struct scheduler *s, const struct rpc_request *request, struct error *err);

int create_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err);
int migrate_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err);
int extend_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err);
int create_snapshot(
	struct scheduler *s, const struct rpc_request *request, struct error *err);
int retype_volume(
	struct scheduler *s, const struct rpc_request *request, struct error *err);

/* services.c: methods about services, and those that are refused. Their argument is the
 * struct scheduler. */
int on_get_pools(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int on_validate_host_capacity(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);
int on_work_cleanup(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);

/* The table of methods; its argument is the struct scheduler. */
extern const struct rpc_method scheduler_methods[];

#endif
