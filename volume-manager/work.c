/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/work.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/fault.h"
#include "common/log.h"

static volatile sig_atomic_t stop_signal;

static void on_terminate(int signum)
{
	stop_signal = 1;
}

static void __attribute__((constructor)) catch_terminate(void)
{
	struct sigaction action = { .sa_handler = on_terminate };

	sigaction(SIGTERM, &action, NULL);
}

/* End of file on descriptor 3: the manager is gone. PR_SET_PDEATHSIG is the first line;
 * this is the second. */
static bool manager_is_gone(void)
{
	struct pollfd fd = { .fd = WORK_FD, .events = POLLIN };

	return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR));
}

bool work_stopping(const struct work *work)
{
	(void)work;
	return stop_signal || manager_is_gone();
}

int work_stop_error(struct error *err)
{
	return error_set(err, ERR_TIMEOUT, "asked to stop");
}

void work_nap_ms(unsigned ms)
{
	const struct timespec nap = { .tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&nap, NULL);
}

bool work_try_again(struct work *work, struct error *err)
{
	if (err->code != ERR_DB_UNAVAILABLE && err->code != ERR_DB_UNKNOWN &&
		err->code != ERR_DB_RETRY)
		return false;
	log_warning("the database did not answer, trying again: %s", err->text);
	do {
		if (work_stopping(work))
			return false;
		work_nap_ms(50);
	} while (db_connect(work->db, err) < 0 && err->code == ERR_DB_UNAVAILABLE);
	return true;
}

int work_backend_settings(const struct work *work, const char *address,
	const struct backend_settings **out, struct error *err)
{
	for (size_t i = 0; i < work->backend_count; i++) {
		if (!address_same_backend(work->backends[i].host, address))
			continue;
		*out = &work->backends[i];
		return 0;
	}
	return error_set(err, ERR_INVALID_HOST,
		"backend '%.*s' is not in this host's enabled_backends",
		(int)strcspn(address, "#"), address);
}

int work_backend_open(
	struct work *work, const char *address, struct backend **out, struct error *err)
{
	const struct backend_settings *settings;

	if (work_backend_settings(work, address, &settings, err) < 0)
		return -1;
	return backend_open(settings, out, err);
}

int work_find_named(struct work *work, struct backend *backend, object_namer namer,
	const char *name_id, struct object_row *out, uint64_t *size, struct error *err)
{
	const struct backend_settings *settings = backend_settings_of(backend);
	struct object_id known = { "" }, id;
	struct object_hint hint;
	int found = work_sure(work,
		store_object_get(work->db, settings->host, name_id, out, err), err);

	if (found < 0)
		return -1;
	if (found)
		snprintf(known.text, sizeof(known.text), "%s", out->identity);
	else if (namer(settings, name_id, out->name, sizeof(out->name), err) < 0 ||
		work_foreign_look(work, backend, name_id, out->name, &hint, err) < 0)
		return -1;
	int there = backend_find(backend, out->name, &known, &id, size, err);
	if (there < 0)
		return -1;
	if (!there)
		return error_set(err, ERR_NOT_FOUND,
			"object '%s' is not on backend '%s'", out->name,
			settings->name);
	if (!found && work_foreign_check(backend, out->name, &id, &hint, err) < 0)
		return -1;
	snprintf(out->identity, sizeof(out->identity), "%s", id.text);
	if (known.text[0])
		return 0;
	if (work_sure(work,
		    store_object_plan(
			    work->db, NULL, settings->host, out->name, name_id, err),
		    err) < 0)
		return -1;
	return work_sure(work,
		store_object_identify(
			work->db, NULL, settings->host, out->name, out->identity, err),
		err);
}

int work_find_object(struct work *work, struct backend *backend, const char *name_id,
	struct object_row *out, struct error *err)
{
	return work_find_named(
		work, backend, backend_object_name, name_id, out, NULL, err);
}

struct making {
	struct work *work;
	const struct operation *op;
	const char *host, *name;
};

/* The object has its identity but not its name yet: now it is written down, where a
 * fail-over does not forget it. */
static int record_identity(void *arg, const struct object_id *id, struct error *err)
{
	const struct making *making = arg;
	struct work *work = making->work;

	if (work_sure(work,
		    store_object_identify(work->db, making->op, making->host,
			    making->name, id->text, err),
		    err) < 0 ||
		work_wait_for_standbys(
			work, making->op, work->settings->standby_timeout, err) < 0)
		return -1;
	return work_sure(work, store_operation_check(work->db, making->op, err), err);
}

/* Under the object's lock: nobody else makes, renames or removes it meanwhile. */
int work_make_locked(struct work *work, struct backend *backend,
	const struct operation *op, const char *name_id, uint64_t size,
	struct object_row *out, struct error *err)
{
	const struct backend_settings *settings = backend_settings_of(backend);
	struct making making = { work, op, settings->host, out->name };
	struct object_id known, id;

	if (work_sure(work,
		    store_object_plan(
			    work->db, op, settings->host, out->name, name_id, err),
		    err) < 0 ||
		work_sure(work,
			store_object_get(work->db, settings->host, name_id, out, err),
			err) < 0)
		return -1;
	snprintf(known.text, sizeof(known.text), "%s", out->identity);
	if (fault_point("make.planned", err) < 0 ||
		work_wait_for_standbys(work, op, work->settings->standby_timeout, err) <
			0)
		return -1;
	if (work_sure(work, store_operation_check(work->db, op, err), err) < 0)
		return -1;
	if (backend_create(backend, out->name, size, &known, record_identity, &making,
		    &id, err) < 0)
		return -1;
	snprintf(out->identity, sizeof(out->identity), "%s", id.text);
	return backend_location(
		backend, &id, out->location, sizeof(out->location), err);
}

int work_make_object(struct work *work, struct backend *backend,
	const struct operation *op, const char *name_id, uint64_t size,
	struct object_row *out, struct error *err)
{
	AUTO(work_unlock) struct work_lock lock = { .fd = -1 };

	memset(out, 0, sizeof(*out));
	if (backend_object_name(backend_settings_of(backend), name_id, out->name,
		    sizeof(out->name), err) < 0 ||
		work_lock_object(work, name_id, &lock, err) < 0)
		return -1;
	return work_make_locked(work, backend, op, name_id, size, out, err);
}

int work_create(struct work *work, struct operation *op)
{
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_row object;
	struct volume volume;
	struct error err, why;
	int found = work_sure(
		work, store_volume_get(work->db, op->volume_id, &volume, &err), &err);

	if (found < 0)
		return log_error("%s", err.text), WORK_FAILED;
	if (!found)
		error_set(&why, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", op->volume_id);
	if (op->attempts >= work->settings->worker_attempts) {
		found = 0;
		error_set(&why, ERR_INTERNAL, "its worker died %lld times",
			(long long)op->attempts);
	}
	if (found && work_backend_open(work, op->host, &backend, &why) == 0 &&
		work_make_filled(work, backend, op, backend_object_name, volume.name_id,
			(uint64_t)volume.size_gib << 30, &object, &why) == 0) {
		if (fault_point("create.made", &err) < 0 ||
			work_sure(work,
				store_create_done(work->db, op, object.location, &err),
				&err) < 0)
			return log_error("%s", err.text), WORK_FAILED;
		log_info("volume created id=%s host=%s size_gib=%lld", volume.id,
			op->host, (long long)volume.size_gib);
		return WORK_DONE;
	}
	if (work_stopping(work))
		return WORK_STOPPED;
	if (why.code == ERR_FENCED)
		return log_warning("%s", why.text), WORK_DONE;
	error_context(&why, "create volume '%s'", op->volume_id);
	log_error("%s", why.text);
	if (work_sure(work, store_create_failed(work->db, op, &why, &err), &err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	return WORK_DONE;
}

static const struct {
	const char *kind;
	int (*run)(struct work *work, struct operation *op);
	bool starts; /* it has no phases of its own before working */
} kinds[] = {
	{ "create_volume", work_create, true },
	{ "create_snapshot", work_snapshot, true },
	{ "extend_volume", work_extend, true },
	{ "migrate_volume", work_migrate, false },
};

static int run_kind(struct work *work, struct operation *op)
{
	struct error err;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, op->kind) != 0)
			continue;
		if (kinds[i].starts && op->phase == PHASE_QUEUED &&
			work_sure(work, store_operation_start(work->db, op, &err),
				&err) < 0)
			return log_error("%s", err.text), WORK_FAILED;
		return kinds[i].run(work, op);
	}
	return WORK_FAILED;
}

int work_operation(struct work *work, const char *id, int64_t epoch)
{
	uint64_t commits;
	double seconds;
	struct operation op;
	struct error err;
	int status, found;

	if (work_lock(work, id, &work->lock, &err) < 0)
		return log_error("%s", err.text),
		       work_stopping(work) ? WORK_STOPPED : WORK_FAILED;
	found = work_sure(work, store_operation_get(work->db, id, &op, &err), &err);
	if (found < 0)
		return log_error("%s", err.text), WORK_FAILED;
	if (!found || op.epoch != epoch || phase_is_final(op.phase)) {
		log_info("operation is not ours any more id=%s epoch=%lld", id,
			(long long)epoch);
		return WORK_DONE;
	}
	status = run_kind(work, &op);
	if (status == WORK_DONE) {
		db_commit_stats(work->db, &commits, &seconds);
		if (store_operation_add_commits(work->db, id, commits, seconds, &err) <
			0)
			log_debug("%s", err.text);
		work_unlock_and_forget(&work->lock);
	}
	return status;
}
