/* SPDX-License-Identifier: Apache-2.0 */
/* compute.h - migrations of attached volumes: Compute is asked to copy, and to let the guest
 * go on with the temporary volume T; what is written down around that.
 *
 * Whether T is in use is told by its attachments, which Compute makes and ends through the
 * API tier. T's row is locked where that is looked at and in the same transaction deleted:
 * whoever asks for a connection to T later is told that it is not there.
 */
#ifndef COMMON_STORE_COMPUTE_H
#define COMMON_STORE_COMPUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/error.h"
#include "common/store/migrations.h"
#include "common/store/volumes.h"
#include "common/text.h"

/* Whom the backend's manager asks: "none", "nova", "rpc". Only while owner has the lease. */
int store_compute_offer(struct db *db, const char *backend, const char *owner,
	const char *compute_api, struct error *err);

/* ---- admission ---- */

/* The one attachment of a volume that Compute can move. */
struct guest {
	char attachment_id[UUID_TEXT_SIZE];
	char server_id[UUID_TEXT_SIZE];
	char mode[64]; /* "ro", "rw", ... */
};
/* An attached volume: 0 and *out, or ERR_INVALID_VOLUME with the one reason. */
int store_compute_check(struct db *db, const struct volume *volume, struct guest *out,
	struct error *err);
/* Part of the admission: the migration gets route compute. */
int store_compute_admit_locked(struct db *db, const struct volume *volume,
	const char *operation_id, struct error *err);
/* When the work begins, part of a transaction: is it still that guest's? 1 it is; 0 it was
 * detached meanwhile, the migration has another route now; ERR_INVALID_VOLUME. */
int store_compute_prepare_locked(struct db *db, struct migration *m,
	const struct volume *volume, struct error *err);
/* Read m->route again. */
int store_compute_route(struct db *db, struct migration *m, struct error *err);

/* ---- while Compute has it ---- */

struct swap {
	struct guest guest;
	int64_t asks;
	bool asked, accepted, completed;
	bool failed; /* completed: Compute said so */
	bool cancel;
	double asked_s, accepted_s, completed_s; /* since then */
	/* What the rows say of T. */
	char target_status[64];
	bool touched; /* somebody has reserved it or more, at any time */
	bool connected; /* somebody was told how to connect to it, at any time */
	bool was_attached; /* at any time: the guest has used it */
	bool attached; /* to the guest, now */
	int64_t live; /* attachments now, and connections without one */
	bool source_attached; /* S still has the attachment that it had */
	int64_t source_others; /* attachments of S now, besides that one */
	bool unlisted; /* T never had an attachment: it is used by the older way, if so */
	bool peer; /* T belongs to a Python cinder-volume */
	char looks[160]; /* all of this, to be compared */
	double quiet_s; /* since looks changed */
	/* Of a guest without Nova. Then T has an attachment of our own making, which is not
	 * among the live ones of others. */
	bool rpc;
	char hypervisor[256]; /* empty: not known yet */
	char target_attachment_id[UUID_TEXT_SIZE];
	int64_t others; /* live ones besides that attachment */
	char said[16]; /* the state that its hypervisor told last */
	int64_t rate_limit; /* bytes per second, 0: none, or RATE_OF_BACKEND */
	bool forgotten; /* after its yes it knew nothing of it, at any time */
	double said_s; /* since it said anything, or was asked first */
};
/* 1 and *out, and looks is noted; 0: the migration has none. ERR_FENCED. */
int store_swap_get(
	struct db *db, const struct migration *m, struct swap *out, struct error *err);
/* The same as part of a transaction, and looks is not noted. */
int store_swap_read(
	struct db *db, const struct migration *m, struct swap *out, struct error *err);
/* preparing -> swapping: T is available. */
int store_swap_begin(struct db *db, struct migration *m, struct error *err);
/* Compute is about to be asked. ERR_CANCELLED when that is not wanted any more, ERR_FENCED.
 * From here on only Compute can end it. */
int store_swap_ask(struct db *db, struct migration *m, struct error *err);
/* No answer came: what it may still do is waited for from now on. */
int store_swap_unanswered(struct db *db, const struct migration *m, struct error *err);
int store_swap_accepted(struct db *db, const struct migration *m, struct error *err);
/* It is looked at again in so many seconds, or at once when there is something new. */
int store_swap_later(
	struct db *db, const struct migration *m, double seconds, struct error *err);
/* swapping -> held; reason is for people. */
int store_swap_hold(
	struct db *db, struct migration *m, const char *reason, struct error *err);

/* ---- the end ---- */

/* The switch, by the worker: T is attached to the guest and S is not any more, nor to
 * anybody else, in the same transaction. ERR_INVALID_VOLUME when that is not so. */
int store_swap_switch(struct db *db, struct migration *m, bool keep_result,
	double source_keep, struct error *err);
/* Back: S is released, T becomes garbage. Garbage that is left alone when somebody was ever
 * told how to connect to T, unless the server is gone for good. ERR_INVALID_VOLUME when T is
 * attached, or was in use by the guest; or would be left alone at a Python service. */
int store_swap_give_up(struct db *db, struct migration *m, enum phase to,
	bool server_gone, const struct error *why, bool keep_result, struct error *err);

/* ---- a guest without Nova: swap.c ---- */

/* Where the guest is, and T's attachment to it (reserved), before anything is asked of the
 * hypervisor. Once: then its id. ERR_CANCELLED, ERR_FENCED, ERR_INVALID_VOLUME. */
int store_swap_reserve(struct db *db, struct migration *m, const char *hypervisor,
	char attachment_id[UUID_TEXT_SIZE], struct error *err);
/* What its hypervisor says: kept, and how far it is. ERR_FENCED. */
struct swap_status;
int store_swap_said(struct db *db, const struct migration *m,
	const struct swap_status *status, struct error *err);
/* The switch: the hypervisor says that the guest is on T. S keeps its attachment, which
 * tells the way to T's object from now on. ERR_INVALID_VOLUME when T is not there. */
int store_swap_moved(struct db *db, struct migration *m, bool keep_result,
	double source_keep, const char *why, struct error *err);
/* Back, T's attachment included. unused: the hypervisor says that nobody has T, and that
 * nobody will; else T's object is left alone. ERR_INVALID_VOLUME when others have T. */
int store_swap_take_back(struct db *db, struct migration *m, enum phase to, bool unused,
	const struct error *why, bool keep_result, struct error *err);
/* Parts of these, for compute_end.c. */
int store_swap_keep_attachment(struct db *db, const struct migration *m,
	const struct swap *swap, struct error *err);
int store_swap_end_attachment(struct db *db, const struct migration *m,
	const struct swap *swap, struct error *err);

struct completion {
	const char *volume_id, *new_volume_id;
	bool failed; /* what Compute says */
	const char *host; /* the hypervisor that says so; NULL: the API tier */
	bool keep_result;
	double source_keep;
};
/* migrate_volume_completion, whoever has the migration: 1 it is done or noted (also when it
 * was before); 0 no migration leads from the one to the other; ERR_INVALID_VOLUME. When it
 * succeeded, this is the switch; without Nova it is noted, and its worker asks the
 * hypervisor. */
int store_swap_complete(
	struct db *db, const struct completion *completion, struct error *err);
/* An operator has looked: ends a migration that is held, or is Compute's while its manager
 * is gone. Not moved: T must not be in use as far as is known. ERR_INVALID_VOLUME. */
int store_swap_resolve(struct db *db, const char *volume_id, bool moved,
	bool keep_result, double source_keep, struct error *err);

#endif
