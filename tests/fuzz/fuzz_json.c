/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: what is taken must be printed, and be taken again as the same.
 *
 * Built by hand, in a build directory:
 *	clang -g -fsanitize=fuzzer,address,undefined -include config.h -I. -I$srcdir \
 *		$(pkg-config --cflags --libs json-c uuid) -lm -o fuzz_json \
 *		$srcdir/tests/fuzz/fuzz_json.c $srcdir/common/{json,text,error}.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(json_object_put) struct json_object *one = NULL, *two = NULL;
	struct error err = { 0 };

	if (json_parse((const char *)data, size, &one, &err) < 0)
		return 0;
	AUTO(free) char *first = json_text(one);
	if (!first || json_parse(first, strlen(first), &two, &err) < 0)
		abort();
	AUTO(free) char *second = json_text(two);
	if (!second || strcmp(first, second) != 0)
		abort();
	return 0;
}
