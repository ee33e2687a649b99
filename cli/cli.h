/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - what the verbs share: configuration, database, broker, output.
 *
 * Each is opened when a verb first needs it. Standard output belongs to the verbs, one
 * sentence on standard error to main(). A code of the error decides the exit status.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"
#include "common/db.h"
#include "common/error.h"
#include "common/json.h"
#include "common/rpc.h"
#include "common/settings.h"
#include "common/store/volumes.h"
#include "common/text.h"

struct cli {
	struct options options;
	const char *const *words; /* arguments of the verb, ends with NULL */
	struct settings *settings;
	struct db *db;
	struct rpc_client *rpc;
};
void cli_clear(struct cli *cli);

bool cli_has(const struct cli *cli, enum option_id id);
int cli_settings(struct cli *cli, struct error *err);
int cli_database(struct cli *cli, struct error *err);
int cli_broker(struct cli *cli, struct error *err);

/* Send to any scheduler. ERR_UNROUTABLE says that none is running. */
int cli_cast(struct cli *cli, const char *method, const char *version,
	const char *request_id, struct json_object *args, struct error *err);

/* The volume of an argument: id or name. ERR_VOLUME_NOT_FOUND, ERR_AMBIGUOUS. */
int cli_volume(
	struct cli *cli, const char *id_or_name, struct volume *out, struct error *err);
/* What people call it: its name, otherwise its id. Borrowed from volume. */
const char *volume_label(const struct volume *volume);

#define REQUEST_TEXT_SIZE (UUID_TEXT_SIZE + 4)
void request_id_make(char out[REQUEST_TEXT_SIZE]); /* "req-<uuid>" */

/* One line on standard output, made printable, and seen at once. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One JSON document on standard output; document is taken over. */
void cli_json(struct json_object *document);

/* Wait for a notification from the database, at most so long. */
void cli_pause(struct cli *cli, double seconds);

/* SIGINT ends a wait, not the program: cli_interrupted() becomes true. */
void cli_catch_interrupt(void);
bool cli_interrupted(void);

#endif
