/* SPDX-License-Identifier: Apache-2.0 */
/* drover - the operator's command: the table of verbs, help, exit status. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "common/log.h"
#include "common/store/schema.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_FOUND = 3 };

struct verb {
	const char *name; /* one word or two */
	const char *arguments;
	unsigned min, max; /* how many */
	unsigned options; /* bits, besides OPT_GLOBAL */
	int (*run)(struct cli *cli, struct error *err);
	const char *help;
};

#define JSON OPT_BIT(OPT_JSON)

static const struct verb verbs[] = {
	{ "db sync", "", 0, 0, 0, verb_db_sync,
		"make the database's tables, or bring them up to date" },
	{ "db check", "", 0, 0, 0, verb_db_check,
		"tell whether the database is complete and current" },
	{ "doctor", "", 0, 0, JSON | OPT_BIT(OPT_READY_TO_LEAVE), verb_doctor,
		"look for what is wrong" },
	{ "service list", "", 0, 0, JSON, verb_service_list,
		"schedulers and volume managers, and whether they are up" },
	{ "host list", "", 0, 0, JSON, verb_host_list, "hosts and their zones" },
	{ "pool list", "", 0, 0, JSON, verb_pool_list,
		"what the scheduler knows of every pool" },
	{ "create", "SIZE_GIB", 1, 1,
		JSON | OPT_BIT(OPT_NAME) | OPT_BIT(OPT_TARGET) | OPT_BIT(OPT_TYPE) |
			OPT_BIT(OPT_ZONE) | OPT_BIT(OPT_NO_WAIT),
		verb_create, "make a volume and show it" },
	{ "list", "", 0, 0, JSON | OPT_BIT(OPT_ALL), verb_list,
		"the volumes; with --all also those of migrations" },
	{ "show", "VOLUME", 1, 1, JSON, verb_show, "the properties of a volume" },
	{ "delete", "VOLUME", 1, 1, OPT_BIT(OPT_NO_WAIT), verb_delete,
		"delete a volume and what it holds" },
	{ "attach", "VOLUME INSTANCE", 2, 2, JSON | OPT_BIT(OPT_MODE), verb_attach,
		"give a volume to an instance, which may run" },
	{ "detach", "VOLUME [INSTANCE]", 1, 2, 0, verb_detach,
		"take a volume from its instance" },
	{ "connect", "VOLUME", 1, 1, JSON | OPT_BIT(OPT_READ_ONLY), verb_connect,
		"open a volume for this machine and print its NBD URI" },
	{ "disconnect", "VOLUME", 1, 1, 0, verb_disconnect, "end what connect began" },
	{ "export list", "", 0, 0, JSON, verb_export_list,
		"volumes that are open, for whom and where" },
	{ "migrate", "VOLUME [TARGET]", 1, 2,
		JSON | OPT_BIT(OPT_FORCE_HOST_COPY) | OPT_BIT(OPT_LOCK_VOLUME) |
			OPT_BIT(OPT_WAIT) | OPT_BIT(OPT_NO_PROGRESS) |
			OPT_BIT(OPT_RATE),
		verb_migrate,
		"move a volume to TARGET, or to where there is most room" },
	{ "watch", "VOLUME", 1, 1, JSON, verb_watch,
		"follow a volume's migration until it ends" },
	{ "rate", "VOLUME RATE|none|default", 2, 2, 0, verb_rate,
		"let a migration copy at most so many bytes per second, like 50M" },
	{ "pause", "VOLUME", 1, 1, 0, verb_pause,
		"let a volume's migration stand still" },
	{ "continue", "VOLUME", 1, 1, 0, verb_continue,
		"let a migration that was paused go on" },
	{ "cancel", "VOLUME", 1, 1, OPT_BIT(OPT_WAIT), verb_cancel,
		"end a volume's migration; the volume stays where it is" },
	{ "resolve", "VOLUME", 1, 1, OPT_BIT(OPT_MOVED) | OPT_BIT(OPT_NOT_MOVED),
		verb_resolve, "end a migration that is held: say where its guest is" },
	{ "migration list", "[VOLUME]", 0, 1, JSON | OPT_BIT(OPT_ALL),
		verb_migration_list, "migrations, the newest first" },
	{ "migration show", "VOLUME|MIGRATION", 1, 1, JSON, verb_migration_show,
		"everything about a migration, and its history" },
	{ "garbage list", "", 0, 0, JSON, verb_garbage_list,
		"what is left over on backends and goes away by itself" },
	{ "garbage remove", "OBJECT", 1, 1, 0, verb_garbage_remove,
		"remove a leftover now that is kept for a while" },
	{ "garbage", "", 0, 0, JSON, verb_garbage_list, "the same as garbage list" },
};

/* How many words of the command line the verb's name takes; 0: it is another. */
static size_t words_of(const struct verb *verb, const struct options *options)
{
	const char *space = strchr(verb->name, ' ');
	size_t first = space ? (size_t)(space - verb->name) : strlen(verb->name);

	if (options->word_count == 0 || strlen(options->words[0]) != first ||
		strncmp(options->words[0], verb->name, first) != 0)
		return 0;
	if (!space)
		return 1;
	if (options->word_count < 2 || strcmp(options->words[1], space + 1) != 0)
		return 0;
	return 2;
}

/* "service" of "service list". */
static bool is_family(const struct verb *verb, const char *word)
{
	size_t length = strlen(word);

	return strncmp(verb->name, word, length) == 0 && verb->name[length] == ' ';
}

/* 'drover --help' and 'drover service --help'. */
static bool asks_for_all(const struct options *options)
{
	for (size_t i = 0; options->word_count == 1 && i < ARRAY_SIZE(verbs); i++)
		if (is_family(&verbs[i], options->words[0]))
			return true;
	return options->word_count == 0;
}

static int unknown_verb(const struct options *options, struct error *err)
{
	const char *second = options->word_count > 1 ? options->words[1] : NULL;
	AUTO(free)
	char *given = text_format("%.60s%s%.60s", options->words[0], second ? " " : "",
		second ? second : "");
	unsigned best = strlen(options->words[0]) > 3 ? 3 : 2;
	const char *nearest = NULL;

	if (!given)
		return error_no_memory(err);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		bool two = strchr(verbs[i].name, ' ');
		unsigned distance = text_distance(
			two ? given : options->words[0], verbs[i].name, best);

		if (is_family(&verbs[i], given))
			distance = 0;
		if (distance < best) {
			best = distance;
			nearest = verbs[i].name;
		}
	}
	if (nearest)
		return error_set(err, ERR_USAGE,
			"there is no verb '%s': is 'drover %s' meant?", given, nearest);
	return error_set(err, ERR_USAGE,
		"there is no verb '%s': 'drover --help' shows all", given);
}

/* The longest name that fits. */
static int find_verb(const struct options *options, const struct verb **out,
	size_t *words, struct error *err)
{
	*words = 0;
	if (options->word_count == 0)
		return error_set(err, ERR_USAGE,
			"what is to be done? 'drover --help' shows all verbs");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		size_t count = words_of(&verbs[i], options);

		if (count > *words) {
			*words = count;
			*out = &verbs[i];
		}
	}
	return *words > 0 ? 0 : unknown_verb(options, err);
}

static int check_usage(const struct verb *verb, const struct options *options,
	size_t argument_count, struct error *err)
{
	unsigned foreign = options->given & ~(verb->options | OPT_GLOBAL);

	for (unsigned id = 0; id < OPT_COUNT; id++)
		if (foreign & OPT_BIT(id))
			return error_set(err, ERR_USAGE, "'drover %s' has no option %s",
				verb->name, options_name(id));
	if (argument_count < verb->min)
		return error_set(err, ERR_USAGE, "'drover %s' needs more: drover %s %s",
			verb->name, verb->name, verb->arguments);
	if (argument_count > verb->max)
		return error_set(err, ERR_USAGE, "'%.64s' is too much: drover %s %s",
			options->words[options->word_count - 1], verb->name,
			verb->arguments);
	return 0;
}

static void help_all(void)
{
	puts("usage: drover [OPTION]... VERB [ARGUMENT]...\n"
	     "\n"
	     "Volumes, the backends they are on, and their migrations.\n"
	     "VOLUME is an id or a name, TARGET is host@backend or host@backend#pool.\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		char left[48];

		snprintf(
			left, sizeof(left), "%s %s", verbs[i].name, verbs[i].arguments);
		printf("  %-32s %s\n", left, verbs[i].help);
	}
	puts("\nOptions, before or behind the verb ('drover VERB --help' shows more):");
	options_help(OPT_GLOBAL | JSON, stdout);
	puts("\nExit status: 0 done, 1 failed or refused, 2 wrong usage or configuration,\n"
	     "3 not found or ambiguous. drover(1) tells more.");
}

static void help_verb(const struct verb *verb)
{
	printf("usage: drover %s%s%s%s\n\n%s\n\n", verb->name,
		verb->options ? " [OPTION]..." : "", verb->arguments[0] ? " " : "",
		verb->arguments, verb->help);
	options_help(verb->options | OPT_GLOBAL, stdout);
}

/* A statement failed because tables are missing: say so instead. */
static void explain(struct cli *cli, struct error *err)
{
	struct error better;

	if (err->code == ERR_DATABASE && cli->db &&
		schema_check(cli->db, &better) < 0 && better.code == ERR_DATABASE)
		*err = better;
}

static int run(struct cli *cli, struct error *err)
{
	const struct options *options = &cli->options;
	const struct verb *verb = NULL;
	size_t words;

	if (options_has(options, OPT_VERSION)) {
		puts("drover " PACKAGE_VERSION);
		return 0;
	}
	if (find_verb(options, &verb, &words, err) < 0) {
		if (!options_has(options, OPT_HELP) || !asks_for_all(options))
			return -1;
		help_all();
		return 0;
	}
	if (options_has(options, OPT_HELP)) {
		help_verb(verb);
		return 0;
	}
	if (check_usage(verb, options, options->word_count - words, err) < 0)
		return -1;
	cli->words = options->words + words;
	if (verb->run(cli, err) < 0) {
		explain(cli, err);
		return -1;
	}
	return 0;
}

static int exit_status(const struct error *err)
{
	switch (err->code) {
	case ERR_USAGE:
	case ERR_CONFIG:
		return EXIT_USAGE;
	case ERR_VOLUME_NOT_FOUND:
	case ERR_NOT_FOUND:
	case ERR_AMBIGUOUS:
		return EXIT_NOT_FOUND;
	default:
		return EXIT_FAILED;
	}
}

/* What was printed must have arrived; a reader that went away knows that. */
static int flush_output(struct error *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	if (errno == EPIPE)
		exit(EXIT_FAILED);
	return error_set_errno(err, ERR_IO, "cannot write the output");
}

int main(int argc, char **argv)
{
	struct cli cli = { 0 };
	struct error err;
	int result;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	log_open("drover", LOG_LEVEL_ERROR);
	result = options_parse(argc, argv, &cli.options, &err);
	if (result == 0)
		result = run(&cli, &err);
	if (flush_output(result == 0 ? &err : NULL) < 0 && result == 0)
		result = -1;
	if (result < 0) {
		AUTO(free) char *text = text_printable(err.text);

		fprintf(stderr, "drover: %s\n", text);
	}
	cli_clear(&cli);
	return result < 0 ? exit_status(&err) : EXIT_DONE;
}
