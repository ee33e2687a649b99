/* SPDX-License-Identifier: Apache-2.0 */
/* versioned.h - what the casts to the scheduler carry, as cinder-api writes it. */
#ifndef CLI_VERSIONED_H
#define CLI_VERSIONED_H

#include "common/json.h"
#include "common/store/details.h"
#include "common/store/volumes.h"

/* Each is the caller's; volume is borrowed. Fields that the row here does not carry are
 * left out, so that a peer loads them from the database. */

/* The versioned object Volume 1.9. */
struct json_object *versioned_volume(const struct volume *volume);

/* Arguments of create_volume 3.0. target: host@backend#pool or NULL. */
struct json_object *versioned_create(const struct volume *volume, const char *target);

/* Arguments of migrate_volume 3.3. target may be NULL: the best. specs, spec_count: the
 * extra specs of the volume's type. */
struct json_object *versioned_migrate(const struct volume *volume, const char *target,
	bool force_copy, const struct detail *specs, int spec_count);

#endif
