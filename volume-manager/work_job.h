/* SPDX-License-Identifier: Apache-2.0 */
/* work_job.h - a migration in its worker; between work_migrate.c and work_remote.c. */
#ifndef VOLUME_MANAGER_WORK_JOB_H
#define VOLUME_MANAGER_WORK_JOB_H

#include <stdbool.h>

#include "common/store/migrations.h"
#include "copy/copy.h"
#include "volume-manager/work.h"

/* The name of the only identity in the key files of exports. */
#define EXPORT_PSK_USER "drover"

struct asker;
struct nova;
struct rpc_client;

struct job {
	struct work *work;
	struct migration m;
	bool remote; /* the target belongs to another manager */
	bool peer; /* the target belongs to a Python cinder-volume */
	struct backend *source;
	struct backend *target; /* NULL when remote, or not open */
	struct peer_mount *peer_mount; /* of work_peer.c */
	struct object_row source_object, target_object;
	struct copy_control control; /* of work_rate.c: what the copy heeds */
	struct asker *asker; /* of work_remote.c, while it copies */
	struct nova *nova; /* of work_nova.c; NULL: not asked yet */
	struct rpc_client *rpc; /* of work_hypervisor.c; the same */
};

/* Have T made on the other host; returns when it is there. */
int remote_make_target(struct job *job, struct error *err);
/* Have T exported, copy, and have it read back; begins again from the checkpoint when the
 * connection was lost. options has the callbacks and sizes. */
int remote_copy(struct job *job, const struct endpoint *source,
	struct copy_options *options, struct copy_result *result, struct error *err);
/* The same on a Python cinder-volume; from the connection that it gives to the file. */
int peer_make_target(struct job *job, struct error *err);
int peer_open_target(struct job *job, struct endpoint *out, struct error *err);
int peer_disconnect(struct job *job, struct error *err);
void peer_mount_free(struct peer_mount *mount);
/* An attached volume: its guest copies. work_compute.c */
bool compute_is_route(const struct job *job);
/* Before anything is made: can Compute do it? */
int compute_check(struct job *job, struct error *err);
/* Ask Compute, look what becomes of it, and end it when that is proven. 0 it is in another
 * phase, 1 it goes on and is looked at again later. */
int compute_swap(struct job *job, struct error *err);
void compute_close(struct job *job);
/* Around each use of the database by callbacks of the copy: two threads share it. */
void job_db_lock(struct job *job);
void job_db_unlock(struct job *job);
/* work_rate.c: bytes per second that an operator's limit comes to, 0: none; limit may be
 * RATE_OF_BACKEND. */
int64_t rate_wanted(const struct job *job, int64_t limit);
/* The copy heeds from now on what the row said last. */
void rate_follow(struct job *job);
/* Stand still for as long as it is paused. ERR_CANCELLED, ERR_FENCED, or asked to stop. */
int rate_wait(struct job *job, struct error *err);
/* Every export of S and T closed and acknowledged by its owner. */
int remote_wait_closed(struct job *job, struct error *err);

#endif
