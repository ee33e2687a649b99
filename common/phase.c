/* SPDX-License-Identifier: Apache-2.0 */
#include "common/phase.h"

#include <string.h>

#include "common/auto.h"

static const struct {
	const char *name;
	const char *migration_status;
	const char *work;
	const char *after_crash;
	const char *way_back;
	bool final, can_cancel;
} phases[PHASE_COUNT] = {
	[PHASE_QUEUED] = { "queued", "starting",
		"the row is written, the target's space is reserved", "claimed again",
		"release the volume", .can_cancel = true },
	[PHASE_WORKING] = { "working", NULL, "the object is made and filled, or grows",
		"again; a copy from the "
		"checkpoint",
		"status error, a new object to garbage", .final = false },
	[PHASE_PREPARING] = { "preparing", "migrating",
		"the temporary volume's row and object are made on the target",
		"look at the object by identity, make what is missing",
		"release the volume, temporary object to garbage", .can_cancel = true },
	[PHASE_COPYING] = { "copying", "migrating",
		"bytes are copied, flushed and read back, or the storage clones them",
		"from the checkpoint",
		"release the volume, temporary object to garbage", .can_cancel = true },
	[PHASE_SWAPPING] = { "swapping", "migrating",
		"Compute copies, and lets the guest go on with the temporary volume",
		"look at Compute's and at the volumes' attachments; asked again only if "
		"nothing came of it",
		"release the volume; temporary object to garbage, kept there if it may be "
		"in use",
		.final = false },
	[PHASE_HELD] = { "held", "migrating",
		"nobody can tell which of the two the guest writes to: nothing is touched",
		"looked at again now and then; drover.operation.reason says where to look",
		"Compute's late answer, or `drover resolve`", .final = false },
	[PHASE_SEALING] = { "sealing", "completing",
		"every export of both volumes is closed; then the switch, one "
		"transaction",
		"again; the row tells whether the switch was made",
		"release the volume, temporary object to garbage", .can_cancel = true },
	[PHASE_SETTLING] = { "settling", NULL,
		"the volume lives on the target; the old object gets its trash name",
		"again", "none", .final = false },
	[PHASE_DONE] = { "done", NULL, "the old object is in drover.garbage", "-", "-",
		.final = true },
	[PHASE_FAILED] = { "failed", NULL,
		"the volume is as it was; drover.operation.reason says why", "-", "-",
		.final = true },
	[PHASE_CANCELLED] = { "cancelled", NULL,
		"the volume is as it was; somebody asked for it", "-", "-",
		.final = true },
};

#define CREATE "create_volume"
#define SNAPSHOT "create_snapshot"
#define EXTEND "extend_volume"
#define MIGRATE "migrate_volume"

static const struct phase_step steps[] = {
	{ CREATE, PHASE_QUEUED, PHASE_WORKING, "a worker took it" },
	{ CREATE, PHASE_WORKING, PHASE_DONE, "the volume is available" },
	{ CREATE, PHASE_QUEUED, PHASE_FAILED, "it was given up before it began" },
	{ CREATE, PHASE_WORKING, PHASE_FAILED, "the backend could not make it" },
	{ CREATE, PHASE_QUEUED, PHASE_CANCELLED, "the volume was deleted" },
	{ CREATE, PHASE_WORKING, PHASE_CANCELLED, "the volume was deleted" },
	{ SNAPSHOT, PHASE_QUEUED, PHASE_WORKING, "a worker took it" },
	{ SNAPSHOT, PHASE_WORKING, PHASE_DONE, "the snapshot is available" },
	{ SNAPSHOT, PHASE_QUEUED, PHASE_FAILED, "it was given up before it began" },
	{ SNAPSHOT, PHASE_WORKING, PHASE_FAILED, "the backend could not make it" },
	{ EXTEND, PHASE_QUEUED, PHASE_WORKING, "a worker took it" },
	{ EXTEND, PHASE_WORKING, PHASE_DONE, "the volume has its new size" },
	{ EXTEND, PHASE_QUEUED, PHASE_FAILED, "it was given up before it began" },
	{ EXTEND, PHASE_WORKING, PHASE_FAILED, "the backend could not extend it" },
	{ MIGRATE, PHASE_QUEUED, PHASE_PREPARING, "a worker took it" },
	{ MIGRATE, PHASE_PREPARING, PHASE_COPYING, "the temporary volume is ready" },
	{ MIGRATE, PHASE_PREPARING, PHASE_SWAPPING,
		"the temporary volume is ready for the guest" },
	{ MIGRATE, PHASE_SWAPPING, PHASE_SETTLING,
		"the guest runs on the temporary volume" },
	{ MIGRATE, PHASE_SWAPPING, PHASE_HELD,
		"it cannot be told where the guest writes" },
	{ MIGRATE, PHASE_HELD, PHASE_SETTLING,
		"the guest runs on the temporary volume" },
	{ MIGRATE, PHASE_COPYING, PHASE_SEALING, "the target equals the source" },
	{ MIGRATE, PHASE_SEALING, PHASE_SETTLING, "the volume lives on the target" },
	{ MIGRATE, PHASE_SETTLING, PHASE_DONE, "the old object is retired" },
	{ MIGRATE, PHASE_QUEUED, PHASE_FAILED, "it was given up before it began" },
	{ MIGRATE, PHASE_PREPARING, PHASE_FAILED, "the target could not be made" },
	{ MIGRATE, PHASE_COPYING, PHASE_FAILED, "the copy failed" },
	{ MIGRATE, PHASE_SWAPPING, PHASE_FAILED, "Compute could not do it" },
	{ MIGRATE, PHASE_HELD, PHASE_FAILED, "the guest stayed where it was" },
	{ MIGRATE, PHASE_SEALING, PHASE_FAILED, "the switch was refused" },
	{ MIGRATE, PHASE_QUEUED, PHASE_CANCELLED, "an operator asked for it" },
	{ MIGRATE, PHASE_PREPARING, PHASE_CANCELLED, "an operator asked for it" },
	{ MIGRATE, PHASE_COPYING, PHASE_CANCELLED, "an operator asked for it" },
	{ MIGRATE, PHASE_SWAPPING, PHASE_CANCELLED, "an operator asked for it" },
	{ MIGRATE, PHASE_HELD, PHASE_CANCELLED, "an operator asked for it" },
	{ MIGRATE, PHASE_SEALING, PHASE_CANCELLED, "an operator asked for it" },
};

/* PHASE_COUNT stands for a phase that a row names and this version does not know. */
static bool is_known(enum phase phase)
{
	return (unsigned)phase < PHASE_COUNT;
}

const char *phase_name(enum phase phase)
{
	return is_known(phase) ? phases[phase].name : "unknown";
}

enum phase phase_from_name(const char *name)
{
	unsigned i = 0;

	while (i < PHASE_COUNT && (!name || strcmp(phases[i].name, name) != 0))
		i++;
	return (enum phase)i;
}

bool phase_is_final(enum phase phase)
{
	return is_known(phase) && phases[phase].final;
}

bool phase_can_cancel(enum phase phase)
{
	return is_known(phase) && phases[phase].can_cancel;
}

const char *phase_migration_status(enum phase phase)
{
	return is_known(phase) ? phases[phase].migration_status : NULL;
}

const struct phase_step *phase_step_find(
	const char *kind, enum phase from, enum phase to)
{
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].from == from && steps[i].to == to &&
			strcmp(steps[i].kind, kind) == 0)
			return &steps[i];
	return NULL;
}

static void print_phases(FILE *out)
{
	fputs("| phase | migration_status | what happens | after a crash | way back |\n"
	      "|---|---|---|---|---|\n",
		out);
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		fprintf(out, "| %s | %s | %s | %s | %s |\n", phases[i].name,
			phases[i].migration_status ? phases[i].migration_status
						   : "none",
			phases[i].work, phases[i].after_crash, phases[i].way_back);
}

static void print_steps(FILE *out, const char *kind)
{
	fprintf(out,
		"\n## The steps of %s\n\n```mermaid\nstateDiagram-v2\n\t[*] --> "
		"queued\n",
		kind);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
		if (strcmp(steps[i].kind, kind) == 0)
			fprintf(out, "\t%s --> %s: %s\n", phase_name(steps[i].from),
				phase_name(steps[i].to), steps[i].why);
	fputs("```\n", out);
}

void phase_print(FILE *out)
{
	fputs("# The states of an operation\n\n"
	      "Printed from the table in `common/phase.c`; a test compares both. The\n"
	      "database constrains the same names (`drover.operation.phase`). Until "
	      "the\n"
	      "switch commits, the source is authoritative and everything can be "
	      "taken\n"
	      "back; from then on it only goes forwards, and the volume is released "
	      "at\n"
	      "once. With `migration_result = keep` the status after a migration is\n"
	      "`success` or `error` instead of none.\n\n",
		out);
	print_phases(out);
	print_steps(out, CREATE);
	print_steps(out, SNAPSHOT);
	print_steps(out, EXTEND);
	print_steps(out, MIGRATE);
}
