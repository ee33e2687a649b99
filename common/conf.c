/* SPDX-License-Identifier: Apache-2.0 */
#include "common/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/text.h"

/* More than any configuration has; keeps a wrong path (a disk image) out of memory. */
#define MAX_FILE_BYTES (16 << 20)
/* References followed for one value: ends circles that multiply. */
#define MAX_REFERENCES 500

struct section {
	char *name; /* as written first */
	char *where;
};

struct entry {
	const char *section; /* the name in conf->sections */
	char *key, *value;
	char *where; /* "file:line" */
};

struct defaults {
	char *section;
	const struct option *options;
	size_t count;
};

struct conf {
	struct section *sections;
	size_t section_count;
	struct entry *entries; /* in the order of the files */
	size_t entry_count;
	struct defaults *defaults;
	size_t defaults_count;
};

void conf_free(struct conf *conf)
{
	for (size_t i = 0; i < conf->section_count; i++) {
		free(conf->sections[i].name);
		free(conf->sections[i].where);
	}
	for (size_t i = 0; i < conf->entry_count; i++) {
		free(conf->entries[i].key);
		free(conf->entries[i].value);
		free(conf->entries[i].where);
	}
	for (size_t i = 0; i < conf->defaults_count; i++)
		free(conf->defaults[i].section);
	free(conf->sections);
	free(conf->entries);
	free(conf->defaults);
	free(conf);
}

/* Room for one more; capacity is the next power of two. */
static int grow(void **array, size_t count, size_t size, struct error *err)
{
	if (count & (count - 1) || (count && count < 8))
		return 0;
	void *more = reallocarray(*array, count ? count * 2 : 8, size);
	if (!more)
		return error_no_memory(err);
	*array = more;
	return 0;
}

/* oslo.config compares them in lower case, except [DEFAULT]. */
static bool same_section(const char *a, const char *b)
{
	if (strcmp(a, "DEFAULT") == 0 || strcmp(b, "DEFAULT") == 0)
		return strcmp(a, b) == 0;
	return strcasecmp(a, b) == 0;
}

static const char *find_section(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->section_count; i++)
		if (same_section(conf->sections[i].name, name))
			return conf->sections[i].name;
	return NULL;
}

bool conf_has_section(const struct conf *conf, const char *section)
{
	return find_section(conf, section) != NULL;
}

const char *conf_section(const struct conf *conf, size_t index)
{
	return index < conf->section_count ? conf->sections[index].name : NULL;
}

/* White space: what Python's str.strip() takes away. */

static size_t space_size(const char *text, size_t left)
{
	static const char *const wide[] = { "\xc2\x85", "\u00a0", "\u1680", "\u2000",
		"\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007",
		"\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f",
		"\u3000" };
	unsigned char c;

	if (!left)
		return 0;
	c = (unsigned char)*text;
	if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f))
		return 1;
	for (size_t i = 0; c >= 0x80 && i < ARRAY_SIZE(wide); i++) {
		size_t size = strlen(wide[i]);
		if (size <= left && memcmp(text, wide[i], size) == 0)
			return size;
	}
	return 0;
}

struct piece {
	const char *at;
	size_t size;
};

static struct piece strip_left(struct piece piece)
{
	size_t size;

	while ((size = space_size(piece.at, piece.size)) > 0) {
		piece.at += size;
		piece.size -= size;
	}
	return piece;
}

static struct piece strip_right(struct piece piece)
{
	while (piece.size) {
		size_t start = piece.size - 1;
		while (start && ((unsigned char)piece.at[start] & 0xc0) == 0x80)
			start--;
		if (!space_size(piece.at + start, piece.size - start))
			break;
		piece.size = start;
	}
	return piece;
}

static struct piece strip(struct piece piece)
{
	return strip_left(strip_right(piece));
}

static struct piece piece_of(const char *text)
{
	return (struct piece) { text, strlen(text) };
}

/* The parser: lines, and the assignment that the next line may continue. */

struct parser {
	struct conf *conf;
	const char *name; /* of the file */
	unsigned line;
	const char *section;
	char *key; /* NULL: no assignment is open */
	unsigned key_line;
	FILE *out; /* collects the value; owned, as the two below */
	char *value;
	size_t value_size;
};

static int bad_line(const struct parser *p, const char *reason, struct error *err)
{
	return error_set(err, ERR_CONFIG, "%s:%u: %s", p->name, p->line, reason);
}

static void parser_clear(struct parser *p)
{
	if (p->out)
		fclose(p->out);
	free(p->value);
	free(p->key);
	p->out = NULL;
	p->value = p->key = NULL;
}

static inline void auto_parser(struct parser *p)
{
	parser_clear(p);
}

static int finish_assignment(struct parser *p, struct error *err)
{
	struct conf *conf = p->conf;

	if (!p->key)
		return 0;
	if (!p->section)
		return error_set(err, ERR_CONFIG,
			"%s:%u: option '%s' stands before the first [section]", p->name,
			p->key_line, p->key);
	if (grow((void **)&conf->entries, conf->entry_count, sizeof(*conf->entries),
		    err) < 0)
		return -1;
	AUTO(free) char *where = text_format("%s:%u", p->name, p->key_line);
	bool written = !ferror(p->out) && fflush(p->out) == 0;
	if (!where || !written)
		return error_no_memory(err);
	fclose(p->out);
	p->out = NULL;
	conf->entries[conf->entry_count++] = (struct entry) {
		.section = p->section,
		.key = steal(p->key),
		.value = steal(p->value),
		.where = steal(where),
	};
	return 0;
}

static int take_section(struct parser *p, struct piece line, struct error *err)
{
	struct conf *conf = p->conf;

	if (line.at[line.size - 1] != ']')
		return bad_line(p, "a section must end with ']'", err);
	if (line.size <= 2)
		return bad_line(p, "the section has no name", err);

	AUTO(free) char *name = strndup(line.at + 1, line.size - 2);
	AUTO(free) char *where = text_format("%s:%u", p->name, p->line);
	if (!name || !where)
		return error_no_memory(err);
	p->section = find_section(conf, name);
	if (p->section)
		return 0;
	if (grow((void **)&conf->sections, conf->section_count, sizeof(*conf->sections),
		    err) < 0)
		return -1;
	p->section = name;
	conf->sections[conf->section_count++] = (struct section) {
		.name = steal(name),
		.where = steal(where),
	};
	return 0;
}

static struct piece unquote(struct piece value)
{
	if (!value.size || (*value.at != '"' && *value.at != '\''))
		return value;
	if (value.at[value.size - 1] != *value.at)
		return value;
	/* A lone quote is its own partner, as in oslo.config. */
	value.at++;
	value.size = value.size > 1 ? value.size - 2 : 0;
	return value;
}

static int take_assignment(struct parser *p, struct piece line, struct error *err)
{
	size_t split = 0;

	while (split < line.size && line.at[split] != '=' && line.at[split] != ':')
		split++;
	if (split == line.size)
		return bad_line(p, "neither '=' nor ':' found", err);

	struct piece key = strip((struct piece) { line.at, split });
	struct piece value =
		strip((struct piece) { line.at + split + 1, line.size - split - 1 });
	if (!key.size)
		return bad_line(p, "the option has no name", err);
	value = unquote(value);
	p->key_line = p->line;
	p->key = strndup(key.at, key.size);
	p->out = open_memstream(&p->value, &p->value_size);
	if (!p->key || !p->out)
		return error_no_memory(err);
	fwrite(value.at, 1, value.size, p->out);
	return 0;
}

static int take_line(struct parser *p, struct piece raw, struct error *err)
{
	struct piece line = strip_right(raw);

	if (!line.size)
		return finish_assignment(p, err);
	if (*line.at == ' ' || *line.at == '\t') {
		if (!p->key)
			return bad_line(
				p, "a continuation line continues nothing", err);
		line = strip_left(line);
		fputc('\n', p->out);
		fwrite(line.at, 1, line.size, p->out);
		return 0;
	}
	if (finish_assignment(p, err) < 0)
		return -1;
	if (*line.at == '[')
		return take_section(p, line, err);
	if (*line.at == '#' || *line.at == ';')
		return 0;
	return take_assignment(p, line, err);
}

static int check_text(const struct parser *p, struct piece line, struct error *err)
{
	for (size_t at = 0, size; at < line.size; at += size) {
		size = text_utf8_size(line.at + at, line.size - at);
		if (!size)
			return bad_line(p, "not UTF-8", err);
		if (!line.at[at])
			return bad_line(p, "a NUL byte", err);
	}
	return 0;
}

static int parse_into(
	struct conf *conf, const char *name, struct piece text, struct error *err)
{
	AUTO(parser) struct parser p = { .conf = conf, .name = name };

	while (text.size) {
		struct piece line = { text.at, 0 };
		while (line.size < text.size && line.at[line.size] != '\n' &&
			line.at[line.size] != '\r')
			line.size++;
		size_t taken = line.size;
		if (taken < text.size && text.at[taken++] == '\r' &&
			taken < text.size && text.at[taken] == '\n')
			taken++;
		text.at += taken;
		text.size -= taken;

		p.line++;
		if (check_text(&p, line, err) < 0 || take_line(&p, line, err) < 0)
			return -1;
	}
	return finish_assignment(&p, err);
}

int conf_parse(const char *name, const char *text, size_t length, struct conf **out,
	struct error *err)
{
	AUTO(conf_free) struct conf *conf = calloc(1, sizeof(*conf));

	if (!conf)
		return error_no_memory(err);
	if (parse_into(conf, name, (struct piece) { text, length }, err) < 0)
		return -1;
	*out = steal(conf);
	return 0;
}

static int cannot_read(const char *path, struct error *err)
{
	return error_set_errno(err, ERR_CONFIG, "cannot read '%s'", path);
}

static int load_into(struct conf *conf, const char *path, struct error *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO(free) char *text = NULL;
	size_t length = 0, size = 0;

	if (fd < 0)
		return cannot_read(path, err);
	for (;;) {
		if (length == size) {
			size = size ? size * 2 : 65536;
			char *more = realloc(text, size);
			if (!more)
				return error_no_memory(err);
			text = more;
		}
		ssize_t got = read(fd, text + length, size - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return cannot_read(path, err);
		if (got == 0)
			break;
		length += (size_t)got;
		if (length > MAX_FILE_BYTES)
			return error_set(err, ERR_CONFIG,
				"'%s' is too large for a configuration file", path);
	}
	return parse_into(conf, path, (struct piece) { text, length }, err);
}

int conf_load(
	const char *const *paths, size_t count, struct conf **out, struct error *err)
{
	AUTO(conf_free) struct conf *conf = calloc(1, sizeof(*conf));

	if (!conf)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++)
		if (load_into(conf, paths[i], err) < 0)
			return -1;
	*out = steal(conf);
	return 0;
}

static const struct entry *find_entry(
	const struct conf *conf, const char *section, const char *key)
{
	for (size_t i = conf->entry_count; i-- > 0;)
		if (strcmp(conf->entries[i].key, key) == 0 &&
			same_section(conf->entries[i].section, section))
			return &conf->entries[i];
	return NULL;
}

int conf_add_defaults(struct conf *conf, const char *section,
	const struct option *options, size_t count, struct error *err)
{
	if (grow((void **)&conf->defaults, conf->defaults_count,
		    sizeof(*conf->defaults), err) < 0)
		return -1;
	char *name = strdup(section);
	if (!name)
		return error_no_memory(err);
	conf->defaults[conf->defaults_count++] = (struct defaults) {
		.section = name,
		.options = options,
		.count = count,
	};
	return 0;
}

static const struct option *find_default(
	const struct conf *conf, const char *section, const char *key)
{
	for (size_t i = 0; i < conf->defaults_count; i++) {
		const struct defaults *d = &conf->defaults[i];
		if (!same_section(d->section, section))
			continue;
		for (size_t j = 0; j < d->count; j++)
			if (strcmp(d->options[j].name, key) == 0)
				return &d->options[j];
	}
	return NULL;
}

/* Substitution: string.Template's safe_substitute with oslo.config's identifiers. */

struct frame { /* one value being expanded, and what referred to it */
	const struct frame *outer;
	const char *raw;
};

struct expansion {
	const struct conf *conf;
	unsigned references;
	FILE *out;
};

static int expand(struct expansion *x, const char *section, const char *raw,
	const struct frame *outer, struct error *err);

/* The unexpanded value of section's key as a reference sees it: 1 found, 0 not. */
static int find_raw(const struct conf *conf, const char *section, const char *key,
	const char **raw, struct error *err)
{
	const struct entry *entry = find_entry(conf, section, key);

	if (entry) {
		*raw = entry->value;
		return 1;
	}
	const struct option *option = find_default(conf, section, key);
	if (!option)
		return 0;
	if (option->type == OPTION_IGNORED)
		return error_set(err, ERR_CONFIG, "'$%s' is set nowhere", key);
	*raw = option->fallback ? option->fallback : "";
	return 1;
}

static int expand_reference(struct expansion *x, const char *section, const char *name,
	const struct frame *outer, struct error *err)
{
	AUTO(free) char *group = NULL;
	const char *dot = strchr(name, '.');
	const char *key = name, *raw = NULL;

	if (++x->references > MAX_REFERENCES)
		return error_set(err, ERR_CONFIG, "'$%s': too many references", name);
	if (dot) {
		group = strndup(name, (size_t)(dot - name));
		if (!group)
			return error_no_memory(err);
		section = group;
		key = dot + 1;
	}
	int found = find_raw(x->conf, section, key, &raw, err);
	if (!found) {
		section = "DEFAULT";
		found = find_raw(x->conf, section, name, &raw, err);
	}
	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_CONFIG, "'$%s' names no option", name);
	if (expand(x, section, raw, outer, err) < 0)
		return error_context(err, "'$%s'", name);
	return 0;
}

static bool starts_name(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t name_size(const char *text)
{
	size_t size = 0;

	if (!starts_name(*text))
		return 0;
	while (starts_name(text[size]) || text[size] == '.' ||
		(text[size] >= '0' && text[size] <= '9'))
		size++;
	return size;
}

static int expand_at(struct expansion *x, const char *section, const char **at,
	const struct frame *frame, struct error *err)
{
	const char *p = *at + 1;
	bool braced = *p == '{';
	size_t size = name_size(p + braced);

	if (*p == '$') {
		fputc('$', x->out);
		*at += 2;
		return 0;
	}
	if (!size || (braced && p[1 + size] != '}')) { /* no reference at all */
		fputc('$', x->out);
		*at += 1;
		return 0;
	}
	AUTO(free) char *name = strndup(p + braced, size);
	if (!name)
		return error_no_memory(err);
	*at = p + size + (braced ? 2 : 0);
	return expand_reference(x, section, name, frame, err);
}

static int expand(struct expansion *x, const char *section, const char *raw,
	const struct frame *outer, struct error *err)
{
	struct frame frame = { .outer = outer, .raw = raw };

	for (const struct frame *f = outer; f; f = f->outer)
		if (f->raw == raw)
			return error_set(err, ERR_CONFIG,
				"the value refers to itself in a circle");

	AUTO(free) char *text = strdup(raw);
	if (!text)
		return error_no_memory(err);
	for (char *p = text; (p = strstr(p, "\\$")); p += 2)
		*p = '$';
	for (const char *p = text; *p;) {
		if (*p != '$')
			fputc(*p++, x->out);
		else if (expand_at(x, section, &p, &frame, err) < 0)
			return -1;
	}
	return 0;
}

static int expand_value(const struct conf *conf, const char *section, const char *raw,
	char **out, struct error *err)
{
	AUTO(free) char *value = NULL;
	size_t size = 0;
	struct expansion x = { .conf = conf };

	x.out = open_memstream(&value, &size);
	if (!x.out)
		return error_no_memory(err);
	int rc = expand(&x, section, raw, NULL, err);
	bool written = !ferror(x.out);
	if (fclose(x.out) != 0 || !written)
		return error_no_memory(err);
	if (rc < 0)
		return -1;
	*out = steal(value);
	return 0;
}

int conf_get(const struct conf *conf, const char *section, const char *fallback_section,
	const char *name, char **out, const char **where, struct error *err)
{
	const struct entry *entry = find_entry(conf, section, name);

	if (!entry && fallback_section)
		entry = find_entry(conf, fallback_section, name);
	if (!entry) {
		*out = NULL;
		return 0;
	}
	if (expand_value(conf, entry->section, entry->value, out, err) < 0)
		return error_context(err, "%s: option '%s'", entry->where, name);
	if (where)
		*where = entry->where;
	return 0;
}

/* From text to fields. */

static void *field(const struct option *option, void *into)
{
	return (char *)into + option->offset;
}

static void list_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static int to_bool(const char *text, bool *out, struct error *err)
{
	static const char *const yes[] = { "true", "1", "on", "yes" };
	static const char *const no[] = { "false", "0", "off", "no" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*out = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return error_set(err, ERR_CONFIG, "'%s' is neither true nor false", text);
}

/* As Python reads numbers: white space around them, '_' between digits. */
static char *plain_number(const char *text)
{
	struct piece piece = strip(piece_of(text));
	char *plain = strndup(piece.at, piece.size);
	char *end = plain;

	for (size_t i = 0; plain && i < piece.size; i++) {
		bool between = i && strchr("0123456789", piece.at[i - 1]) &&
			i + 1 < piece.size && strchr("0123456789", piece.at[i + 1]);
		if (piece.at[i] != '_' || !between)
			*end++ = piece.at[i];
	}
	if (plain)
		*end = '\0';
	return plain;
}

static bool has_bounds(const struct option *option)
{
	return option->min < 0 || option->min > 0 || option->max < 0 || option->max > 0;
}

static int to_number(
	const struct option *option, const char *text, void *into, struct error *err)
{
	AUTO(free) char *plain = plain_number(text);
	bool bounds = has_bounds(option);
	int64_t whole;
	double number;

	if (!plain)
		return error_no_memory(err);
	if (option->type == OPTION_INT) {
		int64_t min = bounds ? (int64_t)option->min : INT64_MIN;
		int64_t max = bounds ? (int64_t)option->max : INT64_MAX;
		if (text_to_int(plain, min, max, &whole, err) < 0)
			return -1;
		*(int64_t *)into = whole;
		return 0;
	}
	if (text_to_double(plain, &number, err) < 0)
		return -1;
	if (bounds && (number < option->min || number > option->max))
		return error_set(err, ERR_CONFIG, "%s is outside %g to %g", plain,
			option->min, option->max);
	*(double *)into = number;
	return 0;
}

static int to_list(const char *text, char ***out, struct error *err)
{
	struct piece rest = strip(piece_of(text));
	size_t count = 0;

	while (rest.size && rest.at[rest.size - 1] == ',')
		rest.size--;
	for (size_t i = 0; i < rest.size; i++)
		count += rest.at[i] == ',';
	char **list = calloc(count + 2, sizeof(*list));
	if (!list)
		return error_no_memory(err);
	for (size_t i = 0; rest.size && i <= count; i++) {
		const char *comma = memchr(rest.at, ',', rest.size);
		size_t size = comma ? (size_t)(comma - rest.at) : rest.size;
		struct piece item = strip((struct piece) { rest.at, size });
		list[i] = strndup(item.at, item.size);
		if (!list[i]) {
			list_free(list);
			return error_no_memory(err);
		}
		rest.at += size + (comma ? 1 : 0);
		rest.size -= size + (comma ? 1 : 0);
	}
	list_free(*out);
	*out = list;
	return 0;
}

static int convert(
	const struct option *option, const char *text, void *into, struct error *err)
{
	char *copy;

	switch (option->type) {
	case OPTION_STRING:
		copy = strdup(text);
		if (!copy)
			return error_no_memory(err);
		free(*(char **)into);
		*(char **)into = copy;
		return 0;
	case OPTION_BOOL:
		return to_bool(text, into, err);
	case OPTION_INT:
	case OPTION_FLOAT:
		return to_number(option, text, into, err);
	case OPTION_LIST:
		return to_list(text, into, err);
	case OPTION_IGNORED:
		break;
	}
	return 0;
}

int conf_convert(
	const struct option *option, const char *text, void *into, struct error *err)
{
	if (convert(option, text, field(option, into), err) == 0)
		return 0;
	if (err && err->code == ERR_INVALID_INPUT)
		err->code = ERR_CONFIG;
	return error_context(err, "option '%s'", option->name);
}

static bool is_number(const struct option *option)
{
	return option->type == OPTION_INT || option->type == OPTION_FLOAT;
}

static int read_option(const struct conf *conf, const char *section,
	const char *fallback_section, const struct option *option, void *into,
	struct error *err)
{
	AUTO(free) char *text = NULL;
	const char *where = "default";

	if (conf_get(conf, section, fallback_section, option->name, &text, &where,
		    err) < 0)
		return -1;
	if (text && is_number(option) && !strip(piece_of(text)).size) {
		free(text);
		text = NULL;
	}
	if (!text && option->fallback &&
		expand_value(conf, section, option->fallback, &text, err) < 0)
		return error_context(err, "default of option '%s'", option->name);
	if (text && conf_convert(option, text, into, err) < 0)
		return error_context(err, "%s", where);
	return 0;
}

int conf_read(const struct conf *conf, const char *section,
	const char *fallback_section, const struct option *options, size_t count,
	void *into, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (options[i].type == OPTION_IGNORED)
			continue;
		if (read_option(conf, section, fallback_section, &options[i], into,
			    err) < 0)
			return -1;
	}
	return 0;
}

void conf_clear(const struct option *options, size_t count, void *into)
{
	for (size_t i = 0; i < count; i++) {
		void *at = field(&options[i], into);
		if (options[i].type == OPTION_STRING) {
			free(*(char **)at);
			*(char **)at = NULL;
		} else if (options[i].type == OPTION_LIST) {
			list_free(*(char ***)at);
			*(char ***)at = NULL;
		}
	}
}

/* What nobody reads. */

/* A word further away than this is not a misspelling of the other. */
static unsigned likely_distance(const char *word)
{
	size_t third = strlen(word) / 3;

	return third < 1 ? 1 : third > 4 ? 4 : (unsigned)third;
}

/* NULL in *nearest when nothing is near; false when the key is known. */
static bool is_unknown(
	const char *key, const struct option_table *tables, const char **nearest)
{
	unsigned best = likely_distance(key) + 1;

	*nearest = NULL;
	for (; tables->options; tables++) {
		for (size_t i = 0; i < tables->count; i++) {
			const char *name = tables->options[i].name;
			unsigned distance = text_distance(key, name, best);
			if (distance == 0)
				return false;
			if (distance < best) {
				best = distance;
				*nearest = name;
			}
		}
	}
	return true;
}

void conf_warn_unknown(
	const struct conf *conf, const char *section, const struct option_table *tables)
{
	for (size_t i = 0; i < conf->entry_count; i++) {
		const struct entry *e = &conf->entries[i];
		const char *nearest;
		if (!same_section(e->section, section) ||
			find_entry(conf, section, e->key) != e ||
			!is_unknown(e->key, tables, &nearest))
			continue;
		if (nearest)
			log_warning("%s: unknown option '%s' in [%s], ignored;"
				    " the nearest known one is '%s'",
				e->where, e->key, e->section, nearest);
		else
			log_warning("%s: unknown option '%s' in [%s], ignored",
				e->where, e->key, e->section);
	}
}

void conf_warn_sections(const struct conf *conf, const char *const *known)
{
	for (size_t i = 0; i < conf->section_count; i++) {
		const struct section *section = &conf->sections[i];
		size_t k = 0;
		while (known[k] && !same_section(known[k], section->name))
			k++;
		if (!known[k])
			log_warning("%s: nothing reads section [%s], ignored",
				section->where, section->name);
	}
}
