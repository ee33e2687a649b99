/* SPDX-License-Identifier: Apache-2.0 */
/* The target's half of a copy between hosts: read T from this host's own disk, past the
 * page cache, and answer with digests. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/remote.h"
#include "copy/copy.h"
#include "volume-manager/work.h"

/* Questions come one after the other; a worker waits so long for the next one. */
#define IDLE_SECONDS 10.0

static int endpoint_for(struct work *work, const struct read_back *question,
	struct backend **backend, struct endpoint *out, struct error *err)
{
	struct object_row object;
	struct object_id id;

	if (!*backend && work_backend_open(work, question->host, backend, err) < 0)
		return -1;
	if (work_find_object(work, *backend, question->volume_id, &object, err) < 0)
		return -1;
	text_copy(id.text, sizeof(id.text), object.identity);
	return backend_endpoint(*backend, object.name, &id, out, err);
}

static int read_digests(struct work *work, const struct read_back *question,
	struct backend **backend, char **text, struct error *err)
{
	AUTO(free) struct copy_digest *digests = NULL;
	struct endpoint endpoint;
	size_t count;

	if (question->from < 0 || question->to <= question->from)
		return error_set(err, ERR_INVALID_INPUT,
			"a question about [%lld, %lld) makes no sense",
			(long long)question->from, (long long)question->to);
	count = copy_digest_count((uint64_t)question->from, (uint64_t)question->to);
	if (count == 0 || count > COPY_READ_BACK_CHUNKS)
		return error_set(err, ERR_INVALID_INPUT,
			"a question about %zu chunks is too large", count);
	digests = calloc(count, sizeof(*digests));
	if (!digests)
		return error_no_memory(err);
	if (endpoint_for(work, question, backend, &endpoint, err) < 0 ||
		fault_point("read_back.reading", err) < 0 ||
		copy_read_back(&endpoint, (uint64_t)question->from,
			(uint64_t)question->to, digests, count, err) < 0)
		return -1;
	return copy_digests_to_text(digests, count, text, err);
}

static int answer(struct work *work, const struct read_back *question,
	struct backend **backend, struct error *err)
{
	AUTO(free) char *text = NULL;
	struct error why;
	bool ok = read_digests(work, question, backend, &text, &why) == 0;

	if (!ok)
		log_error("cannot read back volume '%s': %s", question->volume_id,
			why.text);
	return work_sure(work,
		store_read_back_answer(
			work->db, question->id, text, ok ? NULL : why.text, err),
		err);
}

int work_read_back(struct work *work, const char *operation_id)
{
	struct timespec nap = { 0 };
	double idle_since = clock_seconds();
	AUTO(backend_close) struct backend *backend = NULL;
	struct read_back question;
	struct error err;

	while (clock_seconds() < idle_since + IDLE_SECONDS && !work_stopping(work)) {
		int over = 0;
		int found = work_sure(work,
			store_read_back_next(work->db, operation_id, &question, &err),
			&err);

		if (found == 0)
			over = work_sure(work,
				store_read_back_over(work->db, operation_id, &err),
				&err);
		if (found < 0 || over < 0)
			return log_error("%s", err.text), WORK_FAILED;
		if (over)
			break;
		if (!found) {
			nap.tv_nsec =
				1000000L * work_poll_ms(clock_seconds() - idle_since);
			nanosleep(&nap, NULL);
			continue;
		}
		if (answer(work, &question, &backend, &err) < 0)
			return log_error("%s", err.text), WORK_FAILED;
		idle_since = clock_seconds();
	}
	return WORK_DONE;
}
