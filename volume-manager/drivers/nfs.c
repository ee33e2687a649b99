/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as raw files in NFS shares, laid out as Cinder's NfsDriver does, each share by
 * driver file.
 *
 * An identity begins with the MD5 of the share's name, and then is driver file's: it tells
 * where the object is, so that a share that does not answer hinders only its own objects.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/log.h"
#include "volume-manager/backend.h"
#include "volume-manager/drivers/file.h"
#include "volume-manager/drivers/mount.h"
#include "volume-manager/drivers/nfs.h"

#define DIGEST (MD5_TEXT_SIZE - 1)

/* ---- places ---- */

static int place_init(const struct nfs *nfs, struct place *place, struct error *err)
{
	const char *name = place->share.name;

	md5_text(name, strlen(name), place->digest);
	return nfs_mount_point(nfs->settings, name, place->point, err);
}

static void nfs_close(void *state)
{
	struct nfs *nfs = state;

	for (size_t i = 0; nfs->places && i <= nfs->count; i++)
		place_close(&nfs->places[i]);
	free(nfs->places);
	free(nfs);
}
DEFINE_AUTO(struct nfs *, nfs_close)

/* What the base's path leads to is known when it is there. */
static void make_base(const struct backend_settings *settings)
{
	char base[PATH_MAX];

	if (nfs_mount_base(settings, base, NULL) == 0)
		mount_make_point(base, NULL);
}

/* No share is looked at yet: a worker needs one of them, and another may hang. */
static int nfs_open(
	const struct backend_settings *settings, void **state, struct error *err)
{
	AUTO(nfs_close) struct nfs *nfs = calloc(1, sizeof(*nfs));
	AUTO(nfs_shares_clear) struct nfs_shares shares = { 0 };

	if (!nfs)
		return error_no_memory(err);
	nfs->settings = settings;
	if (settings->nfs_qcow2_volumes)
		return error_set(err, ERR_CONFIG,
			"backend '%s': nfs_qcow2_volumes: only raw volumes are made",
			settings->name);
	if (nfs_shares_load(settings, &shares, err) < 0)
		return -1;
	nfs->places = calloc(shares.count + 1, sizeof(*nfs->places));
	if (!nfs->places)
		return error_no_memory(err);
	nfs->count = shares.count;
	make_base(settings);
	for (size_t i = 0; i < shares.count; i++) {
		nfs->places[i].share = shares.list[i];
		nfs->places[i].configured = true;
		if (place_init(nfs, &nfs->places[i], err) < 0)
			return -1;
	}
	*state = steal(nfs);
	return 0;
}

/* The place behind the configured ones is for a share that is not configured (any more):
 * used when it is mounted. */
static int take_spare(struct nfs *nfs, const char *name, const char *digest,
	struct place **out, struct error *err)
{
	struct place *spare = &nfs->places[nfs->count];
	char base[PATH_MAX];

	if (strcmp(spare->digest, digest) == 0) {
		*out = spare;
		return 0;
	}
	if (nfs->only == spare)
		nfs->only = NULL;
	place_close(spare);
	memset(spare, 0, sizeof(*spare));
	if (nfs_mount_base(nfs->settings, base, err) < 0)
		return -1;
	snprintf(spare->share.name, sizeof(spare->share.name), "%s", name);
	snprintf(spare->digest, sizeof(spare->digest), "%s", digest);
	if (snprintf(spare->point, sizeof(spare->point), "%s/%s", base, digest) >=
		(int)sizeof(spare->point))
		return error_set(err, ERR_CONFIG, "nfs_mount_point_base is too long");
	*out = spare;
	return 0;
}

static bool is_hex(const char *text, size_t size)
{
	return strspn(text, "0123456789abcdef") >= size;
}

/* The place of an identity, open, and driver file's part of it. */
static int place_of(struct nfs *nfs, const struct object_id *id, struct place **out,
	struct object_id *rest, struct error *err)
{
	char digest[MD5_TEXT_SIZE];
	struct place *place = NULL;

	if (strlen(id->text) <= DIGEST + 1 || id->text[DIGEST] != ',' ||
		!is_hex(id->text, DIGEST))
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' is not an identity of driver nfs", id->text);
	snprintf(digest, sizeof(digest), "%.32s", id->text);
	snprintf(rest->text, sizeof(rest->text), "%s", id->text + DIGEST + 1);
	for (size_t i = 0; !place && i < nfs->count; i++)
		if (strcmp(nfs->places[i].digest, digest) == 0)
			place = &nfs->places[i];
	if (!place && take_spare(nfs, "", digest, &place, err) < 0)
		return -1;
	*out = place;
	return place_open(nfs->settings, place, err);
}

static int whole_id(const struct place *place, const struct object_id *part,
	struct object_id *out, struct error *err)
{
	if (strlen(part->text) + DIGEST + 2 > sizeof(out->text))
		return error_set(
			err, ERR_INTERNAL, "identity '%s' is too long", part->text);
	snprintf(out->text, sizeof(out->text), "%s,%.94s", place->digest, part->text);
	return 0;
}

static int nfs_look_in(void *state, const char *location, struct error *err)
{
	struct nfs *nfs = state;
	char digest[MD5_TEXT_SIZE];
	struct place *spare;

	nfs->only = NULL;
	for (size_t i = 0; i < nfs->count; i++)
		if (strcmp(nfs->places[i].share.name, location) == 0)
			nfs->only = &nfs->places[i];
	if (nfs->only)
		return 0;
	if (!nfs_share_is_safe(location))
		return error_set(err, ERR_INVALID_INPUT,
			"provider_location '%.255s' is not a share of the form "
			"server:/path",
			location);
	md5_text(location, strlen(location), digest);
	if (take_spare(nfs, location, digest, &spare, err) < 0)
		return -1;
	nfs->only = spare;
	return 0;
}

static int nfs_location(void *state, const struct object_id *id, char *out, size_t size,
	struct error *err)
{
	struct object_id rest;
	struct place *place;

	if (place_of(state, id, &place, &rest, err) < 0)
		return -1;
	snprintf(out, size, "%s", place->share.name);
	return 0;
}

/* ---- objects ---- */

struct recorder {
	const struct place *place;
	object_record record; /* may be NULL */
	void *arg;
};

static int record_whole(void *arg, const struct object_id *id, struct error *err)
{
	const struct recorder *recorder = arg;
	struct object_id whole;

	if (whole_id(recorder->place, id, &whole, err) < 0)
		return -1;
	return recorder->record ? recorder->record(recorder->arg, &whole, err) : 0;
}

/* An earlier attempt may have chosen another share, and an object of that name may be in
 * one; as far as they can be seen now. */
static int clear_elsewhere(struct nfs *nfs, const struct place *chosen,
	const char *name, struct error *err)
{
	for (size_t i = 0; i < nfs->count; i++) {
		void *files = nfs->places[i].files;
		struct object_id found;
		uint64_t size;
		int there;

		if (!files || &nfs->places[i] == chosen)
			continue;
		there = file_driver.find(files, name, NULL, &found, &size, err);
		if (there > 0)
			return error_set(err, ERR_EXISTS,
				"'%s' exists already in share '%s'", name,
				nfs->places[i].share.name);
		if (there < 0 || file_driver.forget(files, name, NULL, err) < 0)
			return -1;
	}
	return 0;
}

static int set_mode(struct nfs *nfs, struct place *chosen, struct error *err)
{
	struct place *first = chosen;
	mode_t mode;

	for (size_t i = nfs->count; i > 0; i--)
		if (nfs->places[i - 1].files)
			first = &nfs->places[i - 1];
	if (place_mode(nfs->settings, first, &mode, err) < 0)
		return -1;
	file_set_mode(chosen->files, mode);
	return 0;
}

/* Within one share the server can clone. */
static void nfs_place_near(void *state, const struct object_id *id)
{
	struct nfs *nfs = state;

	nfs->near = NULL;
	for (size_t i = 0; i < nfs->count; i++)
		if (strncmp(nfs->places[i].digest, id->text, DIGEST) == 0)
			nfs->near = &nfs->places[i];
}

static int nfs_create(void *state, const char *name, uint64_t size,
	object_record record, void *arg, struct object_id *id, struct error *err)
{
	struct nfs *nfs = state;
	struct recorder recorder = { NULL, record, arg };
	struct object_id part;
	struct place *place;

	if (nfs_choose(nfs, size, &place, err) < 0 || set_mode(nfs, place, err) < 0 ||
		clear_elsewhere(nfs, place, name, err) < 0)
		return -1;
	recorder.place = place;
	if (file_driver.create(
		    place->files, name, size, record_whole, &recorder, &part, err) < 0)
		return -1;
	return whole_id(place, &part, id, err);
}

static int find_in(struct nfs *nfs, struct place *place, const char *name,
	struct object_id *id, uint64_t *size, struct error *err)
{
	struct object_id part;
	int there;

	if (place_open(nfs->settings, place, err) < 0)
		return -1;
	there = file_driver.find(place->files, name, NULL, &part, size, err);
	if (there <= 0)
		return there;
	return whole_id(place, &part, id, err) < 0 ? -1 : 1;
}

/* In all shares: that it is in none can be said only when all were looked at. */
static int find_anywhere(struct nfs *nfs, const char *name, struct object_id *id,
	uint64_t *size, struct error *err)
{
	struct error why = { .code = ERR_NONE };
	struct object_id found;
	uint64_t found_size;
	unsigned count = 0;

	for (size_t i = 0; i < nfs->count; i++) {
		int there =
			find_in(nfs, &nfs->places[i], name, &found, &found_size, &why);

		if (there <= 0)
			continue;
		*id = found;
		*size = found_size;
		count++;
	}
	if (count > 1)
		return error_set(err, ERR_AMBIGUOUS,
			"'%s' is in %u shares of backend '%s'", name, count,
			nfs->settings->name);
	if (count == 0 && why.code) {
		if (err)
			*err = why;
		return -1;
	}
	return (int)count;
}

static int nfs_find(void *state, const char *name, const struct object_id *known,
	struct object_id *id, uint64_t *size, struct error *err)
{
	struct nfs *nfs = state;
	struct object_id rest;
	struct place *place = nfs->only;

	if (known && place_of(nfs, known, &place, &rest, err) < 0)
		return -1;
	if (place)
		return find_in(nfs, place, name, id, size, err);
	return find_anywhere(nfs, name, id, size, err);
}

static int nfs_rename(void *state, const char *name, const struct object_id *id,
	const char *new_name, struct error *err)
{
	struct object_id part;
	struct place *place;

	if (place_of(state, id, &place, &part, err) < 0)
		return -1;
	return file_driver.rename(place->files, name, &part, new_name, err);
}

static int nfs_remove(
	void *state, const char *name, const struct object_id *id, struct error *err)
{
	struct object_id part;
	struct place *place;

	if (place_of(state, id, &place, &part, err) < 0)
		return -1;
	return file_driver.remove(place->files, name, &part, err);
}

static int nfs_endpoint(void *state, const char *name, const struct object_id *id,
	struct endpoint *out, struct error *err)
{
	struct object_id part;
	struct place *place;

	if (place_of(state, id, &place, &part, err) < 0 ||
		place_check_newest(place, name, err) < 0)
		return -1;
	return file_driver.endpoint(place->files, name, &part, out, err);
}

static int nfs_forget(
	void *state, const char *name, const struct object_id *id, struct error *err)
{
	struct nfs *nfs = state;
	struct object_id part;
	struct place *place;

	if (id) {
		if (place_of(nfs, id, &place, &part, err) < 0)
			return -1;
		return file_driver.forget(place->files, name, &part, err);
	}
	for (size_t i = 0; i < nfs->count; i++)
		if (place_open(nfs->settings, &nfs->places[i], err) < 0 ||
			file_driver.forget(nfs->places[i].files, name, NULL, err) < 0)
			return -1;
	return 0;
}

static int nfs_clone(void *state, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	return file_driver.clone(state, source, target, err);
}

static int nfs_grow(void *state, const char *name, const struct object_id *id,
	uint64_t size, struct error *err)
{
	struct object_id part;
	struct place *place;

	if (place_of(state, id, &place, &part, err) < 0 ||
		place_check_newest(place, name, err) < 0)
		return -1;
	return file_driver.grow(place->files, name, &part, size, err);
}

const struct backend_driver nfs_driver = {
	.name = "nfs",
	.open = nfs_open,
	.close = nfs_close,
	.stats = nfs_stats,
	.create = nfs_create,
	.find = nfs_find,
	.rename = nfs_rename,
	.remove = nfs_remove,
	.endpoint = nfs_endpoint,
	.forget = nfs_forget,
	.location = nfs_location,
	.look_in = nfs_look_in,
	.place_near = nfs_place_near,
	.clone = nfs_clone,
	.grow = nfs_grow,
};
