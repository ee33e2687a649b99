/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/text.h"

struct table {
	size_t columns;
	size_t count, room; /* of cells, headings included */
	char **cells;
};

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* The character that text begins with; *size becomes its bytes, 0 when it is none. */
static wchar_t character(const char *text, size_t *size)
{
	const unsigned char *p = (const unsigned char *)text;

	*size = text_utf8_size(text, strlen(text));
	switch (*size) {
	case 2:
		return (wchar_t)((p[0] & 0x1f) << 6 | (p[1] & 0x3f));
	case 3:
		return (wchar_t)((p[0] & 0x0f) << 12 | (p[1] & 0x3f) << 6 |
			(p[2] & 0x3f));
	case 4:
		return (wchar_t)((p[0] & 0x07) << 18 | (p[1] & 0x3f) << 12 |
			(p[2] & 0x3f) << 6 | (p[3] & 0x3f));
	default:
		return p[0];
	}
}

static bool is_printable(wchar_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	/* Line separators and what changes the direction of writing. */
	return !(c >= 0x200e && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
		!(c >= 0x2066 && c <= 0x2069) && c != 0xfeff && c != 0x061c;
}

char *text_printable(const char *text)
{
	/* The longest escape of one byte has four characters, of three bytes six. */
	char *out = need(malloc(4 * strlen(text) + 1));
	char *end = out;
	size_t size;

	while (*text) {
		wchar_t c = character(text, &size);

		if (size == 0 || (size == 1 && !is_printable(c))) {
			end += sprintf(end, "\\x%02x", (unsigned char)*text++);
			continue;
		}
		if (!is_printable(c)) {
			end += sprintf(end, "\\u%04x", (unsigned)c);
		} else {
			memcpy(end, text, size);
			end += size;
		}
		text += size;
	}
	*end = '\0';
	return out;
}

static size_t width(const char *text)
{
	size_t columns = 0;
	size_t size;

	while (*text) {
		int wide = wcwidth(character(text, &size));

		columns += wide >= 0 ? (size_t)wide : 1;
		text += size ? size : 1;
	}
	return columns;
}

struct table *table_new(const char *const *headings, size_t count)
{
	struct table *table = need(calloc(1, sizeof(*table)));

	table->columns = count;
	for (size_t i = 0; i < count; i++)
		table_add(table, headings[i]);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void table_add(struct table *table, const char *text)
{
	if (table->count == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->cells = need(
			reallocarray(table->cells, table->room, sizeof(*table->cells)));
	}
	table->cells[table->count++] = text_printable(text ? text : "None");
}

void table_add_int(struct table *table, int64_t number)
{
	table_add(table, NUM(number));
}

void table_property(struct table *table, const char *name, const char *value)
{
	assert(table->columns == 2);
	table_add(table, name);
	table_add(table, value);
}

const char *text_or_none(const char *text)
{
	return text && text[0] ? text : NULL;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t widest = 0;

	for (size_t i = column; i < table->count; i += table->columns) {
		size_t wide = width(table->cells[i]);

		widest = wide > widest ? wide : widest;
	}
	return widest;
}

static void repeat(FILE *out, char c, size_t times)
{
	while (times--)
		putc(c, out);
}

static void print_border(const struct table *table, FILE *out)
{
	for (size_t i = 0; i < table->columns; i++) {
		putc('+', out);
		repeat(out, '-', column_width(table, i) + 2);
	}
	fputs("+\n", out);
}

static void print_row(
	const struct table *table, size_t first, const size_t *widths, FILE *out)
{
	for (size_t i = 0; i < table->columns; i++) {
		const char *cell = table->cells[first + i];

		fprintf(out, "| %s ", cell);
		repeat(out, ' ', widths[i] - width(cell));
	}
	fputs("|\n", out);
}

void table_print(const struct table *table, FILE *out)
{
	AUTO(free) size_t *widths = need(calloc(table->columns, sizeof(*widths)));

	assert(table->count % table->columns == 0);
	for (size_t i = 0; i < table->columns; i++)
		widths[i] = column_width(table, i);
	print_border(table, out);
	for (size_t first = 0; first < table->count; first += table->columns) {
		print_row(table, first, widths, out);
		if (first == 0)
			print_border(table, out);
	}
	print_border(table, out);
}
