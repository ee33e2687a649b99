/* SPDX-License-Identifier: Apache-2.0 */
/* Leftovers: renamed first, removed later, each after a fresh look at the rows. */
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "volume-manager/work.h"

/* An object that others made has no identity in our rows: it is noted before anything is
 * done to it. 1 there, 0 there is none. */
static int identify(struct work *work, struct backend *backend, struct garbage *garbage,
	struct error *err)
{
	const struct object_id unknown = { "" };
	struct object_hint hint;
	struct object_id id;
	int found;

	if (work_sure(work,
		    store_object_hint(
			    work->db, garbage->host, garbage->volume_id, &hint, err),
		    err) < 0 ||
		backend_look_in(backend, hint.location, err) < 0 ||
		backend_object_name(backend_settings_of(backend), garbage->volume_id,
			garbage->name, sizeof(garbage->name), err) < 0)
		return -1;
	found = backend_find(backend, garbage->name, &unknown, &id, NULL, err);
	if (found <= 0)
		return found;
	snprintf(garbage->identity, sizeof(garbage->identity), "%s", id.text);
	return work_sure(work,
		       store_garbage_identify(work->db, garbage, garbage->name,
			       garbage->identity, err),
		       err) < 0
		? -1
		: 1;
}

static int check_unused(
	struct work *work, const struct garbage *garbage, struct error *err)
{
	int used = work_sure(work, store_garbage_in_use(work->db, garbage, err), err);

	if (used > 0)
		return error_set(err, ERR_FENCED,
			"'%s' of '%s' is a volume's object again: it is left alone",
			garbage->name, garbage->host);
	return used;
}

/* Nobody uses the object, the standbys know that too, and it is still so: a fail-over
 * cannot bring a row back that leads to it. */
static int look_again(
	struct work *work, const struct garbage *garbage, struct error *err)
{
	const struct settings *settings = work->settings;
	int hidden;

	if (check_unused(work, garbage, err) < 0)
		return -1;
	hidden = work_wait_for_standbys(work, NULL, settings->standby_timeout, err);
	if (hidden < 0)
		return -1;
	if (hidden && garbage->age_s < settings->switch_settle)
		return error_set(err, ERR_TIMEOUT,
			"'%s' is left alone for %.0f s: the database does not show "
			"whether its standbys know that (pg_monitor does)",
			garbage->name, settings->switch_settle);
	return check_unused(work, garbage, err);
}

static int removed(struct work *work, struct garbage *garbage, struct error *err)
{
	if (work_sure(work, store_garbage_removed(work->db, garbage, err), err) < 0)
		return -1;
	log_info("leftover removed name=%s host=%s reason='%s'", garbage->name,
		garbage->host, garbage->reason);
	return 0;
}

int work_retire(struct work *work, struct garbage *garbage, struct error *err)
{
	AUTO(work_unlock) struct work_lock lock = { .fd = -1 };
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_id id;
	int found;

	if (garbage->state != GARBAGE_WAITING)
		return 0;
	/* Whoever was making it has ended, and finds that it shall not be made. */
	if (work_lock_object(work, garbage->volume_id, &lock, err) < 0 ||
		work_sure(work, store_garbage_refresh(work->db, garbage, err), err) < 0)
		return -1;
	if (look_again(work, garbage, err) < 0 ||
		work_backend_open(work, garbage->host, &backend, err) < 0)
		return -1;
	found = garbage->by_name ? identify(work, backend, garbage, err) : 1;
	if (found < 0)
		return -1;
	snprintf(id.text, sizeof(id.text), "%s", garbage->identity);
	if (backend_forget(backend, garbage->name, &id, err) < 0)
		return -1;
	/* Without identity the object never got its name: there is nothing else. */
	if (!garbage->identity[0])
		return removed(work, garbage, err);
	if (backend_retire(backend, garbage->name, &id, garbage->trash_name, err) < 0 ||
		fault_point("garbage.renamed", err) < 0)
		return -1;
	return work_sure(work, store_garbage_renamed(work->db, garbage, err), err);
}

static int remove_object(struct work *work, struct garbage *garbage, struct error *err)
{
	AUTO(work_unlock) struct work_lock lock = { .fd = -1 };
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_id id;

	snprintf(id.text, sizeof(id.text), "%s", garbage->identity);
	if (work_lock_object(work, garbage->volume_id, &lock, err) < 0 ||
		look_again(work, garbage, err) < 0 ||
		work_backend_open(work, garbage->host, &backend, err) < 0 ||
		backend_remove(backend, garbage->trash_name, &id, err) < 0 ||
		fault_point("garbage.removed", err) < 0)
		return -1;
	return removed(work, garbage, err);
}

int work_garbage(struct work *work, const char *id)
{
	struct garbage garbage;
	struct error err, ignored;
	int found;

	/* Claimed first: that says when it is tried again. */
	found = work_sure(
		work, store_garbage_claim(work->db, id, &garbage, &err), &err);
	if (found < 0 || work_lock(work, id, &work->lock, &err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	if (!found) {
		work_unlock_and_forget(&work->lock);
		return WORK_DONE;
	}
	if (work_retire(work, &garbage, &err) == 0 &&
		(garbage.state != GARBAGE_RENAMED || !garbage.due ||
			remove_object(work, &garbage, &err) == 0)) {
		work_unlock_and_forget(&work->lock);
		return WORK_DONE;
	}
	log_warning(
		"leftover is tried again later name=%s: %s", garbage.name, err.text);
	if (store_garbage_failed(work->db, &garbage, err.text, &ignored) < 0)
		log_debug("%s", ignored.text);
	work_unlock_and_forget(&work->lock);
	return WORK_FAILED;
}
