/* SPDX-License-Identifier: Apache-2.0 */
/* A migration: each phase's work. What the target does when it is on another host is in
 * work_remote.c. */
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/compute.h"
#include "common/store/migrations.h"
#include "common/store/peer.h"
#include "common/store/remote.h"
#include "copy/copy.h"
#include "volume-manager/work_job.h"

static void job_clear(struct job *job)
{
	if (job->source)
		backend_close(job->source);
	if (job->target)
		backend_close(job->target);
	job->source = job->target = NULL;
	peer_mount_free(job->peer_mount);
	compute_close(job);
}

static void auto_job_clear(struct job *job)
{
	job_clear(job);
}

/* The target's backend is one of this manager's. */
static bool is_here(const struct job *job)
{
	return !job->remote && !job->peer;
}

static int open_backends(struct job *job, struct error *err)
{
	struct work *work = job->work;

	if (!job->source &&
		work_backend_open(work, job->m.source, &job->source, err) < 0)
		return error_context(err, "source");
	if (is_here(job) && !job->target &&
		work_backend_open(work, job->m.target, &job->target, err) < 0)
		return error_context(err, "target");
	return 0;
}

static int find_objects(struct job *job, struct error *err)
{
	if (open_backends(job, err) < 0)
		return -1;
	if (work_find_object(job->work, job->source, job->m.source_name_id,
		    &job->source_object, err) < 0)
		return error_context(err, "source");
	if (is_here(job) &&
		work_find_object(job->work, job->target, job->m.temporary_id,
			&job->target_object, err) < 0)
		return error_context(err, "target");
	return 0;
}

static int endpoint_of(struct backend *backend, const struct object_row *object,
	struct endpoint *out, struct error *err)
{
	struct object_id id;

	snprintf(id.text, sizeof(id.text), "%s", object->identity);
	return backend_endpoint(backend, object->name, &id, out, err);
}

/* ---- the phases ---- */

static int prepare(struct job *job, struct error *err)
{
	if (compute_is_route(job) && compute_check(job, err) < 0)
		return -1;
	return work_sure(
		job->work, store_migration_prepare(job->work->db, &job->m, err), err);
}

/* The storage can copy by itself when both ends are on one of a kind. */
static const char *choose_route(struct job *job)
{
	struct backend_stats source, target;
	struct error err;

	if (!is_here(job) || job->m.force_host_copy ||
		backend_stats(job->source, &source, &err) < 0 ||
		backend_stats(job->target, &target, &err) < 0)
		return "copy";
	return source.location[0] && strcmp(source.location, target.location) == 0
		? "driver"
		: "copy";
}

static int check_pool(const struct job *job, struct error *err)
{
	const struct backend_settings *settings = backend_settings_of(job->target);
	struct address address;

	if (address_parse(job->m.target, &address, err) < 0)
		return -1;
	if (strcmp(address.pool, settings->volume_backend_name) == 0)
		return 0;
	return error_set(err, ERR_INVALID_HOST, "backend '%s' has no pool '%s'",
		address.backend, address.pool);
}

static int make_target(struct job *job, struct error *err)
{
	struct work *work = job->work;

	if (open_backends(job, err) < 0 ||
		fault_point("migrate.preparing.named", err) < 0)
		return -1;
	if (is_here(job) && check_pool(job, err) < 0)
		return -1;
	/* A source that cannot be found is known before anything is made. */
	if (work_find_object(work, job->source, job->m.source_name_id,
		    &job->source_object, err) < 0)
		return error_context(err, "source");
	if (job->remote && remote_make_target(job, err) < 0)
		return -1;
	if (job->peer && peer_make_target(job, err) < 0)
		return -1;
	if (is_here(job) &&
		work_make_object(work, job->target, &job->m.op, job->m.temporary_id,
			(uint64_t)job->m.size_bytes, &job->target_object, err) < 0)
		return error_context(err, "target");
	text_copy(
		job->m.location, sizeof(job->m.location), job->target_object.location);
	if (fault_point("migrate.preparing.made", err) < 0)
		return -1;
	if (compute_is_route(job))
		return work_sure(work, store_swap_begin(work->db, &job->m, err), err);
	return work_sure(work,
		store_migration_start_copy(work->db, &job->m, choose_route(job), err),
		err);
}

static int on_progress(
	void *arg, const struct copy_progress *progress, struct error *err)
{
	struct job *job = arg;
	int done;

	if (work_stopping(job->work))
		return work_stop_error(err);
	job->m.position = (int64_t)progress->position;
	job->m.copied = (int64_t)progress->copied;
	job->m.skipped = (int64_t)progress->skipped;
	job->m.rate = progress->rate;
	job_db_lock(job);
	done = store_migration_progress(job->work->db, &job->m, err);
	job_db_unlock(job);
	if (done == 0) {
		rate_follow(job);
		return 0;
	}
	/* Progress may be lost; the copy goes on, as fast as before, while the database is
	 * away. */
	return err->code == ERR_FENCED || err->code == ERR_CANCELLED ? -1 : 0;
}

static int on_checkpoint(
	void *arg, uint64_t offset, const char *chain, struct error *err)
{
	struct job *job = arg;
	struct work *work = job->work;
	int done;

	job_db_lock(job);
	done = work_sure(work,
		store_migration_checkpoint(
			work->db, &job->m, (int64_t)offset, chain, err),
		err);
	job_db_unlock(job);
	return done;
}

/* target NULL: on another host. */
static int copy_bytes(struct job *job, const struct endpoint *source,
	const struct endpoint *target, struct copy_result *result, struct error *err)
{
	const struct settings *settings = job->work->settings;
	struct copy_options options = {
		.size = (uint64_t)job->m.size_bytes,
		.start = (uint64_t)job->m.checkpoint,
		/* A second epoch may have written above the checkpoint. */
		.target_is_new = epoch_number(job->m.op.epoch) == 1,
		.checkpoint_bytes = (uint64_t)settings->checkpoint_bytes,
		.checkpoint_seconds = settings->checkpoint_seconds,
		.control = &job->control,
		.on_progress = on_progress,
		.on_checkpoint = on_checkpoint,
		.arg = job,
	};
	int route, done;

	snprintf(options.chain_start, sizeof(options.chain_start), "%s", job->m.digest);
	if (!target)
		return remote_copy(job, source, &options, result, err);
	if (strcmp(job->m.route, "driver") == 0) {
		done = backend_clone(job->target, source, target, err);
		if (done < 0 || fault_point("migrate.cloned", err) < 0)
			return -1;
		if (done > 0)
			return copy_verify_clone(source, target, &options, result, err);
		route = work_sure(job->work,
			store_migration_set_route(job->work->db, &job->m, "copy", err),
			err);
		if (route < 0)
			return -1;
	}
	return copy_run(source, target, &options, result, err);
}

/* While it is paused there is no switch either. */
static int end_copy(struct job *job, const char *digest, struct error *err)
{
	struct work *work = job->work;
	int paused;

	while ((paused = work_sure(work,
			store_migration_seal(work->db, &job->m, digest, err), err)) > 0)
		if (rate_wait(job, err) < 0)
			return -1;
	return paused;
}

static int copy(struct job *job, struct error *err)
{
	struct endpoint source, target;
	struct copy_result result = { 0 };

	rate_follow(job);
	if ((job->m.paused && rate_wait(job, err) < 0) || find_objects(job, err) < 0 ||
		fault_point("migrate.copying", err) < 0)
		return -1;
	if (endpoint_of(job->source, &job->source_object, &source, err) < 0 ||
		(job->peer && peer_open_target(job, &target, err) < 0) ||
		(is_here(job) &&
			endpoint_of(job->target, &job->target_object, &target, err) <
				0))
		return -1;
	if (copy_bytes(job, &source, job->remote ? NULL : &target, &result, err) < 0)
		return -1;
	job->m.copied = (int64_t)result.copied;
	job->m.skipped = (int64_t)result.skipped;
	log_info("volume copied id=%s route=%s copied=%llu seconds=%.3f digest=%s",
		job->m.op.volume_id, job->m.route, (unsigned long long)result.copied,
		result.seconds, result.digest);
	return end_copy(job, result.digest, err);
}

/* A fail-over of the database may have forgotten that an export was closed. */
static bool is_open_again(struct job *job, const struct error *why)
{
	struct work *work = job->work;
	struct error err;

	return job->remote && why->code == ERR_INVALID_VOLUME &&
		work_sure(work, store_migration_exports_closed(work->db, &job->m, &err),
			&err) == 0;
}

static int seal(struct job *job, struct error *err)
{
	struct work *work = job->work;
	int done;

	if (fault_point("migrate.sealing", err) < 0 ||
		(job->peer && peer_disconnect(job, err) < 0))
		return -1;
	/* The switch itself demands that none is open, and that nobody else had one. */
	do {
		if (remote_wait_closed(job, err) < 0 ||
			fault_point("migrate.switch", err) < 0)
			return -1;
		done = work_sure(work,
			store_migration_switch(work->db, &job->m,
				work->settings->migration_result_keep,
				work->settings->source_keep, err),
			err);
	} while (done < 0 && is_open_again(job, err));
	return done < 0 ? -1 : fault_point("migrate.switched", err);
}

/* The leftover is a row already, so a failure here keeps nobody waiting. */
static int settle(struct job *job, struct error *err)
{
	struct work *work = job->work;
	struct garbage garbage;
	struct error why;
	int found;

	if (fault_point("migrate.settling", err) < 0)
		return -1;
	found = work_sure(work,
		store_garbage_of_operation(
			work->db, job->m.op.id, job->m.op.host, &garbage, err),
		err);
	if (found < 0)
		return -1;
	if (found &&
		work_sure(work,
			store_garbage_claim(work->db, garbage.id, &garbage, err),
			err) > 0 &&
		work_retire(work, &garbage, &why) < 0)
		log_warning("the old object is retired later: %s", why.text);
	if (fault_point("migrate.retired", err) < 0)
		return -1;
	return work_sure(work, store_migration_done(work->db, &job->m, err), err);
}

/* 0 done, 1 to be gone on with later, by another worker. */
static const struct {
	enum phase phase;
	int (*run)(struct job *job, struct error *err);
} phases[] = {
	{ PHASE_QUEUED, prepare },
	{ PHASE_PREPARING, make_target },
	{ PHASE_COPYING, copy },
	{ PHASE_SWAPPING, compute_swap },
	{ PHASE_HELD, compute_swap },
	{ PHASE_SEALING, seal },
	{ PHASE_SETTLING, settle },
};

static int run_phase(struct job *job, struct error *err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(phases); i++)
		if (phases[i].phase == job->m.op.phase)
			return phases[i].run(job, err);
	return error_set(err, ERR_INTERNAL, "a worker has nothing to do in phase '%s'",
		phase_name(job->m.op.phase));
}

/* T may be the only copy left when S's object is surely not there: after the database was
 * set back to a time before the switch, for one. */
static bool source_is_gone(struct job *job, struct error *err)
{
	struct work *work = job->work;

	if (job->m.op.phase != PHASE_COPYING && job->m.op.phase != PHASE_SEALING)
		return false;
	if (!job->source &&
		work_backend_open(work, job->m.source, &job->source, err) < 0)
		return false;
	return work_find_object(work, job->source, job->m.source_name_id,
		       &job->source_object, err) < 0 &&
		err->code == ERR_NOT_FOUND;
}

static int hold(struct job *job, const struct error *why)
{
	struct error ignored;

	log_error("migration is held, nothing is touched id=%s volume=%s phase=%s: %s; "
		  "look for the volume's data on '%s' and on '%s'",
		job->m.op.id, job->m.op.volume_id, phase_name(job->m.op.phase),
		why->text, job->m.source, job->m.target);
	if (store_operation_note(job->work->db, &job->m.op, why->text, &ignored) < 0)
		log_warning("%s", ignored.text);
	return WORK_FAILED;
}

static int take_back(struct job *job, const struct error *why)
{
	struct work *work = job->work;
	enum phase to = why->code == ERR_CANCELLED ? PHASE_CANCELLED : PHASE_FAILED;
	struct error err;

	if (source_is_gone(job, &err))
		return hold(job, &err);

	if (job->peer && job->m.op.phase == PHASE_COPYING &&
		peer_disconnect(job, &err) < 0)
		log_warning("%s", err.text);
	log_warning("migration is taken back id=%s volume=%s phase=%s: %s",
		job->m.op.id, job->m.op.volume_id, phase_name(job->m.op.phase),
		why->text);
	if (fault_point("migrate.roll_back", &err) < 0 ||
		work_sure(work,
			store_migration_roll_back(work->db, &job->m, to, why,
				work->settings->migration_result_keep, &err),
			&err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	return WORK_DONE;
}

/* What a failed phase means: wait and go on, leave it to another, or take it back. */
static int after_failure(struct job *job, const struct error *why)
{
	if (work_stopping(job->work))
		return WORK_STOPPED;
	if (why->code == ERR_FENCED) {
		log_warning("%s", why->text);
		return WORK_DONE;
	}
	if (!phase_can_cancel(job->m.op.phase)) {
		log_error("migration goes on later id=%s phase=%s: %s", job->m.op.id,
			phase_name(job->m.op.phase), why->text);
		return WORK_FAILED;
	}
	return take_back(job, why);
}

static int run_all(struct job *job)
{
	struct error err;

	while (!phase_is_final(job->m.op.phase)) {
		enum phase before = job->m.op.phase;
		int later;

		error_clear(&err);
		if (job->m.op.cancel && phase_can_cancel(before)) {
			error_set(&err, ERR_CANCELLED, "the migration was cancelled");
			return take_back(job, &err);
		}
		later = run_phase(job, &err);
		if (later < 0)
			return after_failure(job, &err);
		/* Phases that are done with return rows, or nothing. */
		if (later > 0 && job->m.op.phase == before)
			return WORK_DONE;
		log_info("migration moved on id=%s volume=%s from=%s to=%s",
			job->m.op.id, job->m.op.volume_id, phase_name(before),
			phase_name(job->m.op.phase));
	}
	return WORK_DONE;
}

int work_migrate(struct work *work, struct operation *op)
{
	AUTO(job_clear) struct job job = { .work = work };
	struct error err;

	if (work_sure(work, store_migration_get(work->db, op->id, &job.m, &err),
		    &err) <= 0)
		return log_error(
			       "operation '%s' has no migration: %s", op->id, err.text),
		       WORK_FAILED;
	if (job.m.op.epoch != op->epoch)
		return WORK_DONE;
	if (job.m.op.attempts >= work->settings->worker_attempts &&
		phase_can_cancel(job.m.op.phase)) {
		error_set(&err, ERR_INTERNAL,
			"its worker died %lld times in phase '%s' without progress",
			(long long)job.m.op.attempts, phase_name(job.m.op.phase));
		return take_back(&job, &err);
	}
	/* After the switch the target has nothing to do any more. */
	if (phase_can_cancel(job.m.op.phase)) {
		int peer = work_sure(work, store_peer_is(work->db, &job.m, &err), &err);
		int remote = peer
			? 0
			: work_sure(
				  work, store_remote_is(work->db, &job.m, &err), &err);

		if (peer < 0 || remote < 0)
			return after_failure(&job, &err);
		job.peer = peer;
		job.remote = remote;
	}
	return run_all(&job);
}
