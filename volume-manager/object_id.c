/* SPDX-License-Identifier: Apache-2.0 */
/* Identities are parts, "ino:5,btime:1.000000002,gen:7": the first one with a key says which
 * object it is, the others that it is still the same and no later one of that number. What
 * a file system can tell of these depends on the kernel and on how it is mounted. */
#include <string.h>

#include "volume-manager/backend.h"

struct part {
	const char *text;
	size_t length, key; /* key: with its colon; 0: there is none */
};

static bool next_part(const char **at, struct part *out)
{
	const char *colon;

	if (!**at)
		return false;
	out->text = *at;
	out->length = strcspn(*at, ",");
	colon = memchr(*at, ':', out->length);
	out->key = colon ? (size_t)(colon - *at) + 1 : 0;
	*at += out->length;
	if (**at)
		(*at)++;
	return true;
}

static bool find_part(const char *text, const struct part *like, struct part *out)
{
	while (next_part(&text, out))
		if (out->key == like->key &&
			memcmp(out->text, like->text, like->key) == 0)
			return true;
	return false;
}

static bool is_equal(const struct part *a, const struct part *b)
{
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* Do all of a's parts agree with b's, and has b those that are needed? */
static bool agrees(const char *a, const char *b)
{
	struct part part, other;
	bool named = false;

	while (next_part(&a, &part)) {
		bool needed = part.key == 0 || !named;

		named = named || part.key > 0;
		if (find_part(b, &part, &other) ? !is_equal(&part, &other) : needed)
			return false;
	}
	return true;
}

bool object_id_is_same(const struct object_id *a, const struct object_id *b)
{
	return a->text[0] && b->text[0] && agrees(a->text, b->text) &&
		agrees(b->text, a->text);
}
