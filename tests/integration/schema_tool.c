/* SPDX-License-Identifier: Apache-2.0 */
/* schema_tool URL sync|check - for test_db_sync.py. */
#include <stdio.h>
#include <string.h>

#include "common/db.h"
#include "common/store/schema.h"
#include "common/url.h"

static void print(const char *line, void *arg)
{
	puts(line);
}

int main(int argc, char **argv)
{
	AUTO(free) char *conninfo = NULL;
	AUTO(db_free) struct db *db = NULL;
	struct error err;
	int result;

	if (argc != 3)
		return 2;
	if (url_to_conninfo(argv[1], &conninfo, &err) < 0 ||
		db_new(conninfo, "schema_tool", &db, &err) < 0)
		result = -1;
	else if (strcmp(argv[2], "sync") == 0)
		result = schema_sync(db, print, NULL, &err);
	else
		result = schema_check(db, &err);
	if (result < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	return 0;
}
