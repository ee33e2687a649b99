/* SPDX-License-Identifier: Apache-2.0 */
/* search.h - all states that can be reached, breadth first, and that each rule is needed.
 *
 * States are plain values of one size without padding that differs; one search at a time.
 */
#ifndef TESTS_MODEL_SEARCH_H
#define TESTS_MODEL_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is explored. */
struct search_model {
	const char *name;
	size_t size; /* of a state */
	const void *first;
	void (*step)(
		const void *state); /* calls search_found() with all that can follow */
	const char *(*check)(
		const void *state); /* what is wrong with it; NULL: nothing */
	void (*show)(const void *state); /* one line */
	const char *const *rules; /* their names, bit 0 first; ends with NULL */
};

/* Is this rule (its bit) kept just now? */
bool search_rule(unsigned bit);
void search_found(const void *state);
/* With all rules nothing is wrong, without each something is; prints that in TAP's words.
 * The number of failures. */
int search_run(const struct search_model *model);

#endif
