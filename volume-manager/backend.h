/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - a storage backend, as workers and the manager see it, and what a driver is.
 *
 * backend.c stands between the callers and the drivers: it checks names, sizes and
 * identities, fills the gaps of optional calls, and is the only caller of a driver.
 * Blocking, one thread. The manager's loop calls backend_stats only; all else runs in
 * workers.
 *
 * An object (the volume's bytes on the backend) has a name and an identity. The identity
 * is given by the storage when the object is made (inode and birth time, LV uuid) and
 * survives renames; an object of the right name and another identity is never written,
 * renamed or removed.
 */
#ifndef VOLUME_MANAGER_BACKEND_H
#define VOLUME_MANAGER_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/settings.h"
#include "copy/copy.h"

/* Text without spaces, chosen by the driver; empty: not known yet. */
struct object_id {
	char text[128];
};

/* The same object? A part ("btime:...") that only one of them has does not count: the kernel
 * or a mount option decides what a file system tells. Never use strcmp(). */
bool object_id_is_same(const struct object_id *a, const struct object_id *b);

struct backend_stats {
	uint64_t total_bytes, free_bytes;
	bool thin; /* objects take space only as they are written */
	char location[128]; /* two backends with equal location share storage */
};

/* Called by create when the object has an identity but not yet its final name: the
 * caller writes the identity down. -1: create undoes its work and fails. */
typedef int (*object_record)(void *arg, const struct object_id *id, struct error *err);

struct backend_driver {
	const char *name; /* "file", as in volume_driver */
	const char *const
		*aliases; /* class paths of Cinder, NULL-terminated; may be NULL */

	/* Required. 0, or -1 with *err set; sizes in bytes. */
	int (*open)(const struct backend_settings *settings, void **state,
		struct error *err); /* checks that the storage is there and usable */
	void (*close)(void *state);
	int (*stats)(void *state, struct backend_stats *out, struct error *err);
	/* Make an object that reads as zeroes, durable before it gets its name. Leftovers
	 * of an earlier attempt under the driver's temporary name for this object are
	 * removed first. ERR_EXISTS when an object of that name is there. */
	int (*create)(void *state, const char *name, uint64_t size,
		object_record record, void *arg, struct object_id *id,
		struct error *err);
	/* 1 and the identity and size when the object is there, 0 when not. known, when
	 * not NULL, is the identity it should have: it may tell where to look. */
	int (*find)(void *state, const char *name, const struct object_id *known,
		struct object_id *id, uint64_t *size, struct error *err);
	/* Give the object of this identity another name, durably; never over an existing
	 * one. ERR_NOT_FOUND, ERR_EXISTS. */
	int (*rename)(void *state, const char *name, const struct object_id *id,
		const char *new_name, struct error *err);
	/* Remove it, durably. ERR_NOT_FOUND when it is not there. */
	int (*remove)(void *state, const char *name, const struct object_id *id,
		struct error *err);
	int (*endpoint)(void *state, const char *name, const struct object_id *id,
		struct endpoint *out, struct error *err);
	/* Remove what an unfinished create of this name left under its temporary name. id,
	 * when not NULL, is what the finished object has. */
	int (*forget)(void *state, const char *name, const struct object_id *id,
		struct error *err);

	/* Optional, for drivers whose storage has several places: the one that this
	 * object is in, as provider_location has it. NULL: nothing is written there. */
	int (*location)(void *state, const struct object_id *id, char *out, size_t size,
		struct error *err);
	/* Optional. From now on objects of unknown identity are looked for there only. */
	int (*look_in)(void *state, const char *location, struct error *err);
	/* Optional. From now on new objects are made where this one is, while there is room:
	 * they are to be clones of it. */
	void (*place_near)(void *state, const struct object_id *id);
	/* Optional. Make target's content source's, as it is in one moment, without copying
	 * bytes; both exist, and target is as large as source at least: what is above
	 * source's size stays. Durable. 1 done, 0 this storage cannot (then bytes are
	 * copied), -1. NULL: cannot. */
	int (*clone)(void *state, const struct endpoint *source,
		const struct endpoint *target, struct error *err);
	/* Optional. Give the object at least this size, durably; what is new reads as
	 * zeroes. One that is as large already stays as it is. ERR_NOT_FOUND.
	 * NULL: objects of this storage cannot grow. */
	int (*grow)(void *state, const char *name, const struct object_id *id,
		uint64_t size, struct error *err);
};

extern const struct backend_driver file_driver;
extern const struct backend_driver nfs_driver;
/* All drivers, ends with NULL; and their names and aliases, for settings_backends(). */
extern const struct backend_driver *const backend_drivers[];
const char *const *backend_driver_names(void);

struct backend;

/* settings are borrowed and must outlive the backend. */
int backend_open(const struct backend_settings *settings, struct backend **out,
	struct error *err);
void backend_close(struct backend *backend);
DEFINE_AUTO(struct backend *, backend_close)

const struct backend_settings *backend_settings_of(const struct backend *backend);
int backend_stats(
	struct backend *backend, struct backend_stats *out, struct error *err);
/* The object name of a volume: volume_name_template of its name id, checked; that of a
 * snapshot: snapshot_name_template of its id. */
int backend_object_name(const struct backend_settings *settings, const char *name_id,
	char *out, size_t size, struct error *err);
int backend_snapshot_name(const struct backend_settings *settings, const char *id,
	char *out, size_t size, struct error *err);

/* Make name, or find that it was made before: when known is not empty and the object of
 * that name has this identity and at least this size, nothing is done. When known is
 * empty an existing object is somebody else's: ERR_EXISTS. */
int backend_create(struct backend *backend, const char *name, uint64_t size,
	const struct object_id *known, object_record record, void *arg,
	struct object_id *id, struct error *err);
/* 1 there, 0 not. An object with another identity than *known (when not empty) counts as
 * ERR_EXISTS. size may be NULL. */
int backend_find(struct backend *backend, const char *name,
	const struct object_id *known, struct object_id *id, uint64_t *size,
	struct error *err);
/* Rename / remove by identity. 1 done, 0 it was not there (any more). An object of that
 * name with another identity is left alone: ERR_EXISTS, unless trash_name is ours. */
int backend_retire(struct backend *backend, const char *name,
	const struct object_id *id, const char *trash_name, struct error *err);
int backend_remove(struct backend *backend, const char *name,
	const struct object_id *id, struct error *err);
int backend_endpoint(struct backend *backend, const char *name,
	const struct object_id *id, struct endpoint *out, struct error *err);
/* What provider_location says of the object; empty for most drivers. */
int backend_location(struct backend *backend, const struct object_id *id, char *out,
	size_t size, struct error *err);
/* Objects of unknown identity are there (provider_location of their row; may be empty). */
int backend_look_in(struct backend *backend, const char *location, struct error *err);
/* New objects are made in the place of this one if there is room. */
void backend_place_near(struct backend *backend, const struct object_id *id);
int backend_forget(struct backend *backend, const char *name,
	const struct object_id *id, struct error *err);
/* Do both keep their objects on one storage, so that one can be cloned to the other? */
bool backend_same_storage(struct backend *a, struct backend *b);
/* ERR_NOT_SUPPORTED when objects of this driver cannot grow. */
int backend_grow(struct backend *backend, const char *name, const struct object_id *id,
	uint64_t size, struct error *err);
/* 1 cloned, 0 cannot. */
int backend_clone(struct backend *backend, const struct endpoint *source,
	const struct endpoint *target, struct error *err);

#endif
