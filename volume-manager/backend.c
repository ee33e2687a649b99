/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/backend.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

#define SIZE_UNIT 512
#define SIZE_LIMIT ((uint64_t)1 << 62)

struct backend {
	const struct backend_settings *settings;
	const struct backend_driver *driver;
	void *state; /* the driver's; NULL when not open */
};

/* What the caller of backend_create wants called, behind our own check. */
struct recorder {
	object_record record; /* may be NULL */
	void *arg;
};

static bool driver_has_name(const struct backend_driver *driver, const char *name)
{
	if (strcmp(driver->name, name) == 0)
		return true;
	for (const char *const *alias = driver->aliases; alias && *alias; alias++)
		if (strcmp(*alias, name) == 0)
			return true;
	return false;
}

static const struct backend_driver *find_driver(const char *name)
{
	for (size_t i = 0; backend_drivers[i]; i++)
		if (driver_has_name(backend_drivers[i], name))
			return backend_drivers[i];
	return NULL;
}

int backend_open(const struct backend_settings *settings, struct backend **out,
	struct error *err)
{
	AUTO(backend_close) struct backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return error_no_memory(err);
	backend->settings = settings;
	backend->driver =
		settings->volume_driver ? find_driver(settings->volume_driver) : NULL;
	if (!backend->driver)
		return error_set(err, ERR_CONFIG,
			"backend '%s' has an unknown volume_driver '%s'",
			settings->name,
			settings->volume_driver ? settings->volume_driver : "");
	if (backend->driver->open(settings, &backend->state, err) < 0)
		return -1;
	assert(backend->state);
	*out = steal(backend);
	return 0;
}

void backend_close(struct backend *backend)
{
	if (!backend)
		return;
	if (backend->state)
		backend->driver->close(backend->state);
	free(backend);
}

const struct backend_settings *backend_settings_of(const struct backend *backend)
{
	return backend->settings;
}

int backend_stats(struct backend *backend, struct backend_stats *out, struct error *err)
{
	struct backend_stats stats = { 0 };

	if (backend->driver->stats(backend->state, &stats, err) < 0)
		return -1;
	assert(memchr(stats.location, '\0', sizeof(stats.location)));
	assert(stats.location[0]);
	if (stats.free_bytes > stats.total_bytes)
		stats.free_bytes = stats.total_bytes;
	*out = stats;
	return 0;
}

static int check_name(const char *name, struct error *err)
{
	if (!name || !name_is_safe(name) || name[0] == '.')
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' cannot be the name of a volume's object",
			name ? name : "");
	return 0;
}

/* option: how the configuration calls the template. */
static int name_from(const struct backend_settings *settings, const char *option,
	const char *template, const char *id, char *out, size_t size, struct error *err)
{
	const char *place = template ? strstr(template, "%s") : NULL;
	int used;

	if (!place || strchr(template, '%') != place || strchr(place + 1, '%'))
		return error_set(err, ERR_CONFIG,
			"%s '%s' of backend '%s' needs exactly one '%%s'", option,
			template ? template : "", settings->name);
	if (check_name(id, err) < 0)
		return -1;
	used = snprintf(out, size, "%.*s%s%s", (int)(place - template), template, id,
		place + 2);
	if (used < 0 || (size_t)used >= size)
		return error_set(err, ERR_INVALID_INPUT,
			"the object name of '%s' is too long", id);
	return check_name(out, err);
}

int backend_object_name(const struct backend_settings *settings, const char *name_id,
	char *out, size_t size, struct error *err)
{
	return name_from(settings, "volume_name_template",
		settings->volume_name_template, name_id, out, size, err);
}

int backend_snapshot_name(const struct backend_settings *settings, const char *id,
	char *out, size_t size, struct error *err)
{
	return name_from(settings, "snapshot_name_template",
		settings->snapshot_name_template, id, out, size, err);
}

static int check_size(uint64_t size, struct error *err)
{
	if (size == 0 || size % SIZE_UNIT != 0 || size >= SIZE_LIMIT)
		return error_set(err, ERR_INVALID_INPUT,
			"%" PRIu64 " bytes cannot be the size of a volume", size);
	return 0;
}

/* Identities also come from rows. */
static int check_id(const struct object_id *id, struct error *err)
{
	if (!memchr(id->text, '\0', sizeof(id->text)) || id->text[0] == '\0')
		return error_set(err, ERR_INVALID_INPUT,
			"an object can be touched by its identity only, and it has "
			"none");
	return 0;
}

static void assert_id(const struct object_id *id)
{
	assert(memchr(id->text, '\0', sizeof(id->text)));
	assert(id->text[0] && !strchr(id->text, ' '));
}

static int driver_find(struct backend *backend, const char *name,
	const struct object_id *known, struct object_id *id, uint64_t *size,
	struct error *err)
{
	int there;

	if (known && !known->text[0])
		known = NULL;
	there = backend->driver->find(backend->state, name, known, id, size, err);

	assert(there >= -1 && there <= 1);
	if (there == 1)
		assert_id(id);
	return there;
}

static int is_not_ours(struct backend *backend, const char *name, struct error *err)
{
	return error_set(err, ERR_EXISTS,
		"an object '%s' that is not this volume's exists on backend '%s'", name,
		backend->settings->name);
}

int backend_find(struct backend *backend, const char *name,
	const struct object_id *known, struct object_id *id, uint64_t *size,
	struct error *err)
{
	struct object_id found;
	uint64_t found_size = 0;
	int there;

	if (check_name(name, err) < 0)
		return -1;
	there = driver_find(backend, name, known, &found, &found_size, err);
	if (there <= 0)
		return there;
	if (known && known->text[0] && !object_id_is_same(&found, known))
		return is_not_ours(backend, name, err);
	*id = found;
	if (size)
		*size = found_size;
	return 1;
}

static int call_record(void *arg, const struct object_id *id, struct error *err)
{
	const struct recorder *recorder = arg;

	assert_id(id);
	if (!recorder->record)
		return 0;
	return recorder->record(recorder->arg, id, err);
}

/* There is an object of that name: was it made by an earlier attempt of ours? */
static int accept(struct backend *backend, const char *name, uint64_t size,
	const struct object_id *known, const struct object_id *found,
	uint64_t found_size, struct error *err)
{
	if (!known || !known->text[0] || !object_id_is_same(found, known))
		return is_not_ours(backend, name, err);
	if (found_size < size)
		return error_set(err, ERR_BACKEND,
			"object '%s' on backend '%s' has %" PRIu64
			" bytes, fewer than the %" PRIu64 " it was made with",
			name, backend->settings->name, found_size, size);
	return backend->driver->forget(backend->state, name, found, err);
}

int backend_create(struct backend *backend, const char *name, uint64_t size,
	const struct object_id *known, object_record record, void *arg,
	struct object_id *id, struct error *err)
{
	struct recorder recorder = { record, arg };
	struct object_id made = { "" };
	uint64_t made_size = 0;
	int there = 0;

	if (check_name(name, err) < 0 || check_size(size, err) < 0)
		return -1;
	if (known && known->text[0])
		there = driver_find(backend, name, known, &made, &made_size, err);
	if (there < 0)
		return -1;
	if (there == 1 && accept(backend, name, size, known, &made, made_size, err) < 0)
		return -1;
	/* A known identity without an object: a crash before it got its name. The driver
	 * removes what was left under the temporary name, and records the new identity. */
	if (there == 0 &&
		backend->driver->create(backend->state, name, size, call_record,
			&recorder, &made, err) < 0)
		return err && err->code == ERR_EXISTS ? is_not_ours(backend, name, err)
						      : -1;
	assert_id(&made);
	*id = made;
	return 0;
}

/* 0, as the object is not there. Where another one has its name nobody can say what became
 * of it: that is not for us to forget. */
static int report_absent(struct backend *backend, const char *name,
	const struct object_id *id, struct error *err)
{
	struct object_id found;
	uint64_t size;
	int there = driver_find(backend, name, id, &found, &size, err);

	if (there < 0)
		return -1;
	if (there == 1)
		return error_set(err, ERR_EXISTS,
			"'%s' on backend '%s' is another object (%s, not %s): it is "
			"left alone",
			name, backend->settings->name, found.text, id->text);
	error_clear(err);
	return 0;
}

/* 1 when an earlier attempt has renamed it, 0 when not. */
static int was_renamed(struct backend *backend, const char *trash_name,
	const struct object_id *id, struct error *err)
{
	struct object_id found;
	uint64_t size;
	int there = driver_find(backend, trash_name, id, &found, &size, err);

	return there <= 0 ? there : object_id_is_same(&found, id);
}

static bool is_not_found(const struct error *err)
{
	return err->code == ERR_NOT_FOUND;
}

int backend_retire(struct backend *backend, const char *name,
	const struct object_id *id, const char *trash_name, struct error *err)
{
	struct error local;
	int renamed;

	err = err ? err : &local;
	if (check_name(name, err) < 0 || check_name(trash_name, err) < 0 ||
		check_id(id, err) < 0)
		return -1;
	if (backend->driver->rename(backend->state, name, id, trash_name, err) == 0)
		return 1;
	if (!is_not_found(err))
		return -1;
	renamed = was_renamed(backend, trash_name, id, err);
	if (renamed != 0)
		return renamed < 0 ? -1 : 0;
	return report_absent(backend, name, id, err);
}

int backend_remove(struct backend *backend, const char *name,
	const struct object_id *id, struct error *err)
{
	struct error local;

	err = err ? err : &local;
	if (check_name(name, err) < 0 || check_id(id, err) < 0)
		return -1;
	if (backend->driver->remove(backend->state, name, id, err) == 0)
		return 1;
	if (is_not_found(err))
		return report_absent(backend, name, id, err);
	return -1;
}

int backend_endpoint(struct backend *backend, const char *name,
	const struct object_id *id, struct endpoint *out, struct error *err)
{
	struct endpoint end = { 0 };

	if (check_name(name, err) < 0 || check_id(id, err) < 0)
		return -1;
	if (backend->driver->endpoint(backend->state, name, id, &end, err) < 0)
		return -1;
	assert(end.path[0] == '/' && memchr(end.path, '\0', sizeof(end.path)));
	*out = end;
	return 0;
}

int backend_location(struct backend *backend, const struct object_id *id, char *out,
	size_t size, struct error *err)
{
	assert(size > 0);
	out[0] = '\0';
	if (check_id(id, err) < 0)
		return -1;
	if (!backend->driver->location)
		return 0;
	return backend->driver->location(backend->state, id, out, size, err);
}

int backend_look_in(struct backend *backend, const char *location, struct error *err)
{
	if (!location[0] || !backend->driver->look_in)
		return 0;
	return backend->driver->look_in(backend->state, location, err);
}

void backend_place_near(struct backend *backend, const struct object_id *id)
{
	if (backend->driver->place_near && check_id(id, NULL) == 0)
		backend->driver->place_near(backend->state, id);
}

int backend_forget(struct backend *backend, const char *name,
	const struct object_id *id, struct error *err)
{
	if (check_name(name, err) < 0)
		return -1;
	if (id && !id->text[0])
		id = NULL;
	return backend->driver->forget(backend->state, name, id, err);
}

bool backend_same_storage(struct backend *a, struct backend *b)
{
	struct backend_stats one, two;

	if (a == b)
		return true;
	return backend_stats(a, &one, NULL) == 0 && backend_stats(b, &two, NULL) == 0 &&
		strcmp(one.location, two.location) == 0;
}

int backend_grow(struct backend *backend, const char *name, const struct object_id *id,
	uint64_t size, struct error *err)
{
	if (check_name(name, err) < 0 || check_id(id, err) < 0 ||
		check_size(size, err) < 0)
		return -1;
	if (!backend->driver->grow)
		return error_set(err, ERR_NOT_SUPPORTED,
			"objects of backend '%s' cannot grow", backend->settings->name);
	return backend->driver->grow(backend->state, name, id, size, err);
}

int backend_clone(struct backend *backend, const struct endpoint *source,
	const struct endpoint *target, struct error *err)
{
	int cloned;

	if (!backend->driver->clone)
		return 0;
	cloned = backend->driver->clone(backend->state, source, target, err);
	assert(cloned >= -1 && cloned <= 1);
	return cloned;
}
