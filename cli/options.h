/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the command line, taken apart.
 *
 * All options of all verbs are known here; which verb takes which is in the verb table.
 * So options may stand before or behind the verb.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/error.h"

enum option_id {
	OPT_CONFIG_FILE,
	OPT_HELP,
	OPT_VERSION,
	OPT_JSON,
	OPT_NAME,
	OPT_TARGET,
	OPT_TYPE,
	OPT_ZONE,
	OPT_NO_WAIT,
	OPT_ALL,
	OPT_READ_ONLY,
	OPT_FORCE_HOST_COPY,
	OPT_LOCK_VOLUME,
	OPT_WAIT,
	OPT_NO_PROGRESS,
	OPT_READY_TO_LEAVE,
	OPT_MOVED,
	OPT_NOT_MOVED,
	OPT_MODE,
	OPT_RATE,
	OPT_COUNT
};
#define OPT_BIT(id) (1u << (id))
/* Every verb takes these. */
#define OPT_GLOBAL (OPT_BIT(OPT_CONFIG_FILE) | OPT_BIT(OPT_HELP) | OPT_BIT(OPT_VERSION))

/* All strings are borrowed from argv. */
struct options {
	unsigned given; /* OPT_BIT of each option that was there */
	const char *value[OPT_COUNT]; /* of those that take one; the last counts */
	const char **config_files;
	size_t config_file_count;
	const char **words; /* what is no option: the verb and its arguments */
	size_t word_count;
};

/* ERR_USAGE. "--" ends the options; "--name=value" is "--name value". */
int options_parse(int argc, char **argv, struct options *out, struct error *err);
void options_clear(struct options *options);
bool options_has(const struct options *options, enum option_id id);

/* "--name" of an option. */
const char *options_name(enum option_id id);
/* One line for each of the bits, for --help. */
void options_help(unsigned bits, FILE *out);

#endif
