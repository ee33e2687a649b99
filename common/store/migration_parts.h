/* SPDX-License-Identifier: Apache-2.0 */
/* migration_parts.h - parts of a migration's transactions that its routes share; only for
 * store/. S and T are locked before. */
#ifndef COMMON_STORE_MIGRATION_PARTS_H
#define COMMON_STORE_MIGRATION_PARTS_H

#include "common/store/migrations.h"

/* Lock S: ERR_VOLUME_NOT_FOUND. */
int store_part_source(
	struct db *db, struct migration *m, struct volume *volume, struct error *err);
/* Lock the operation, whose epoch must be ours: 1 it is in this phase already. */
int store_part_at(struct db *db, struct migration *m, enum phase to, struct error *err);
/* Nobody has cancelled it, the phase is still this, and migration_status what it says. */
int store_part_unchanged(const struct migration *m, const struct volume *volume,
	enum phase phase, struct error *err);

/* As long as S has a migration_status the API tier does not make it available when its last
 * attachment ends: that is done when it is cleared. */
int store_part_free_source(struct db *db, const char *id, struct error *err);
/* S takes T's placement. */
int store_part_take_placement(
	struct db *db, const struct migration *m, bool keep_result, struct error *err);
/* S is what it was before. */
int store_part_release_source(
	struct db *db, const struct migration *m, bool keep_result, struct error *err);
/* T's row is deleted, its object becomes garbage; or its own manager is to do that. */
int store_part_drop_temporary(struct db *db, const struct migration *m,
	const struct volume *temporary, struct error *err);

#endif
