/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - tables for people, and text that is safe to print.
 *
 * Tables are small: out of memory aborts.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/auto.h"

/* A malloc'd copy in which control characters, marks that turn the direction of writing
 * and bytes that are no UTF-8 are escaped: "\x1b", "\u202e". */
char *text_printable(const char *text);

struct table;

/* headings: count of them, borrowed. */
struct table *table_new(const char *const *headings, size_t count);
#define TABLE(...) \
	table_new((const char *const[]) { __VA_ARGS__ }, \
		sizeof((const char *const[]) { __VA_ARGS__ }) / sizeof(const char *))
void table_free(struct table *table);
DEFINE_AUTO(struct table *, table_free)

/* The next cell, row by row; copied and made printable. NULL shows as "None". */
void table_add(struct table *table, const char *text);
void table_add_int(struct table *table, int64_t number);
/* One row of a table of two columns; text_or_none: empty text is None, too. */
void table_property(struct table *table, const char *name, const char *value);
const char *text_or_none(const char *text);

/* With borders, every column as wide as its widest cell. Only whole rows. */
void table_print(const struct table *table, FILE *out);

#endif
