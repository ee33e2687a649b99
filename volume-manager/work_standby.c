/* SPDX-License-Identifier: Apache-2.0 */
/* Effects outside the database wait for its standbys: a fail-over must not forget them. */
#include <time.h>

#include "common/log.h"
#include "common/store/standby.h"
#include "volume-manager/work.h"

#define SHORTEST_NAP_MS 2
#define LONGEST_NAP_MS 100

static void nap_ms(unsigned ms)
{
	const struct timespec nap = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&nap, NULL);
}

int work_wait_for_standbys(struct work *work, double seconds, struct error *err)
{
	const double until = clock_seconds() + seconds;
	struct standby_mark mark = { "", 0 };
	enum standby_answer answer;
	unsigned nap = SHORTEST_NAP_MS;
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
		if (clock_seconds() > until)
			return error_set(err, ERR_TIMEOUT,
				"standby '%s' of the database is behind by more than "
				"%.0f s: what is done now could be forgotten",
				name, seconds);
		nap_ms(nap);
		nap = nap * 2 < LONGEST_NAP_MS ? nap * 2 : LONGEST_NAP_MS;
	}
}
