/* SPDX-License-Identifier: Apache-2.0 */
/* db sync, db check */
#include "cli/verbs.h"

#include "common/store/schema.h"

static void say_line(const char *line, void *arg)
{
	cli_say("%s", line);
}

int verb_db_sync(struct cli *cli, struct error *err)
{
	if (cli_database(cli, err) < 0)
		return -1;
	return schema_sync(cli->db, say_line, NULL, err);
}

int verb_db_check(struct cli *cli, struct error *err)
{
	if (cli_database(cli, err) < 0)
		return -1;
	if (schema_check(cli->db, err) < 0)
		return -1;
	cli_say("the database is complete and current");
	return 0;
}
