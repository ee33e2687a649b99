/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/text.h"

static const struct {
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *help;
} known[OPT_COUNT] = {
	[OPT_CONFIG_FILE] = { "--config-file", "FILE",
		"read this configuration; several: later ones win" },
	[OPT_HELP] = { "--help", NULL, "explain drover, or the verb, and exit" },
	[OPT_VERSION] = { "--version", NULL, "print the version and exit" },
	[OPT_JSON] = { "--json", NULL, "print one JSON document" },
	[OPT_NAME] = { "--name", "NAME", "the name of the volume" },
	[OPT_TARGET] = { "--target", "HOST",
		"host@backend or host@backend#pool, otherwise the best; also --host" },
	[OPT_TYPE] = { "--type", "TYPE", "the volume type" },
	[OPT_ZONE] = { "--zone", "ZONE", "the availability zone" },
	[OPT_NO_WAIT] = { "--no-wait", NULL, "do not wait until it is done" },
	[OPT_ALL] = { "--all", NULL, "all of them" },
	[OPT_READ_ONLY] = { "--read-only", NULL, "nobody can write through it" },
	[OPT_FORCE_HOST_COPY] = { "--force-host-copy", NULL,
		"copy the bytes even where the storage could do it by itself" },
	[OPT_LOCK_VOLUME] = { "--lock-volume", NULL,
		"status 'maintenance' meanwhile: users cannot interrupt" },
	[OPT_WAIT] = { "--wait", NULL, "wait until it ends; exit 0 only on success" },
	[OPT_NO_PROGRESS] = { "--no-progress", NULL, "wait silently" },
	[OPT_READY_TO_LEAVE] = { "--ready-to-leave", NULL,
		"what stands in the way of Cinder's own services" },
	[OPT_MOVED] = { "--moved", NULL, "the guest runs on the temporary volume" },
	[OPT_MODE] = { "--mode", "MODE", "rw, or ro: the instance cannot write to it" },
	[OPT_RATE] = { "--rate", "RATE",
		"copy at most so many bytes per second, like 50M; none: no limit" },
	[OPT_NOT_MOVED] = { "--not-moved", NULL, "the guest stayed where it was" },
};

bool options_has(const struct options *options, enum option_id id)
{
	return options->given & OPT_BIT(id);
}

const char *options_name(enum option_id id)
{
	return known[id].name;
}

void options_help(unsigned bits, FILE *out)
{
	for (unsigned id = 0; id < OPT_COUNT; id++) {
		char left[40];

		if (!(bits & OPT_BIT(id)))
			continue;
		snprintf(left, sizeof(left), "%s%s%s", known[id].name,
			known[id].argument ? " " : "",
			known[id].argument ? known[id].argument : "");
		fprintf(out, "  %-20s %s\n", left, known[id].help);
	}
}

static int unknown_option(const char *text, size_t length, struct error *err)
{
	AUTO(free) char *name = strndup(text, length < 64 ? length : 64);
	const char *nearest = NULL;
	unsigned best = 4;

	if (!name)
		return error_no_memory(err);
	for (unsigned id = 0; id < OPT_COUNT; id++) {
		unsigned distance = text_distance(name, known[id].name, best);

		if (distance < best) {
			best = distance;
			nearest = known[id].name;
		}
	}
	if (nearest)
		return error_set(err, ERR_USAGE, "unknown option '%s': is '%s' meant?",
			name, nearest);
	return error_set(
		err, ERR_USAGE, "unknown option '%s': 'drover --help' shows all", name);
}

static int find_option(const char *text, size_t length, struct error *err)
{
	if (strcmp(text, "-h") == 0)
		return OPT_HELP;
	if (length == strlen("--host") && strncmp(text, "--host", length) == 0)
		return OPT_TARGET;
	for (int id = 0; id < OPT_COUNT; id++)
		if (strlen(known[id].name) == length &&
			strncmp(known[id].name, text, length) == 0)
			return id;
	return unknown_option(text, length, err);
}

/* Take argv[*i] apart, and its value; *i moves on over a value. */
static int take_option(
	int argc, char **argv, int *i, struct options *out, struct error *err)
{
	const char *text = argv[*i];
	size_t length = strcspn(text, "=");
	const char *value = text[length] ? text + length + 1 : NULL;
	int id = find_option(text, length, err);

	if (id < 0)
		return -1;
	if (value && !known[id].argument)
		return error_set(err, ERR_USAGE, "'%s' takes no value", known[id].name);
	if (known[id].argument && !value) {
		if (*i + 1 >= argc)
			return error_set(err, ERR_USAGE, "'%s' needs a value: %s %s",
				known[id].name, known[id].name, known[id].argument);
		value = argv[++*i];
	}
	out->given |= OPT_BIT(id);
	out->value[id] = value;
	if (id == OPT_CONFIG_FILE)
		out->config_files[out->config_file_count++] = value;
	return 0;
}

int options_parse(int argc, char **argv, struct options *out, struct error *err)
{
	bool ended = false;

	memset(out, 0, sizeof(*out));
	out->config_files = calloc((size_t)argc + 1, sizeof(*out->config_files));
	out->words = calloc((size_t)argc + 1, sizeof(*out->words));
	if (!out->config_files || !out->words)
		return error_no_memory(err);
	for (int i = 1; i < argc; i++) {
		if (!ended && strcmp(argv[i], "--") == 0)
			ended = true;
		else if (ended || argv[i][0] != '-' || !argv[i][1])
			out->words[out->word_count++] = argv[i];
		else if (take_option(argc, argv, &i, out, err) < 0)
			return -1;
	}
	return 0;
}

void options_clear(struct options *options)
{
	free(options->config_files);
	free(options->words);
	memset(options, 0, sizeof(*options));
}
