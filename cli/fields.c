/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/fields.h"

#include <string.h>

#include "cli/table.h"
#include "common/text.h"

static bool is_utf8(const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t size = text_utf8_size(text, left);

		if (size == 0)
			return false;
		text += size;
		left -= size;
	}
	return true;
}

void fields_text(struct json_object *o, const char *key, const char *text)
{
	AUTO(free) char *printable = NULL;

	if (!text[0]) {
		json_add(o, key, NULL);
		return;
	}
	if (!is_utf8(text)) {
		printable = text_printable(text);
		text = printable;
	}
	json_add_string(o, key, text);
}
