/* SPDX-License-Identifier: Apache-2.0 */
/* Effects outside the database wait for its standbys: a fail-over must not forget them. */
#include <time.h>

#include "common/log.h"
#include "common/store/standby.h"
#include "volume-manager/work.h"

static void nap_ms(unsigned ms)
{
	const struct timespec nap = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&nap, NULL);
}

int work_wait_for_standbys(struct work *work, double seconds, struct error *err)
{
	const double began = clock_seconds();
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
		nap_ms(work_poll_ms(clock_seconds() - began));
	}
}
