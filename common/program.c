/* SPDX-License-Identifier: Apache-2.0 */
#include "common/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/text.h"

#define EXIT_USAGE 2

static int print_help(const struct program *program)
{
	printf("%s - %s\n\n"
	       "usage: %s [OPTION]...\n\n"
	       "  --config-file FILE  read FILE; may be given again, later ones win\n"
	       "                      (default /etc/drover/drover.conf, else\n"
	       "                      /etc/cinder/cinder.conf)\n"
	       "  --debug             log what happens, not only what changes\n"
	       "  --show-config       print every option with its value and end\n"
	       "  --version           print the version and end\n"
	       "  --help              print this and end\n",
		program->name, program->help ? program->help : "part of Drover",
		program->name);
	return 0;
}

static int wrong(const struct program *program, const char *text)
{
	fprintf(stderr, "%s: %s\n", program->name, text);
	return EXIT_USAGE;
}

static int open_log(const struct program *program, bool debug, struct error *err)
{
	const struct settings *settings = program->settings;
	AUTO(free) char *path = NULL;

	log_open(program->name,
		debug || settings->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (settings->log_file && settings->log_file[0] != '/' && settings->log_dir)
		path = text_format("%s/%s", settings->log_dir, settings->log_file);
	else if (settings->log_file)
		path = strdup(settings->log_file);
	else if (settings->log_dir)
		path = text_format("%s/%s.log", settings->log_dir, program->name);
	if (path && log_to_file(path) < 0)
		return error_set_errno(
			err, ERR_CONFIG, "cannot write the log '%s'", path);
	return 0;
}

static int load(struct program *program, struct error *err)
{
	const char *const *files = program->config_files;
	size_t count = program->config_file_count;

	if (program->no_database)
		return settings_load_without_database(
			files, count, &program->settings, err);
	return settings_load(files, count, &program->settings, err);
}

static int start(struct program *program, bool debug, bool show)
{
	struct error err;

	log_open(program->name, program->quiet ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO);
	if (load(program, &err) < 0 || (!show && open_log(program, debug, &err) < 0))
		return wrong(program, err.text);
	if (!show)
		return -1;
	settings_print(program->settings);
	return 0;
}

int program_start(struct program *program, int argc, char **argv)
{
	bool debug = false, show = false;

	program->config_files = calloc((size_t)argc + 1, sizeof(char *));
	if (!program->config_files)
		return wrong(program, "out of memory");
	for (program->first = 1; program->first < argc; program->first++) {
		const char *word = argv[program->first];

		if (strncmp(word, "--config-file=", 14) == 0) {
			program->config_files[program->config_file_count++] = word + 14;
		} else if (strcmp(word, "--config-file") == 0 &&
			argv[program->first + 1]) {
			program->config_files[program->config_file_count++] =
				argv[++program->first];
		} else if (strcmp(word, "--debug") == 0) {
			debug = true;
		} else if (strcmp(word, "--show-config") == 0) {
			show = true;
		} else if (strcmp(word, "--version") == 0) {
			printf("%s %s\n", program->name, PACKAGE_VERSION);
			return 0;
		} else if (strcmp(word, "--help") == 0) {
			return print_help(program);
		} else if (word[0] == '-') {
			fprintf(stderr, "%s: unknown option '%s'; --help shows all\n",
				program->name, word);
			return EXIT_USAGE;
		} else {
			break;
		}
	}
	return start(program, debug, show);
}

void program_clear(struct program *program)
{
	settings_free(program->settings);
	program->settings = NULL;
	free(program->config_files);
	program->config_files = NULL;
}
