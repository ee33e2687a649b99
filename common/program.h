/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - what every daemon's main() begins with: options, configuration, log. */
#ifndef COMMON_PROGRAM_H
#define COMMON_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/settings.h"

struct program {
	const char *name;
	const char *help; /* one line: what it does; NULL: none */
	bool no_database; /* it does without [database] */
	bool quiet; /* no warnings about the configuration: another process gave them */
	const char **config_files; /* as given, NULL-terminated */
	size_t config_file_count;
	struct settings *settings;
	int first; /* index in argv of the first argument that is not an option */
};

/* Parse --config-file FILE (again and again), --debug, --show-config, --version, --help;
 * load the settings, open the log. Returns -1 to go on, or an exit status (0 for --help,
 * 2 for a wrong command line or configuration: one sentence was printed). */
int program_start(struct program *program, int argc, char **argv);
void program_clear(struct program *program);

static inline __attribute__((unused)) void auto_program_clear(struct program *program)
{
	program_clear(program);
}

#endif
