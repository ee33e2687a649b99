/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - drover-copy's command line. */
#ifndef COPY_COMMAND_H
#define COPY_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "copy/copy.h"

/* Strings are borrowed from argv. */
struct command {
	bool help, version; /* nothing else was looked at */
	struct endpoint source, target;
	enum copy_verify verify;
	bool no_clone;
	bool target_is_zero; /* a device or server reads as zeroes now */
	uint64_t rate_limit; /* bytes per second, 0: none */
	int control_fd, progress_fd; /* -1: none */
	bool quiet, no_progress, json;
	const char *checkpoint; /* file, or NULL */
	bool resume; /* also where nothing tells whether somebody else wrote */
	uint64_t checkpoint_bytes; /* 0: the engine's */
	double checkpoint_seconds; /* 0: the engine's */
	double deadline_s; /* 0: the engine's */
	double retry_s; /* 0: a lost connection is an error */
};

/* ERR_USAGE. Options may stand behind the arguments; "--" ends them; "--name=value" is
 * "--name value". */
int command_parse(int argc, char **argv, struct command *out, struct error *err);
void command_help(FILE *out);

#endif
