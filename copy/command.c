/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/command.h"

#include <fcntl.h>
#include <string.h>

#include "common/auto.h"
#include "common/text.h"

#define RETRY_SECONDS 60
#define CHECKPOINT_BYTES_MAX ((uint64_t)1 << 30)
#define SECONDS_MAX 86400.0

enum option_id {
	OPT_VERIFY,
	OPT_NO_CLONE,
	OPT_TARGET_IS_ZERO,
	OPT_RATE,
	OPT_CONTROL_FD,
	OPT_PROGRESS_FD,
	OPT_NO_PROGRESS,
	OPT_QUIET,
	OPT_JSON,
	OPT_CHECKPOINT,
	OPT_RESUME,
	OPT_CHECKPOINT_BYTES,
	OPT_CHECKPOINT_SECONDS,
	OPT_DEADLINE,
	OPT_RETRY,
	OPT_NO_URING,
	OPT_HELP,
	OPT_VERSION,
	OPT_COUNT
};

static const struct {
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *help;
} known[OPT_COUNT] = {
	[OPT_VERIFY] = { "--verify", "readback|none",
		"read back what was written, or not" },
	[OPT_NO_CLONE] = { "--no-clone", NULL,
		"copy even where blocks could be shared" },
	[OPT_TARGET_IS_ZERO] = { "--target-is-zero", NULL,
		"promise: a device or server is all zeroes now" },
	[OPT_RATE] = { "--rate", "BYTES[K|M|G|T]", "at most so much per second" },
	[OPT_CONTROL_FD] = { "--control-fd", "N",
		"orders: rate BYTES, pause, continue, cancel" },
	[OPT_PROGRESS_FD] = { "--progress-fd", "N", "write progress as lines of JSON" },
	[OPT_NO_PROGRESS] = { "--no-progress", NULL, "no bar on the terminal" },
	[OPT_QUIET] = { "--quiet", NULL, "no bar and no summary" },
	[OPT_JSON] = { "--json", NULL, "print the summary as one JSON object" },
	[OPT_CHECKPOINT] = { "--checkpoint", "FILE",
		"keep there how far it is, and go on from there" },
	[OPT_RESUME] = { "--resume", NULL, "go on with a device or server, too" },
	[OPT_CHECKPOINT_BYTES] = { "--checkpoint-bytes", "BYTES[K|M|G]",
		"a checkpoint after so much (256M)" },
	[OPT_CHECKPOINT_SECONDS] = { "--checkpoint-seconds", "S",
		"and after so long (5)" },
	[OPT_DEADLINE] = { "--deadline", "S",
		"a server silent for so long is lost (30)" },
	[OPT_RETRY] = { "--retry", "S",
		"try so long for a lost server (60; 0: never)" },
	[OPT_NO_URING] = { "--no-uring", NULL, "do without io_uring" },
	[OPT_HELP] = { "--help", NULL, "explain the options and exit" },
	[OPT_VERSION] = { "--version", NULL, "print the version and exit" },
};

void command_help(FILE *out)
{
	fputs("usage: drover-copy [OPTION]... SOURCE TARGET\n"
	      "\n"
	      "Copies SOURCE to TARGET, moves only what is data, and reads it back.\n"
	      "Each is a file, a block device or an NBD server: nbd://HOST/EXPORT,\n"
	      "nbds://, nbd+unix:///EXPORT?socket=PATH, nbds+unix://.\n\n",
		out);
	for (int id = 0; id < OPT_COUNT; id++) {
		char left[48];

		snprintf(left, sizeof(left), "%s%s%s", known[id].name,
			known[id].argument ? "=" : "",
			known[id].argument ? known[id].argument : "");
		fprintf(out, "  %-31s %s\n", left, known[id].help);
	}
	fputs("\nExit status: 0 copied, 1 failed or refused, 2 wrong usage.\n"
	      "drover-copy(1) tells more.\n",
		out);
}

static int take_seconds(
	const char *text, bool may_be_zero, double *out, struct error *err)
{
	double seconds;

	if (text_to_double(text, &seconds, err) < 0 || seconds < 0 ||
		seconds > SECONDS_MAX || (seconds == 0 && !may_be_zero))
		return error_set(err, ERR_USAGE,
			"'%.60s' is not a number of seconds %s and at most %.0f", text,
			may_be_zero ? "of 0 or more" : "above 0", SECONDS_MAX);
	*out = seconds;
	return 0;
}

static int take_fd(const char *text, int *out, struct error *err)
{
	int64_t fd;

	if (text_to_int(text, 0, INT_MAX, &fd, err) < 0)
		return error_set(err, ERR_USAGE,
			"'%.60s' is not the number of a descriptor", text);
	if (fcntl((int)fd, F_GETFD) < 0)
		return error_set(err, ERR_USAGE, "descriptor %d is not open", (int)fd);
	*out = (int)fd;
	return 0;
}

static int take_verify(const char *text, enum copy_verify *out, struct error *err)
{
	bool none = strcmp(text, "none") == 0;

	if (!none && strcmp(text, "readback") != 0)
		return error_set(
			err, ERR_USAGE, "'%.60s' is neither readback nor none", text);
	*out = none ? COPY_VERIFY_NONE : COPY_VERIFY_READBACK;
	return 0;
}

static int take_checkpoint_bytes(const char *text, uint64_t *out, struct error *err)
{
	if (text_to_bytes(text, out, err) < 0)
		return -1;
	if (*out == 0 || *out > CHECKPOINT_BYTES_MAX)
		return error_set(err, ERR_USAGE, "'%.60s' is not from 1 to 1G", text);
	return 0;
}

static int take_value(
	struct command *command, int id, const char *value, struct error *err)
{
	switch (id) {
	case OPT_VERIFY:
		return take_verify(value, &command->verify, err);
	case OPT_RATE:
		return text_to_bytes(value, &command->rate_limit, err);
	case OPT_CONTROL_FD:
		return take_fd(value, &command->control_fd, err);
	case OPT_PROGRESS_FD:
		return take_fd(value, &command->progress_fd, err);
	case OPT_CHECKPOINT_BYTES:
		return take_checkpoint_bytes(value, &command->checkpoint_bytes, err);
	case OPT_CHECKPOINT_SECONDS:
		return take_seconds(value, false, &command->checkpoint_seconds, err);
	case OPT_DEADLINE:
		return take_seconds(value, false, &command->deadline_s, err);
	case OPT_RETRY:
		return take_seconds(value, true, &command->retry_s, err);
	default: /* OPT_CHECKPOINT */
		if (!value[0] || strlen(value) >= PATH_MAX - 8)
			return error_set(
				err, ERR_USAGE, "'%.60s' is not a file's name", value);
		command->checkpoint = value;
		return 0;
	}
}

static void take_flag(struct command *command, int id)
{
	bool *const flags[OPT_COUNT] = {
		[OPT_NO_CLONE] = &command->no_clone,
		[OPT_TARGET_IS_ZERO] = &command->target_is_zero,
		[OPT_NO_PROGRESS] = &command->no_progress,
		[OPT_QUIET] = &command->quiet,
		[OPT_JSON] = &command->json,
		[OPT_RESUME] = &command->resume,
		[OPT_HELP] = &command->help,
		[OPT_VERSION] = &command->version,
	};

	if (id == OPT_NO_URING)
		command->source.no_uring = command->target.no_uring = true;
	else
		*flags[id] = true;
}

static int unknown_option(const char *text, size_t length, struct error *err)
{
	AUTO(free) char *name = strndup(text, length < 64 ? length : 64);
	const char *nearest = NULL;
	unsigned best = 4;

	if (!name)
		return error_no_memory(err);
	for (int id = 0; id < OPT_COUNT; id++) {
		unsigned distance = text_distance(name, known[id].name, best);

		if (distance < best) {
			best = distance;
			nearest = known[id].name;
		}
	}
	if (nearest)
		return error_set(err, ERR_USAGE, "unknown option '%s': is '%s' meant?",
			name, nearest);
	return error_set(err, ERR_USAGE,
		"unknown option '%s': 'drover-copy --help' shows all", name);
}

static int find_option(const char *text, size_t length, struct error *err)
{
	if (strcmp(text, "-h") == 0)
		return OPT_HELP;
	for (int id = 0; id < OPT_COUNT; id++)
		if (strlen(known[id].name) == length &&
			strncmp(known[id].name, text, length) == 0)
			return id;
	return unknown_option(text, length, err);
}

/* Take argv[*i] apart, and its value; *i moves on over a value. */
static int take_option(
	int argc, char **argv, int *i, struct command *out, struct error *err)
{
	const char *text = argv[*i];
	size_t length = strcspn(text, "=");
	const char *value = text[length] ? text + length + 1 : NULL;
	int id = find_option(text, length, err);

	if (id < 0)
		return -1;
	if (!known[id].argument) {
		if (value)
			return error_set(
				err, ERR_USAGE, "'%s' takes no value", known[id].name);
		take_flag(out, id);
		return 0;
	}
	if (!value && *i + 1 >= argc)
		return error_set(err, ERR_USAGE, "'%s' needs a value: %s=%s",
			known[id].name, known[id].name, known[id].argument);
	if (take_value(out, id, value ? value : argv[++*i], err) < 0)
		return error_context(err, "%s", known[id].name);
	return 0;
}

static int take_ends(
	struct command *out, char *const words[2], int count, struct error *err)
{
	const bool no_uring = out->source.no_uring;

	if (count != 2)
		return error_set(err, ERR_USAGE,
			"%s: drover-copy [OPTION]... SOURCE TARGET",
			count < 2 ? "SOURCE and TARGET are needed"
				  : "that are more than two names");
	if (out->resume && !out->checkpoint)
		return error_set(err, ERR_USAGE,
			"'--resume' goes on from a file: --checkpoint=FILE is needed");
	if (endpoint_parse(words[0], &out->source, err) < 0 ||
		endpoint_parse(words[1], &out->target, err) < 0)
		return -1;
	out->source.no_uring = out->target.no_uring = no_uring;
	return 0;
}

int command_parse(int argc, char **argv, struct command *out, struct error *err)
{
	char *words[2] = { NULL, NULL };
	int count = 0;
	bool ended = false;

	memset(out, 0, sizeof(*out));
	out->control_fd = out->progress_fd = -1;
	out->retry_s = RETRY_SECONDS;
	for (int i = 1; i < argc; i++) {
		if (!ended && strcmp(argv[i], "--") == 0)
			ended = true;
		else if (!ended && argv[i][0] == '-' && argv[i][1]) {
			if (take_option(argc, argv, &i, out, err) < 0)
				return -1;
		} else if (count++ < 2)
			words[count - 1] = argv[i];
	}
	return out->help || out->version ? 0 : take_ends(out, words, count, err);
}
