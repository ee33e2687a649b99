/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h - the verbs, each with its arguments in cli->words, their number checked. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/cli.h"

int verb_db_sync(struct cli *cli, struct error *err);
int verb_db_check(struct cli *cli, struct error *err);

int verb_doctor(struct cli *cli, struct error *err);

int verb_service_list(struct cli *cli, struct error *err);
int verb_host_list(struct cli *cli, struct error *err);
int verb_pool_list(struct cli *cli, struct error *err);

int verb_create(struct cli *cli, struct error *err);
int verb_list(struct cli *cli, struct error *err);
int verb_show(struct cli *cli, struct error *err);
int verb_delete(struct cli *cli, struct error *err);

int verb_attach(struct cli *cli, struct error *err);
int verb_detach(struct cli *cli, struct error *err);
int verb_connect(struct cli *cli, struct error *err);
int verb_disconnect(struct cli *cli, struct error *err);
int verb_export_list(struct cli *cli, struct error *err);
int verb_garbage_list(struct cli *cli, struct error *err);
int verb_garbage_remove(struct cli *cli, struct error *err);

int verb_migrate(struct cli *cli, struct error *err);
int verb_rate(struct cli *cli, struct error *err);
int verb_pause(struct cli *cli, struct error *err);
int verb_continue(struct cli *cli, struct error *err);
int verb_cancel(struct cli *cli, struct error *err);
int verb_resolve(struct cli *cli, struct error *err);
int verb_watch(struct cli *cli, struct error *err);
int verb_migration_list(struct cli *cli, struct error *err);
int verb_migration_show(struct cli *cli, struct error *err);

#endif
