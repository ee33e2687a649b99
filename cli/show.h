/* SPDX-License-Identifier: Apache-2.0 */
/* show.h - volumes and migrations, as a table or as JSON. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/cli.h"
#include "common/store/migrations.h"

/* The properties of a volume as 'cinder show' has them, or with --json as one document;
 * and why its last migration failed, if it did. */
int show_volume(struct cli *cli, const struct volume *volume, struct error *err);
/* The part that the row alone knows; the caller's. */
struct json_object *show_volume_json(const struct volume *volume);

/* Everything about a migration; the caller's. */
struct json_object *show_migration_json(const struct migration *m);

/* What is to be shown of its phase: "paused" while it stands still. */
const char *show_phase(const struct migration *m);
/* Of its limit: "1.0 MiB/s", "none", "default". */
#define LIMIT_TEXT_SIZE (SIZE_TEXT_SIZE + 8)
const char *show_limit(char out[LIMIT_TEXT_SIZE], const struct migration *m);

/* "43%" of what is to be copied, at most 100. */
int show_percent(const struct migration *m);

#endif
