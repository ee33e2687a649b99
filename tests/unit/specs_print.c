/* SPDX-License-Identifier: Apache-2.0 */
/* For compare_extra_specs.py: each line is a JSON list of capabilities and extra specs, each
 * answer 1 or 0. */
#include <stdio.h>
#include <string.h>

#include "scheduler/specs.h"

int main(void)
{
	static char line[1 << 16];
	struct error err;
	char why[256];

	while (fgets(line, sizeof(line), stdin)) {
		AUTO(json_object_put) struct json_object *pair = NULL;

		if (json_parse(line, strlen(line), &pair, &err) < 0) {
			fprintf(stderr, "%s: %s", err.text, line);
			return 1;
		}
		puts(specs_are_met(json_object_array_get_idx(pair, 0),
			     json_object_array_get_idx(pair, 1), why, sizeof(why))
				? "1"
				: "0");
	}
	return 0;
}
