/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what conf.c makes of configuration files, for compare_oslo_config.py: one line of
 * JSON for each file named on standard input, {"error": ...} or the values of a fixed set
 * of options, each a value or {"error": ...}. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/conf.h"
#include "common/json.h"

struct values {
	char *a, *b, *c;
	bool flag;
	int64_t number, bounded;
	double ratio;
	char **list;
};

static const struct option options[] = {
	{ "a", OPTION_STRING, offsetof(struct values, a), NULL, 0, 0, "" },
	{ "b", OPTION_STRING, offsetof(struct values, b), NULL, 0, 0, "" },
	{ "c", OPTION_STRING, offsetof(struct values, c), "default of $a", 0, 0, "" },
	{ "flag", OPTION_BOOL, offsetof(struct values, flag), NULL, 0, 0, "" },
	{ "number", OPTION_INT, offsetof(struct values, number), NULL, 0, 0, "" },
	{ "bounded", OPTION_INT, offsetof(struct values, bounded), NULL, 1, 10, "" },
	{ "ratio", OPTION_FLOAT, offsetof(struct values, ratio), NULL, 0, 0, "" },
	{ "list", OPTION_LIST, offsetof(struct values, list), NULL, 0, 0, "" },
};

static const char *const sections[] = { "DEFAULT", "one", "two" };

static struct json_object *as_json(const struct option *option, const struct values *v)
{
	const void *at = (const char *)v + option->offset;
	struct json_object *list;

	switch (option->type) {
	case OPTION_STRING:
		if (!*(char *const *)at)
			return NULL;
		return json_object_new_string(*(char *const *)at);
	case OPTION_BOOL:
		return json_object_new_boolean(*(const bool *)at);
	case OPTION_INT:
		return json_object_new_int64(*(const int64_t *)at);
	case OPTION_FLOAT:
		return json_object_new_double(*(const double *)at);
	case OPTION_LIST:
		list = json_object_new_array();
		for (char **item = *(char **const *)at; item && *item; item++)
			json_object_array_add(list, json_object_new_string(*item));
		return list;
	case OPTION_IGNORED:
		break;
	}
	return NULL;
}

/* A value that is not set is left out. */
static void add_option(struct json_object *into, const struct conf *conf,
	const char *section, const struct option *option)
{
	struct error err = { 0 };
	struct values v = { 0 };
	AUTO(free) char *raw = NULL;
	char key[64];

	snprintf(key, sizeof(key), "%s.%s", section, option->name);
	if (conf_get(conf, section, NULL, option->name, &raw, NULL, &err) == 0 &&
		!raw && !option->fallback)
		return;
	if (conf_read(conf, section, NULL, option, 1, &v, &err) < 0) {
		struct json_object *failure = json_object_new_object();
		json_add_string(failure, "error", err.text);
		json_add(into, key, failure);
	} else {
		json_add(into, key, as_json(option, &v));
	}
	conf_clear(option, 1, &v);
}

static struct json_object *describe(const char *path)
{
	struct json_object *out = json_object_new_object();
	AUTO(conf_free) struct conf *conf = NULL;
	struct error err = { 0 };

	if (conf_load(&path, 1, &conf, &err) < 0) {
		json_add_string(out, "error", err.text);
		return out;
	}
	for (size_t s = 0; s < ARRAY_SIZE(sections); s++) {
		if (conf_add_defaults(conf, sections[s], options, ARRAY_SIZE(options),
			    &err) < 0) {
			json_add_string(out, "error", err.text);
			return out;
		}
	}
	for (size_t s = 0; s < ARRAY_SIZE(sections); s++)
		for (size_t i = 0; i < ARRAY_SIZE(options); i++)
			add_option(out, conf, sections[s], &options[i]);
	return out;
}

int main(void)
{
	char path[4096];

	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = '\0';
		AUTO(json_object_put) struct json_object *out = describe(path);
		AUTO(free) char *text = json_text(out);
		puts(text ? text : "out of memory");
	}
	return 0;
}
