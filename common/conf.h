/* SPDX-License-Identifier: Apache-2.0 */
/* conf.h - configuration in oslo.config's dialect, as in an operator's cinder.conf.
 *
 * Sections in brackets, "name = value" or "name: value", continuation lines that begin
 * with white space, comment lines with '#' or ';' in column one, no comments behind
 * values, quotes around a whole value removed where oslo.config removes them, $name,
 * ${name}, ${section.name}, $$ and \$ substituted when a value is read. The last of
 * several values of one name counts. Section names but DEFAULT are the same in upper and
 * lower case. Lines may be long. Every error names file and line.
 *
 * Other than oslo.config: a NUL is refused, integers must fit 64 bits, inf and nan are no
 * numbers, $flag has the spelling of the file (not True), ${SECTION.name} finds [section],
 * and a reference to a value that itself cannot be expanded is an error, where oslo.config
 * silently looks in [DEFAULT] instead.
 */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"

struct conf;

/* Read the files in order; later ones win. ERR_CONFIG with "file:line: reason". */
int conf_load(
	const char *const *paths, size_t count, struct conf **out, struct error *err);
/* The same from memory, for tests and fuzzing; name stands for the path. */
int conf_parse(const char *name, const char *text, size_t length, struct conf **out,
	struct error *err);
void conf_free(struct conf *conf);
DEFINE_AUTO(struct conf *, conf_free)

bool conf_has_section(const struct conf *conf, const char *section);
/* The sections in the order of the files, each once, as written; NULL behind the last. */
const char *conf_section(const struct conf *conf, size_t index);

/* The value with substitutions done, malloc'd, or NULL in *out when it is not set.
 * *where, when not NULL, becomes "file:line" (borrowed). A reference to an unknown name
 * or a circle is ERR_CONFIG. fallback_section is looked at next (NULL: none). */
int conf_get(const struct conf *conf, const char *section, const char *fallback_section,
	const char *name, char **out, const char **where, struct error *err);

enum option_type {
	OPTION_STRING, /* char *, malloc'd, NULL when unset and without default */
	OPTION_BOOL, /* bool: true/1/on/yes, false/0/off/no as oslo.config */
	OPTION_INT, /* int64_t in [min, max] */
	OPTION_FLOAT, /* double in [min, max] */
	OPTION_LIST, /* char **, NULL-terminated, malloc'd; commas as oslo.config */
	OPTION_IGNORED, /* Cinder's, not needed here: silent */
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset; /* of the field in the struct that conf_read fills */
	const char *fallback; /* default as text, NULL: none */
	double min, max; /* both 0: no bounds */
	const char *help; /* one sentence, for --show-config and the man page */
};

/* Let $name and ${section.name} see the defaults of these options where no file sets
 * them; an option without default stands for an empty text, an ignored one for an error.
 * The table is borrowed for the life of conf. */
int conf_add_defaults(struct conf *conf, const char *section,
	const struct option *options, size_t count, struct error *err);

/* Fill the struct at into, zeroed before, from the section (then fallback_section, then
 * the defaults). An empty number counts as not set. ERR_CONFIG names file, line, option
 * and reason; what was filled until then is freed by conf_clear. */
int conf_read(const struct conf *conf, const char *section,
	const char *fallback_section, const struct option *options, size_t count,
	void *into, struct error *err);
/* Put one value, given as text, into its field of the struct at into. ERR_CONFIG names
 * the option. */
int conf_convert(
	const struct option *option, const char *text, void *into, struct error *err);
/* Free what conf_read allocated. */
void conf_clear(const struct option *options, size_t count, void *into);

/* Warn (log.h), once for each, about keys of the section that none of the tables knows,
 * naming the nearest known one. tables ends with an entry whose options is NULL. */
struct option_table {
	const struct option *options;
	size_t count;
};
void conf_warn_unknown(const struct conf *conf, const char *section,
	const struct option_table *tables);

/* Warn about sections that nobody reads: known ends with NULL. */
void conf_warn_sections(const struct conf *conf, const char *const *known);

#endif
