/* SPDX-License-Identifier: Apache-2.0 */
/* phase.h - the phases of an operation and the steps between them: one table.
 *
 * docs/states.md is printed from it, the constraints of drover.operation name the same
 * phases, and store_operation_move() refuses a step that is not in it.
 */
#ifndef COMMON_PHASE_H
#define COMMON_PHASE_H

#include <stdbool.h>
#include <stdio.h>

enum phase {
	PHASE_QUEUED,
	PHASE_WORKING,
	PHASE_PREPARING,
	PHASE_COPYING,
	PHASE_SWAPPING,
	PHASE_HELD,
	PHASE_SEALING,
	PHASE_SETTLING,
	PHASE_DONE,
	PHASE_FAILED,
	PHASE_CANCELLED,
	PHASE_COUNT
};

/* "copying"; and back: PHASE_COUNT for a name nobody knows, which is "unknown", not final
 * and has no steps. */
const char *phase_name(enum phase phase);
enum phase phase_from_name(const char *name);
/* Nothing follows: done, failed, cancelled. */
bool phase_is_final(enum phase phase);
/* May the migration be taken back without asking anybody? False from the switch on, and while
 * Compute has the guest. */
bool phase_can_cancel(enum phase phase);
/* What volumes.migration_status says in this phase of a migration; NULL: none (or, with
 * migration_result = keep, the result). */
const char *phase_migration_status(enum phase phase);

struct phase_step {
	const char *kind; /* of the operation */
	enum phase from, to;
	const char *why; /* shown to operators */
};
/* The step of the table, or NULL when there is none. */
const struct phase_step *phase_step_find(
	const char *kind, enum phase from, enum phase to);

/* The tables as Markdown: docs/states.md. */
void phase_print(FILE *out);

#endif
