/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h - follow a migration until it ends. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/cli.h"
#include "common/store/migrations.h"

/* Which one, and what is said meanwhile. */
struct watched {
	struct volume volume; /* as it was when watching began */
	const char *request_id; /* the migration of this request; NULL: any ... */
	const char *not_id; /* ... but this one; NULL: really any */
	bool quiet; /* nothing is drawn or printed until it has ended */
};

/* Listen before the request is sent, so that nothing is missed. */
int watch_prepare(struct cli *cli, struct error *err);

/* Until it has ended: 1 and *out; 0 when it ended without a row of ours (a peer that
 * keeps none did it). A lost database is waited for. SIGINT: ERR_CANCELLED, the
 * migration goes on. */
int watch_until_end(struct cli *cli, const struct watched *watched,
	struct migration *out, struct error *err);

/* The same, then says how it ended: a line or, with --json, the document. Failure and
 * cancellation are -1 with the reason. */
int watch_report(struct cli *cli, const struct watched *watched, struct error *err);

#endif
