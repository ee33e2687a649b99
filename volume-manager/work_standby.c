/* SPDX-License-Identifier: Apache-2.0 */
/* Effects outside the database wait for its standbys: a fail-over must not forget them. */
#include "common/log.h"
#include "common/store/standby.h"
#include "volume-manager/work.h"

#define LOOK_SECONDS 0.5

/* Is it still wanted? */
static int check(struct work *work, const struct operation *op, struct error *err)
{
	struct operation now;
	int found =
		work_sure(work, store_operation_get(work->db, op->id, &now, err), err);

	if (found < 0)
		return -1;
	if (!found || now.epoch != op->epoch || phase_is_final(now.phase))
		return error_set(
			err, ERR_FENCED, "operation '%s' was taken over", op->id);
	if (now.cancel)
		return error_set(err, ERR_CANCELLED, "the migration was cancelled");
	return 0;
}

int work_wait_for_standbys(struct work *work, const struct operation *op,
	double seconds, struct error *err)
{
	const double began = clock_seconds();
	double look_at = began + LOOK_SECONDS;
	struct standby_mark mark = { "", 0 };
	enum standby_answer answer;
	char name[64];

	for (;;) {
		if (work_sure(work,
			    store_standby_ask(work->db, &mark, &answer, name, err),
			    err) < 0)
			return -1;
		if (answer != STANDBY_BEHIND)
			return answer == STANDBY_HIDDEN;
		if (work_stopping(work))
			return work_stop_error(err);
		if (clock_seconds() > began + seconds)
			return error_set(err, ERR_TIMEOUT,
				"standby '%s' of the database is behind by more than "
				"%.0f s: what is done now could be forgotten",
				name, seconds);
		if (op && clock_seconds() > look_at) {
			look_at = clock_seconds() + LOOK_SECONDS;
			if (check(work, op, err) < 0)
				return -1;
		}
		work_nap_ms(work_poll_ms(clock_seconds() - began));
	}
}
