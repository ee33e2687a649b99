/* SPDX-License-Identifier: Apache-2.0 */
/* drover-worker - does one piece of work and ends. Started by drover-volume-manager. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "common/json.h"
#include "volume-manager/work.h"
#include "volume-manager/work_fence.h"

/* One JSON object, one line, to the manager. */
int work_stats(struct work *work, const char *name)
{
	AUTO(backend_close) struct backend *backend = NULL;
	AUTO(json_object_put) struct json_object *o = json_object_new_object();
	struct backend_stats stats;
	struct error err;

	json_add_string(o, "backend", name);
	if (work_backend_open(work, name, &backend, &err) < 0 ||
		backend_stats(backend, &stats, &err) < 0) {
		json_add_string(o, "error", err.text);
	} else {
		json_add_int(o, "total", (int64_t)stats.total_bytes);
		json_add_int(o, "free", (int64_t)stats.free_bytes);
		json_add_bool(o, "thin", stats.thin);
		json_add_string(o, "location", stats.location);
	}
	AUTO(free) char *text = json_text(o);
	if (!text || dprintf(WORK_FD, "%s\n", text) < 0)
		return WORK_FAILED;
	return WORK_DONE;
}

/* A line each second tells the manager that this process is not stopped. */
static void *beat(void *unused)
{
	const struct timespec nap = { .tv_sec = 1 };

	while (send(WORK_FD, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
		errno == EAGAIN)
		nanosleep(&nap, NULL);
	return NULL;
}

/* What becomes an export server forks and becomes another program: it has no thread. */
static int start_beating(int argc, char **argv, struct error *err)
{
	pthread_t thread;
	int failed;

	if (argc > 0 && strcmp(argv[0], "export") == 0)
		return 0;
	if (fence_start(err) < 0)
		return -1;
	failed = pthread_create(&thread, NULL, beat, NULL);
	if (failed) {
		errno = failed;
		return error_set_errno(err, ERR_INTERNAL, "cannot start a thread");
	}
	pthread_detach(thread);
	return 0;
}

static int run(struct work *work, int argc, char **argv)
{
	struct error err;
	int64_t epoch;

	if (argc == 2 && strcmp(argv[0], "stats") == 0)
		return work_stats(work, argv[1]);
	if (argc < 2 || !uuid_is(argv[1])) {
		log_error("usage: drover-worker KIND ID [EPOCH]");
		return WORK_BAD_USAGE;
	}
	if (db_new(work->settings->conninfo, "drover-worker", &work->db, &err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	if (work_sure(work, db_connect(work->db, &err), &err) < 0)
		return log_error("%s", err.text),
		       work_stopping(work) ? WORK_STOPPED : WORK_FAILED;
	if (argc == 3 && strcmp(argv[0], "operation") == 0 &&
		text_to_int(argv[2], 0, INT64_MAX, &epoch, &err) == 0)
		return work_operation(work, argv[1], epoch);
	if (argc == 2 && strcmp(argv[0], "garbage") == 0)
		return work_garbage(work, argv[1]);
	if (argc == 2 && strcmp(argv[0], "read_back") == 0)
		return work_read_back(work, argv[1]);
	if (argc == 2 && strcmp(argv[0], "look") == 0)
		return work_look(work, argv[1]);
	if (argc == 2 && strcmp(argv[0], "export") == 0)
		return work_export(work, argv[1]);
	log_error("'%s' is not a kind of work", argv[0]);
	return WORK_BAD_USAGE;
}

int main(int argc, char **argv)
{
	AUTO(program_clear)
	struct program program = { .name = "drover-worker", .quiet = true };
	struct backend_settings *backends = NULL;
	struct work work = { .lock.fd = -1 };
	struct error err;
	int status = program_start(&program, argc, argv);

	if (status >= 0)
		return status;
	if (fcntl(WORK_FD, F_GETFD) < 0) {
		log_error("drover-worker is started by drover-volume-manager");
		return WORK_BAD_USAGE;
	}
	fcntl(WORK_FD, F_SETFD, FD_CLOEXEC);
	if (settings_backends(program.settings, backend_driver_names(), &backends,
		    &work.backend_count, &err) < 0) {
		log_error("%s", err.text);
		return WORK_BAD_USAGE;
	}
	work.settings = program.settings;
	work.backends = backends;
	if (start_beating(argc - program.first, argv + program.first, &err) < 0) {
		log_error("%s", err.text);
		return WORK_FAILED;
	}
	status = run(&work, argc - program.first, argv + program.first);
	db_free(work.db);
	backend_settings_free(backends, work.backend_count);
	return status;
}
