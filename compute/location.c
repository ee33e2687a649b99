/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/location.h"

#include <stdio.h>
#include <string.h>

#include "common/text.h"

static const struct {
	enum location_kind kind;
	const char *name;
} kinds[] = {
	{ LOCATION_NONE, "none" },
	{ LOCATION_FILE, "file" },
	{ LOCATION_BLOCK, "block" },
	{ LOCATION_NBD, "nbd" },
	{ LOCATION_OTHER, "other" },
};

static const char *kind_name(enum location_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind == kind)
			return kinds[i].name;
	return "none";
}

static int kind_from_name(const char *name, enum location_kind *out, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0) {
			*out = kinds[i].kind;
			return 0;
		}
	return error_set(err, ERR_INVALID_INPUT, "'%.32s' is no kind of a disk", name);
}

bool location_equal(const struct location *a, const struct location *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case LOCATION_FILE:
	case LOCATION_BLOCK:
		return strcmp(a->path, b->path) == 0;
	case LOCATION_NBD:
		return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0 &&
			strcmp(a->export, b->export) == 0;
	default:
		return false;
	}
}

struct json_object *location_to_json(const struct location *location)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "kind", kind_name(location->kind));
	json_add_string(o, "path", location->path);
	json_add_string(o, "host", location->host);
	json_add_string(o, "port", location->port);
	json_add_string(o, "export", location->export);
	json_add_bool(o, "tls", location->tls);
	return o;
}

static int copy_text(struct json_object *o, const char *key, char *out, size_t size,
	struct error *err)
{
	const char *text;

	if (json_get_string_or(o, key, "", &text, err) < 0)
		return -1;
	if (strlen(text) >= size)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is too long", key);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

int location_from_json(struct json_object *o, struct location *out, struct error *err)
{
	struct location made = { 0 };
	const char *kind;

	if (json_get_string(o, "kind", &kind, err) < 0 ||
		kind_from_name(kind, &made.kind, err) < 0 ||
		copy_text(o, "path", made.path, sizeof(made.path), err) < 0 ||
		copy_text(o, "host", made.host, sizeof(made.host), err) < 0 ||
		copy_text(o, "port", made.port, sizeof(made.port), err) < 0 ||
		copy_text(o, "export", made.export, sizeof(made.export), err) < 0 ||
		json_get_bool_or(o, "tls", false, &made.tls, err) < 0)
		return -1;
	*out = made;
	return 0;
}
