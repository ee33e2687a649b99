/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are due. Called after a notification, an ended worker, a new connection to
 * the database, and every rescan_interval in any case. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/store/exports.h"
#include "common/store/garbage.h"
#include "common/store/looks.h"
#include "common/store/migrations.h"
#include "common/store/operations.h"
#include "common/store/remote.h"
#include "common/store/retype.h"
#include "volume-manager/manager.h"
#include "volume-manager/process.h"
#include "volume-manager/slots.h"
#include "volume-manager/work.h"

/* Of each backend: the storage of one may hang. */
#define MAX_GARBAGE_WORKERS 2
#define MAX_LOOK_WORKERS 4
/* Those that were given up but cannot be killed count here. */
#define MAX_LOOK_PROCESSES 32
#define DUE_LIMIT 200
/* A request is on its way for as long; then it was lost. */
#define LOST_SECONDS 60.0
/* Several pieces of work that end together make one report. */
#define LOOK_SECONDS 0.2

/* While Compute copies it is looked at again and again. */
static void log_claim(const struct operation *op)
{
	bool looks = op->phase == PHASE_SWAPPING || op->phase == PHASE_HELD;

	log_line(looks ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		"operation claimed id=%s kind=%s volume=%s phase=%s epoch=%lld", op->id,
		op->kind, op->volume_id, phase_name(op->phase),
		(long long)epoch_number(op->epoch));
}

/* What runs, on all backends and on this one. */
static void count_slots(
	const struct managed *managed, struct slot_use *all, struct slot_use *own)
{
	*all = *own = (struct slot_use) { { 0 } };
	for (const struct child *c = managed->manager->children; c; c = c->next) {
		if (c->kind != CHILD_OPERATION)
			continue;
		all->count[slot_of(&c->op)]++;
		if (c->managed == managed)
			own->count[slot_of(&c->op)]++;
	}
}

static bool has_slot(const struct managed *managed, const struct operation *op)
{
	const struct manager *manager = managed->manager;
	struct slot_use all, own;

	count_slots(managed, &all, &own);
	return slots_allow(slot_of(op), (unsigned)manager->settings->max_operations,
		&all, &own, manager->count == 1);
}

static int start_operation(
	struct managed *managed, const struct operation *due, struct error *err)
{
	struct manager *manager = managed->manager;
	struct operation op;
	int claimed =
		store_operation_claim(manager->db, due->id, manager->owner, &op, err);

	if (claimed <= 0)
		return claimed;
	log_claim(&op);
	return child_start(managed, CHILD_OPERATION, op.id, &op, err);
}

/* What runs may have become long; the list of what is due has an end. */
static int look_at_fills(
	struct manager *manager, struct managed *managed, struct error *err)
{
	for (struct child *c = manager->children; c; c = c->next) {
		struct operation now;
		int found;

		if (c->managed != managed || c->kind != CHILD_OPERATION ||
			!c->op.fills || c->op.copies)
			continue;
		found = store_operation_get(manager->db, c->id, &now, err);
		if (found < 0)
			return -1;
		c->op.copies = found && now.copies;
	}
	return 0;
}

static int start_operations(
	struct manager *manager, struct managed *managed, struct error *err)
{
	AUTO(free) struct operation *list = NULL;
	int count = store_operation_due(
		manager->db, managed->settings->host, DUE_LIMIT, &list, err);

	if (count >= 0 && look_at_fills(manager, managed, err) < 0)
		return -1;
	for (int i = 0; i < count; i++)
		if (!child_find(manager, CHILD_OPERATION, list[i].id) &&
			has_slot(managed, &list[i]) &&
			start_operation(managed, &list[i], err) < 0)
			return -1;
	return count < 0 ? -1 : 0;
}

static unsigned count_children(const struct managed *managed, enum child_kind kind)
{
	unsigned count = 0;

	for (const struct child *c = managed->manager->children; c; c = c->next)
		count += c->managed == managed && c->kind == kind && !c->given_up;
	return count;
}

static int start_garbage(
	struct manager *manager, struct managed *managed, struct error *err)
{
	AUTO(free) struct garbage *list = NULL;
	int count = store_garbage_due(
		manager->db, managed->settings->host, DUE_LIMIT, &list, err);

	for (int i = 0; i < count; i++) {
		if (count_children(managed, CHILD_GARBAGE) >= MAX_GARBAGE_WORKERS)
			return 0;
		if (!child_find(manager, CHILD_GARBAGE, list[i].id) &&
			child_start(managed, CHILD_GARBAGE, list[i].id, NULL, err) < 0)
			return -1;
	}
	return count < 0 ? -1 : 0;
}

/* A server that the row does not know: the database was set back, or has failed over. It is
 * killed. True while there is one, or somebody who may become one. */
static bool has_stranger(struct manager *manager, const struct export *export)
{
	pid_t pid;

	if (!locks_held(manager, export->id, &pid))
		return false;
	if (pid > 0) {
		log_warning("a server that its row does not know is killed export=%s "
			    "pid=%d",
			export->id, (int)pid);
		kill(pid, SIGKILL);
	}
	manager_scan_in(manager, 0.05);
	return true;
}

/* Its process is killed, not asked: what it has acknowledged is in the file, and a
 * client's request in flight is not acknowledged. The row says closed only when the
 * process is gone. */
static int close_export(
	struct manager *manager, const struct export *export, struct error *err)
{
	struct child *child = child_find(manager, CHILD_EXPORT, export->id);

	/* A migration's export is our child; its end leads here again. */
	if (child && strcmp(export->kind, "migration") == 0) {
		child->closing = true;
		kill(child->pid, SIGKILL);
		return 0;
	}
	if (process_is((pid_t) export->pid, export->pid_start, export->boot_id)) {
		kill((pid_t) export->pid, SIGKILL);
		manager_scan_in(manager, 0.01);
		return 0;
	}
	if (has_stranger(manager, export))
		return 0;
	if (store_export_closed(manager->db, export->id, NULL, err) < 0)
		return -1;
	log_info("export closed id=%s export=%s", export->volume_id, export->id);
	locks_forget(manager, export->id);
	return 0;
}

static int keep_export(
	struct managed *managed, const struct export *export, struct error *err)
{
	struct manager *manager = managed->manager;
	const struct child *child = child_find(manager, CHILD_EXPORT, export->id);
	bool open = strcmp(export->state, "open") == 0;

	/* One that is being opened ends by itself; its end leads here again. One that
	 * serves already has closed its end, after its row said open. */
	if (child && !open && child->fd < 0)
		kill(child->pid, SIGKILL);
	if (child)
		return 0;
	if (open && process_is((pid_t) export->pid, export->pid_start, export->boot_id))
		return watch_process(manager, export->id, (pid_t) export->pid, err);
	if (has_stranger(manager, export))
		return 0;
	if (open) {
		int now = store_export_restart(manager->db, export->id, err);

		if (now <= 0) {
			manager_scan_in(manager, 1.0);
			return now;
		}
		log_warning("export is started again id=%s export=%s",
			export->volume_id, export->id);
	}
	return child_start(managed, CHILD_EXPORT, export->id, NULL, err);
}

static int start_exports(
	struct manager *manager, struct managed *managed, struct error *err)
{
	AUTO(free) struct export *list = NULL;
	int count = store_export_list(manager->db, managed->settings->host, &list, err);

	for (int i = 0; i < count; i++) {
		const struct export *export = &list[i];
		int done = strcmp(export->state, "closing") == 0
			? close_export(manager, export, err)
			: keep_export(managed, export, err);

		if (done < 0)
			return -1;
	}
	return count < 0 ? -1 : 0;
}

static int start_read_backs(
	struct manager *manager, struct managed *managed, struct error *err)
{
	AUTO(free) struct read_back *list = NULL;
	int count =
		store_read_back_due(manager->db, managed->settings->host, &list, err);

	for (int i = 0; i < count; i++)
		if (!child_find(manager, CHILD_READ_BACK, list[i].operation_id) &&
			child_start(managed, CHILD_READ_BACK, list[i].operation_id,
				NULL, err) < 0)
			return -1;
	return count < 0 ? -1 : 0;
}

static int start_looks(
	struct manager *manager, struct managed *managed, struct error *err)
{
	AUTO(free) struct look *list = NULL;
	int count = store_look_due(manager->db, managed->settings->host, &list, err);

	for (int i = 0; i < count; i++) {
		struct child *child =
			child_find(manager, CHILD_LOOK, list[i].volume_id);

		/* The storage has not let the last one go: who asks again is told. */
		if (child && child->given_up)
			scan_give_up_look(child);
		if (!child && count_children(managed, CHILD_LOOK) < MAX_LOOK_WORKERS &&
			managed->looks < MAX_LOOK_PROCESSES &&
			child_start(managed, CHILD_LOOK, list[i].volume_id, NULL, err) <
				0)
			return -1;
	}
	return count < 0 ? -1 : 0;
}

/* A share that does not answer. Whoever asks again is told, and stands at the end. */
void scan_give_up_look(struct child *child)
{
	struct manager *manager = child->manager;
	struct error why, err;

	error_set(&why, ERR_TIMEOUT,
		"the storage of volume '%s' has not answered for %.0f s", child->id,
		manager->settings->worker_timeout);
	if (store_look_done(manager->db, child->id, &why, &err) < 0) {
		log_warning("%s", err.text);
		return;
	}
	if (child->given_up)
		return;
	child->given_up = true;
	log_error("%s", why.text);
	manager_scan_in(manager, 0);
}

static int scan_backend(
	struct manager *manager, struct managed *managed, struct error *err)
{
	if (start_exports(manager, managed, err) < 0 ||
		start_read_backs(manager, managed, err) < 0 ||
		start_looks(manager, managed, err) < 0 ||
		start_operations(manager, managed, err) < 0 ||
		start_garbage(manager, managed, err) < 0)
		return -1;
	methods_answer(manager, managed);
	return 0;
}

void manager_scan(struct manager *manager)
{
	struct error err;

	if (manager->stopping || !manager->schema_ok)
		return;
	for (size_t i = 0; i < manager->count; i++) {
		struct managed *managed = &manager->managed[i];

		if (!managed->leased || scan_backend(manager, managed, &err) == 0)
			continue;
		log_warning("looking for work of '%s' failed: %s",
			managed->settings->host, err.text);
		manager_scan_in(manager, 1.0);
	}
}

static void correct_types(struct manager *manager, const struct managed *managed)
{
	struct error err;
	int count = store_retype_correct(manager->db, managed->settings->host, &err);

	if (count < 0)
		log_warning("%s", err.text);
	if (count > 0)
		log_info("volumes say multiattach as their types do again host=%s "
			 "count=%d",
			managed->settings->host, count);
}

void manager_find_lost(struct manager *manager)
{
	struct error err;

	if (manager->stopping || !manager->schema_ok)
		return;
	silence_look(manager);
	for (size_t i = 0; i < manager->count; i++)
		if (manager->managed[i].leased) {
			peers_clean(manager, &manager->managed[i]);
			correct_types(manager, &manager->managed[i]);
		}
	for (size_t i = 0; i < manager->count; i++) {
		const struct managed *managed = &manager->managed[i];
		int count = !managed->leased
			? 0
			: store_migration_set_lost_back(manager->db,
				  managed->settings->host, LOST_SECONDS,
				  manager->settings->migration_result_keep, &err);

		if (count < 0)
			log_warning("%s", err.text);
		if (count > 0)
			log_warning(
				"requests were lost, volumes set back host=%s count=%d",
				managed->settings->host, count);
	}
}

/* Longer each time: 0.25 s, 0.5 s ... 60 s. */
static double delay_of(int64_t attempts)
{
	double delay = 0.25;

	for (int64_t i = 0; i < attempts && delay < 60; i++)
		delay *= 2;
	return delay < 60 ? delay : 60;
}

void scan_child_ended(struct manager *manager, const struct child *child, int status)
{
	bool clean = WIFEXITED(status) &&
		(WEXITSTATUS(status) == WORK_DONE ||
			WEXITSTATUS(status) == WORK_STOPPED);
	double delay = clean ? 0 : delay_of(child->op.attempts);
	struct error err;

	if (manager->stopping)
		return;
	if (child->kind == CHILD_OPERATION && !clean &&
		store_operation_delay(manager->db, &child->op, delay, &err) < 0)
		log_warning("%s", err.text);
	if (child->kind == CHILD_EXPORT && !clean)
		delay = child->closing ? 0 : 1.0;
	if (child->kind == CHILD_STATS)
		return;
	manager_scan_in(manager, delay);
	/* Space was taken or given back: the schedulers should know. */
	if (child->kind == CHILD_OPERATION || child->kind == CHILD_GARBAGE)
		manager_look_in(manager, LOOK_SECONDS);
}
