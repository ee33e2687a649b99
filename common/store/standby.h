/* SPDX-License-Identifier: Apache-2.0 */
/* standby.h - how far the standbys of the database are.
 *
 * A fail-over to an asynchronous standby forgets the last commits. What was done outside
 * the database because of a forgotten row would never be found again, or done against
 * what the row before it says. So it waits until every connected standby has the row.
 * Facts: PostgreSQL's pg_stat_replication; details need the role pg_monitor.
 */
#ifndef COMMON_STORE_STANDBY_H
#define COMMON_STORE_STANDBY_H

#include <stdint.h>

#include "common/db.h"
#include "common/error.h"

/* An end of the log, of one connection: another may lead to another server. */
struct standby_mark {
	char lsn[24]; /* empty: not taken yet */
	unsigned generation; /* db_generation() */
};

enum standby_answer {
	STANDBY_HAS, /* all connected ones have flushed it, or there is none */
	STANDBY_BEHIND, /* one has not; asked again with the same mark */
	STANDBY_HIDDEN, /* there are some, and our role may not see how far they are */
};

/* The first call takes the mark: all that was committed until now. *name: one that is
 * behind, "" else. */
int store_standby_ask(struct db *db, struct standby_mark *mark,
	enum standby_answer *out, char name[64], struct error *err);

#endif
