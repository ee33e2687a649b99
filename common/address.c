/* SPDX-License-Identifier: Apache-2.0 */
#include "common/address.h"

#include <stdio.h>
#include <string.h>

static bool is_clean(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f ||
			strchr("'\"\\/*", text[i]))
			return false;
	return length > 0;
}

int address_parse(const char *text, struct address *out, struct error *err)
{
	const char *at = strchr(text, '@');
	const char *hash = strchr(text, '#');
	size_t length = strnlen(text, ADDRESS_SIZE);
	size_t backend = hash ? (size_t)(hash - text) : length;

	if (length >= ADDRESS_SIZE)
		return error_set(err, ERR_INVALID_HOST,
			"a host name longer than %d characters is not a target",
			ADDRESS_SIZE - 1);
	if (!is_clean(text, length))
		return error_set(err, ERR_INVALID_HOST,
			"'%.64s' is not a target: write host@backend or "
			"host@backend#pool",
			text);
	if (!at || at == text || (hash && at > hash) ||
		(size_t)(at + 1 - text) >= backend || strchr(at + 1, '@') ||
		(hash && (!hash[1] || strchr(hash + 1, '#'))))
		return error_set(err, ERR_INVALID_HOST,
			"'%s' is not a target: write host@backend or "
			"host@backend#pool",
			text);
	snprintf(out->host, sizeof(out->host), "%.*s", (int)(at - text), text);
	snprintf(out->backend, sizeof(out->backend), "%.*s", (int)backend, text);
	snprintf(out->pool, sizeof(out->pool), "%s", hash ? hash + 1 : "");
	return 0;
}

bool address_same_backend(const char *a, const char *b)
{
	size_t length = strcspn(a, "#");

	return length == strcspn(b, "#") && strncmp(a, b, length) == 0;
}

bool address_matches(const char *a, const char *b)
{
	if (!address_same_backend(a, b))
		return false;
	return !strchr(a, '#') || !strchr(b, '#') || strcmp(a, b) == 0;
}

void address_topic(const struct address *address, char out[ADDRESS_SIZE + 16])
{
	snprintf(out, ADDRESS_SIZE + 16, "cinder-volume.%s", address->backend);
}
