/* SPDX-License-Identifier: Apache-2.0 */
/* New objects with content: of a volume for its snapshot, of a snapshot or a volume for
 * another volume. A clone of the storage is of one moment, so that a volume in use can be
 * its source; bytes are copied only while nobody can write them. */
#include <stdio.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/sources.h"
#include "copy/copy.h"
#include "volume-manager/work.h"

/* How often a copy looks whether it is still wanted. */
#define LOOK_SECONDS 2.0

struct fill {
	struct work *work;
	const struct operation *op;
	struct backend *target;
	struct backend *source; /* may be the target's */
	struct source from;
	struct object_row source_object;
	uint64_t size; /* of the source, bytes */
	double looked_at;
};

static void fill_clear(struct fill *fill)
{
	if (fill->source != fill->target)
		backend_close(fill->source);
	fill->source = NULL;
}

static void auto_fill_clear(struct fill *fill)
{
	fill_clear(fill);
}

static int find_source(struct fill *fill, struct error *err)
{
	struct work *work = fill->work;
	const struct source *from = &fill->from;

	if (address_same_backend(from->host, fill->op->host))
		fill->source = fill->target;
	else if (work_backend_open(work, from->host, &fill->source, err) < 0)
		return error_context(err, "source");
	if (work_find_named(work, fill->source,
		    from->snapshot_id[0] ? backend_snapshot_name : backend_object_name,
		    from->name_id, &fill->source_object, &fill->size, err) < 0)
		return error_context(err, "source");
	return 0;
}

static int endpoint_of(struct backend *backend, const struct object_row *object,
	struct endpoint *out, struct error *err)
{
	struct object_id id;

	snprintf(id.text, sizeof(id.text), "%s", object->identity);
	return backend_endpoint(backend, object->name, &id, out, err);
}

static int on_progress(
	void *arg, const struct copy_progress *progress, struct error *err)
{
	struct fill *fill = arg;
	double now = clock_seconds();

	if (work_stopping(fill->work))
		return work_stop_error(err);
	if (now < fill->looked_at + LOOK_SECONDS)
		return 0;
	fill->looked_at = now;
	if (store_source_wanted(fill->work->db, fill->op, err) == 0)
		return 0;
	/* The copy goes on while the database is away. */
	return err->code == ERR_FENCED ? -1 : 0;
}

static int on_checkpoint(
	void *arg, uint64_t offset, const char *chain, struct error *err)
{
	struct fill *fill = arg;
	int percent = (int)(offset * 99 / fill->size);

	return work_sure(fill->work,
		store_source_checkpoint(
			fill->work->db, fill->op, (int64_t)offset, chain, percent, err),
		err);
}

static int copy_bytes(struct fill *fill, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	const struct settings *settings = fill->work->settings;
	struct copy_options options = {
		.size = fill->size,
		.start = (uint64_t)fill->from.checkpoint,
		/* A second epoch may have written above the checkpoint. */
		.target_is_new = epoch_number(fill->op->epoch) == 1,
		.checkpoint_bytes = (uint64_t)settings->checkpoint_bytes,
		.checkpoint_seconds = settings->checkpoint_seconds,
		.rate_limit =
			(uint64_t)backend_copy_limit(backend_settings_of(fill->source)),
		.on_progress = on_progress,
		.on_checkpoint = on_checkpoint,
		.arg = fill,
	};
	struct copy_result result = { 0 };

	snprintf(options.chain_start, sizeof(options.chain_start), "%s",
		fill->from.digest);
	if (copy_run(source, target, &options, &result, err) < 0)
		return -1;
	log_info("object filled operation=%s route=copy copied=%llu seconds=%.3f",
		fill->op->id, (unsigned long long)result.copied, result.seconds);
	return 0;
}

/* 1 cloned, 0 the storage cannot. What is repeated after a crash is of a later moment, but
 * nobody was told of the first one. */
static int clone_object(struct fill *fill, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	int cloned;

	if (fill->from.copies || !backend_same_storage(fill->source, fill->target))
		return 0;
	cloned = backend_clone(fill->target, source, target, err);
	if (cloned > 0)
		log_info("object filled operation=%s route=driver", fill->op->id);
	return cloned < 0 || fault_point("fill.cloned", err) < 0 ? -1 : cloned;
}

static int fill_object(
	struct fill *fill, const struct object_row *object, struct error *err)
{
	struct endpoint source, target;
	struct work *work = fill->work;
	int cloned;

	if (endpoint_of(fill->source, &fill->source_object, &source, err) < 0 ||
		endpoint_of(fill->target, object, &target, err) < 0)
		return -1;
	cloned = clone_object(fill, &source, &target, err);
	if (cloned != 0)
		return cloned < 0 ? -1 : 0;
	if (!fill->from.copies &&
		work_sure(work, store_source_copy(work->db, fill->op, &fill->from, err),
			err) < 0)
		return -1;
	if (fault_point("fill.copying", err) < 0)
		return -1;
	return copy_bytes(fill, &source, &target, err);
}

/* Where its source is, so that the storage can clone. */
static void choose_place(struct fill *fill)
{
	struct object_id id;

	snprintf(id.text, sizeof(id.text), "%s", fill->source_object.identity);
	if (fill->source == fill->target)
		backend_place_near(fill->target, &id);
}

int work_make_filled(struct work *work, struct backend *backend,
	const struct operation *op, object_namer namer, const char *name_id,
	uint64_t size, struct object_row *out, struct error *err)
{
	AUTO(work_unlock) struct work_lock lock = { .fd = -1 };
	AUTO(fill_clear)
	struct fill fill = { .work = work, .op = op, .target = backend };
	int has_source;

	memset(out, 0, sizeof(*out));
	if (namer(backend_settings_of(backend), name_id, out->name, sizeof(out->name),
		    err) < 0 ||
		work_lock_object(work, name_id, &lock, err) < 0)
		return -1;
	has_source =
		work_sure(work, store_source_get(work->db, op, &fill.from, err), err);
	if (has_source < 0 || (has_source && find_source(&fill, err) < 0))
		return -1;
	if (has_source)
		choose_place(&fill);
	if (fill.size > size)
		size = fill.size;
	if (work_make_locked(work, backend, op, name_id, size, out, err) < 0)
		return -1;
	if (!has_source)
		return 0;
	return fault_point("fill.made", err) < 0 ? -1 : fill_object(&fill, out, err);
}
