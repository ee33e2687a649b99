/* SPDX-License-Identifier: Apache-2.0 */
/* check-model - the migration protocol, tried in every order.
 *
 * Without arguments: the whole model must be sound, and must stop being sound when any
 * one of its rules is left out. By hand: --misfortunes 2 tries more than there is time
 * for in every build, and --without RULE tells the way to what breaks.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "tests/model/model.h"

static const char usage[] =
	"usage: check-model [--without RULE]... [--misfortunes N] [--kinds BITS]\n"
	"                   [--lost COMMITS]\n"
	"       check-model --list\n";

#define BIT(kind) (1u << (kind))
#define TWO_WORKERS (BIT(MOVED) | BIT(BAD_WRITE))
#define EPOCH_LOST (TWO_WORKERS | BIT(LOST_PRIMARY))

/* The whole must be sound within each; a rule's worth shows within one of them. */
static const struct {
	const char *name;
	struct limits limits;
} spaces[] = {
	{ "anything once", { 0, ALL_MISFORTUNES, 1, 2, false } },
	{ "two of anything but a fail-over",
		{ 0, ALL_MISFORTUNES & ~BIT(LOST_PRIMARY), 2, 0, false } },
	{ "two workers and a bad write", { 0, TWO_WORKERS, 2, 0, false } },
	{ "two workers, a bad write and a fail-over, no users",
		{ 0, EPOCH_LOST, 3, 1, true } },
};
enum { ONCE, TWICE, WITH_TWO_WORKERS, WITH_EPOCH_LOST };

static unsigned space_of(enum rule rule)
{
	if (rule == RULE_FRESH_EPOCH)
		return WITH_EPOCH_LOST;
	return rule == RULE_EPOCH || rule == RULE_CLOSE_OLD ? WITH_TWO_WORKERS : ONCE;
}

struct tally {
	unsigned passed, failed;
};

static void report(struct tally *tally, bool ok, const char *line)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", tally->passed + tally->failed + 1,
		line);
	fflush(stdout);
	if (ok)
		tally->passed++;
	else
		tally->failed++;
}

static bool is_known(const char *name)
{
	/* "working" belongs to operations that are no migration; "swapping" and "held" to
	 * route compute, which compute.c explores. */
	static const char *const known[] = { "queued", "working", "preparing",
		"copying", "swapping", "held", "sealing", "settling", "done", "failed",
		"cancelled" };

	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i], name) == 0)
			return true;
	return false;
}

/* A phase that came later is not explored until it is modelled. */
static void check_phases(struct tally *tally)
{
	char line[160] = "the model knows every phase of common/phase.h";
	bool ok = true;

	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		if (is_known(phase_name((enum phase)i)))
			continue;
		ok = false;
		snprintf(line, sizeof(line), "the model does not know phase '%s'",
			phase_name((enum phase)i));
	}
	report(tally, ok, line);
}

static bool is_computes(unsigned phase)
{
	return phase == PHASE_SWAPPING || phase == PHASE_HELD;
}

static bool makes_every_step(const struct outcome *outcome, char *line, size_t size)
{
	for (unsigned from = 0; from < PHASE_COUNT; from++)
		for (unsigned to = 0; to < PHASE_COUNT; to++) {
			if (is_computes(from) || is_computes(to) ||
				!phase_step_find("migrate_volume", (enum phase)from,
					(enum phase)to) ||
				outcome->moves[from * PHASE_COUNT + to])
				continue;
			snprintf(line, size, "the model never goes from '%s' to '%s'",
				phase_name((enum phase)from),
				phase_name((enum phase)to));
			return false;
		}
	return true;
}

static void check_whole(struct tally *tally, unsigned space)
{
	struct outcome outcome;
	char line[240];

	if (explore(&spaces[space].limits, stdout, &outcome) < 0) {
		report(tally, false, "out of memory");
		return;
	}
	if (outcome.endless)
		outcome.broken = "goes round in circles and never comes to rest";
	snprintf(line, sizeof(line), "the whole protocol, %s: %s (%u states)",
		spaces[space].name, outcome.broken ? outcome.broken : "sound",
		outcome.states);
	report(tally, !outcome.broken, line);
	if (outcome.broken || space != ONCE)
		return;
	snprintf(line, sizeof(line),
		"every step of a migration in common/phase.c is "
		"explored");
	report(tally, makes_every_step(&outcome, line, sizeof(line)), line);
}

static void check_without(struct tally *tally, enum rule rule)
{
	struct limits limits = spaces[space_of(rule)].limits;
	struct outcome outcome;
	char line[240];

	limits.without = BIT(rule);
	if (explore(&limits, NULL, &outcome) < 0) {
		report(tally, false, "out of memory");
		return;
	}
	if (outcome.broken)
		snprintf(line, sizeof(line), "without %s: %s, after %u steps",
			rule_name(rule), outcome.broken, outcome.steps);
	else
		snprintf(line, sizeof(line), "without %s nothing breaks (%u states)",
			rule_name(rule), outcome.states);
	report(tally, outcome.broken, line);
}

static int check_all(void)
{
	struct tally tally = { 0, 0 };

	check_phases(&tally);
	for (unsigned i = 0; i < ARRAY_SIZE(spaces); i++)
		check_whole(&tally, i);
	for (unsigned i = 0; i < RULE_COUNT; i++)
		check_without(&tally, (enum rule)i);
	printf("%u passed, %u failed\n", tally.passed, tally.failed);
	return tally.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int explore_once(const struct limits *limits)
{
	struct outcome outcome;

	if (explore(limits, stdout, &outcome) < 0) {
		fprintf(stderr, "check-model: out of memory\n");
		return EXIT_FAILURE;
	}
	printf("%s%s, %u states\n", outcome.broken ? outcome.broken : "nothing breaks",
		outcome.endless ? ", but it goes round in circles" : "",
		outcome.states);
	return outcome.broken || outcome.endless ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int list_rules(void)
{
	for (unsigned i = 0; i < RULE_COUNT; i++)
		printf("%-16s %s\n", rule_name((enum rule)i), rule_text((enum rule)i));
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "without", required_argument, NULL, 'w' },
		{ "kinds", required_argument, NULL, 'k' },
		{ "misfortunes", required_argument, NULL, 'm' },
		{ "lost", required_argument, NULL, 'l' },
		{ "list", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	struct limits limits = spaces[ONCE].limits;
	enum rule rule;
	int option;

	if (argc == 1)
		return check_all();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'r')
			return list_rules();
		if (option == 'w' && (rule = rule_from_name(optarg)) < RULE_COUNT)
			limits.without |= 1u << rule;
		else if (option == 'k')
			limits.kinds = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 'm')
			limits.misfortunes = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'l')
			limits.lost_commits = (unsigned)strtoul(optarg, NULL, 10) & 3;
		else
			return fputs(usage, stderr), 2;
	}
	return optind < argc ? (fputs(usage, stderr), 2) : explore_once(&limits);
}
