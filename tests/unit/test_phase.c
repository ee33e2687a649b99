/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/auto.h"
#include "common/phase.h"

static const char *const kinds[] = { "create_volume", "create_snapshot",
	"extend_volume", "migrate_volume" };

static void names_lead_back_to_their_phase(void **state)
{
	(void)state;
	for (enum phase phase = 0; phase < PHASE_COUNT; phase++)
		assert_int_equal(phase_from_name(phase_name(phase)), phase);
	assert_int_equal(phase_from_name("nonsense"), PHASE_COUNT);
	assert_int_equal(phase_from_name(""), PHASE_COUNT);
	assert_int_equal(phase_from_name(NULL), PHASE_COUNT);
}

/* A row of a later version may name a phase that is not in the table. */
static void an_unknown_phase_is_harmless(void **state)
{
	(void)state;
	assert_string_equal(phase_name(PHASE_COUNT), "unknown");
	assert_false(phase_is_final(PHASE_COUNT));
	assert_false(phase_can_cancel(PHASE_COUNT));
	assert_null(phase_migration_status(PHASE_COUNT));
	assert_null(phase_step_find("migrate_volume", PHASE_COUNT, PHASE_DONE));
}

static unsigned steps_from(const char *kind, enum phase from)
{
	unsigned count = 0;

	for (enum phase to = 0; to < PHASE_COUNT; to++)
		count += phase_step_find(kind, from, to) != NULL;
	return count;
}

static void every_step_has_a_reason_and_goes_forwards(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		for (enum phase from = 0; from < PHASE_COUNT; from++)
			for (enum phase to = 0; to < PHASE_COUNT; to++) {
				const struct phase_step *step =
					phase_step_find(kinds[i], from, to);

				if (!step)
					continue;
				assert_string_equal(step->kind, kinds[i]);
				assert_int_equal(step->from, from);
				assert_int_equal(step->to, to);
				assert_true(step->why && step->why[0]);
				assert_true(to > from);
				assert_false(phase_is_final(from));
			}
	assert_null(phase_step_find("delete_volume", PHASE_QUEUED, PHASE_DONE));
}

/* What can be reached from queued; bits. */
static unsigned reachable(const char *kind)
{
	unsigned found = 1u << PHASE_QUEUED;

	for (enum phase from = 0; from < PHASE_COUNT; from++)
		for (enum phase to = from; to < PHASE_COUNT; to++)
			if ((found & 1u << from) && phase_step_find(kind, from, to))
				found |= 1u << to;
	return found;
}

static void every_phase_that_is_reached_ends(void **state)
{
	(void)state;
	assert_int_equal(reachable("create_volume"),
		1u << PHASE_QUEUED | 1u << PHASE_WORKING | 1u << PHASE_DONE |
			1u << PHASE_FAILED | 1u << PHASE_CANCELLED);
	assert_int_equal(reachable("extend_volume"),
		1u << PHASE_QUEUED | 1u << PHASE_WORKING | 1u << PHASE_DONE |
			1u << PHASE_FAILED);
	assert_int_equal(reachable("create_snapshot"), reachable("extend_volume"));
	assert_int_equal(reachable("migrate_volume"),
		((1u << PHASE_COUNT) - 1) & ~(1u << PHASE_WORKING));
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		for (enum phase phase = 0; phase < PHASE_COUNT; phase++)
			if (reachable(kinds[i]) & 1u << phase)
				assert_int_equal(steps_from(kinds[i], phase) == 0,
					phase_is_final(phase));
}

/* While Compute has the guest, the way back is not ours alone. */
static bool is_computes(enum phase phase)
{
	return phase == PHASE_SWAPPING || phase == PHASE_HELD;
}

/* Until the switch a migration can fail and be cancelled, and after it neither. */
static void there_is_a_way_back_exactly_until_the_switch(void **state)
{
	(void)state;
	for (enum phase phase = 0; phase < PHASE_COUNT; phase++) {
		bool back = reachable("migrate_volume") & 1u << phase &&
			phase < PHASE_SETTLING;

		assert_int_equal(phase_can_cancel(phase), back && !is_computes(phase));
		assert_int_equal(
			phase_step_find("migrate_volume", phase, PHASE_FAILED) != NULL,
			back);
		assert_int_equal(phase_step_find("migrate_volume", phase,
					 PHASE_CANCELLED) != NULL,
			back);
		/* Cinder's word for it, as long as the volume is not free. */
		assert_int_equal(phase_migration_status(phase) != NULL, back);
	}
	assert_string_equal(phase_migration_status(PHASE_QUEUED), "starting");
	assert_string_equal(phase_migration_status(PHASE_PREPARING), "migrating");
	assert_string_equal(phase_migration_status(PHASE_COPYING), "migrating");
	/* Nova looks for exactly this word. */
	assert_string_equal(phase_migration_status(PHASE_SWAPPING), "migrating");
	assert_string_equal(phase_migration_status(PHASE_SEALING), "completing");
}

static char *read_all(FILE *file)
{
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	return text;
}

static void the_document_is_the_table(void **state)
{
	const char *srcdir = getenv("srcdir");
	AUTO(fclose) FILE *printed = tmpfile();
	AUTO(fclose) FILE *stored = NULL;
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/docs/states.md", srcdir ? srcdir : ".");
	stored = fopen(path, "re");
	if (!stored)
		fail_msg(
			"cannot open '%s': make it with tests/unit/print_states", path);
	phase_print(printed);
	rewind(printed);
	AUTO(free) char *want = read_all(printed);
	AUTO(free) char *got = read_all(stored);
	if (strcmp(got, want) != 0)
		fail_msg("'%s' is old: make it again with tests/unit/print_states",
			path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_lead_back_to_their_phase),
		cmocka_unit_test(an_unknown_phase_is_harmless),
		cmocka_unit_test(every_step_has_a_reason_and_goes_forwards),
		cmocka_unit_test(every_phase_that_is_reached_ends),
		cmocka_unit_test(there_is_a_way_back_exactly_until_the_switch),
		cmocka_unit_test(the_document_is_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
