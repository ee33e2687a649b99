/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/store/schema.h"
#include "common/store/compute.h"
#include "common/store/services.h"
#include "volume-manager/backend.h"
#include "volume-manager/process.h"

#define STOP_SECONDS 10.0
/* How long the loop waits for a locked row; the message or the scan comes again. */
#define LOCK_MS 300
#define LINE_INTERVAL 60.0
/* Who waits for another's lease looks so often whether it has ended. */
#define WAITING_SECONDS 1.0
/* Workers are gone by this part of the lease: what they have begun to write has reached
 * the storage before anybody else can take over. */
#define FENCE_PART 0.8

/* ---- what it needs from the machine ---- */

/* In a build tree the worker stands beside the manager; installed, in its own place. */
static char *find_worker(void)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length > 0) {
		self[length] = '\0';
		char *slash = strrchr(self, '/');
		char *beside = slash
			? text_format("%.*s/drover-worker", (int)(slash - self), self)
			: NULL;

		if (beside && access(beside, X_OK) == 0)
			return beside;
		free(beside);
	}
	return text_format("%s/drover-worker", PKGLIBEXECDIR);
}

static int open_state(struct manager *manager, struct error *err)
{
	const char *path = manager->settings->state_path;
	AUTO(free) char *owner = text_format("%s/owner", path);

	if (!owner)
		return error_no_memory(err);
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return error_set_errno(
			err, ERR_CONFIG, "cannot make the state_path '%s'", path);
	manager->state_fd =
		open(owner, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (manager->state_fd < 0)
		return error_set_errno(err, ERR_CONFIG, "cannot open '%s'", owner);
	if (flock(manager->state_fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, ERR_CONFIG,
			"another drover-volume-manager uses the state_path '%s'", path);
	return 0;
}

/* The owner of the leases is this state_path, not this process: started again after a
 * crash it has its leases at once. */
static int read_owner(struct manager *manager, struct error *err)
{
	char text[UUID_TEXT_SIZE] = "";
	ssize_t got = pread(manager->state_fd, text, sizeof(text) - 1, 0);

	if (got == UUID_TEXT_SIZE - 1 && uuid_is(text)) {
		memcpy(manager->owner, text, sizeof(text));
		return 0;
	}
	uuid_make(manager->owner);
	if (ftruncate(manager->state_fd, 0) < 0 ||
		pwrite(manager->state_fd, manager->owner, UUID_TEXT_SIZE - 1, 0) !=
			UUID_TEXT_SIZE - 1 ||
		fsync(manager->state_fd) < 0)
		return error_set_errno(err, ERR_IO,
			"cannot write the owner file of '%s'",
			manager->settings->state_path);
	return 0;
}

static void on_rpc_ready(void *arg)
{
	reports_ready(arg);
}

static int open_rpc(struct manager *manager, struct error *err)
{
	struct rpc_options options = manager->settings->rpc;

	manager->suspects_path =
		text_format("%s/suspects", manager->settings->state_path);
	if (!manager->suspects_path)
		return error_no_memory(err);
	options.suspects_path = manager->suspects_path;
	if (rpc_new(manager->loop, &options, &manager->rpc, err) < 0)
		return -1;
	rpc_on_ready(manager->rpc, on_rpc_ready, manager);
	return 0;
}

int manager_new(const struct program *program, struct loop *loop, struct manager **out,
	struct error *err)
{
	AUTO(manager_free) struct manager *manager = calloc(1, sizeof(*manager));

	if (!manager)
		return error_no_memory(err);
	manager->state_fd = manager->db_fd = -1;
	manager->program = program;
	manager->settings = program->settings;
	manager->loop = loop;
	if (settings_backends(manager->settings, backend_driver_names(),
		    &manager->backends, &manager->count, err) < 0)
		return -1;
	if (manager->count == 0)
		return error_set(err, ERR_CONFIG,
			"enabled_backends in [DEFAULT] names no backend");
	manager->managed = calloc(manager->count, sizeof(*manager->managed));
	manager->worker_path = find_worker();
	if (!manager->managed || !manager->worker_path)
		return error_no_memory(err);
	for (size_t i = 0; i < manager->count; i++) {
		manager->managed[i].manager = manager;
		manager->managed[i].settings = &manager->backends[i];
	}
	if (open_state(manager, err) < 0 || read_owner(manager, err) < 0 ||
		db_new(manager->settings->conninfo, "drover-volume-manager",
			&manager->db, err) < 0 ||
		open_rpc(manager, err) < 0)
		return -1;
	db_set_impatient(manager->db, LOCK_MS);
	*out = steal(manager);
	return 0;
}

void manager_free(struct manager *manager)
{
	if (!manager)
		return;
	children_free(manager);
	rpc_free(manager->rpc);
	db_free(manager->db);
	if (manager->state_fd >= 0)
		close(manager->state_fd);
	backend_settings_free(manager->backends, manager->count);
	free(manager->managed);
	free(manager->worker_path);
	free(manager->suspects_path);
	silence_forget(manager);
	free(manager);
}

struct managed *manager_find(struct manager *manager, const char *address)
{
	for (size_t i = 0; i < manager->count; i++)
		if (address_same_backend(manager->backends[i].host, address))
			return &manager->managed[i];
	return NULL;
}

/* ---- leases and heartbeats ---- */

/* Somebody took over because our heartbeats did not arrive. Nothing of ours may go on;
 * workers die with this process. */
static void lost_lease(struct managed *managed)
{
	struct manager *manager = managed->manager;

	log_error("backend '%s' was taken over by another manager (%s): stopping",
		managed->settings->host, managed->holder);
	children_stop(manager, SIGKILL);
	manager->lost = true;
	loop_quit(manager->loop);
}

/* One line for all that are new. */
static void say_held(struct manager *manager)
{
	AUTO(free) char *list = NULL;
	const char *holder = NULL;

	for (size_t i = 0; i < manager->count; i++) {
		struct managed *managed = &manager->managed[i];
		char *longer;

		if (!managed->holder[0] || managed->said_held)
			continue;
		managed->said_held = true;
		holder = managed->holder;
		longer = text_format("%s%s%s", list ? list : "", list ? "," : "",
			managed->settings->host);
		free(list);
		list = longer;
	}
	if (holder)
		log_warning("another manager (%s) has what is to be managed here,"
			    " waiting for its lease to end backends=%s",
			holder, list ? list : "");
}

static bool is_waiting(const struct manager *manager)
{
	for (size_t i = 0; i < manager->count; i++)
		if (manager->managed[i].holder[0])
			return true;
	return false;
}

/* The lease has ended by our own clock: this process was stopped, or the database away, for
 * too long. Another manager may have taken over, so nothing of ours may go on, and requests
 * are for that one; whether there is one is seen when the database answers. */
static void lapse(struct manager *manager)
{
	manager->lease_until_ms = 0;
	silence_forget(manager);
	for (size_t i = 0; i < manager->count; i++)
		manager->managed[i].leased = false;
	log_warning("the lease was not renewed in time: workers are stopped count=%u",
		children_stop(manager, SIGKILL));
	rpc_pause(manager->rpc, true);
}

/* begun_ms: before the database was asked, so that the lease counts from later than we do. */
static int renew(struct managed *managed, int64_t begun_ms, struct error *err)
{
	struct manager *manager = managed->manager;
	const double part_ms = manager->settings->lease_time * 1000 * FENCE_PART;
	int taken = store_lease_take(manager->db, managed->settings->host,
		manager->owner, (int)getpid(), manager->settings->lease_time,
		managed->holder, sizeof(managed->holder), err);

	if (taken < 0)
		return -1;
	if (taken == 0) {
		if (managed->had)
			lost_lease(managed);
		return 0;
	}
	managed->holder[0] = '\0';
	managed->said_held = false;
	managed->until_ms = begun_ms + (int64_t)part_ms;
	if (!managed->leased) {
		if (store_compute_offer(manager->db, managed->settings->host,
			    manager->owner,
			    compute_api_name(manager->settings->compute_api), err) < 0)
			return -1;
		managed->leased = managed->had = true;
		rpc_pause(manager->rpc, false);
		reports_look_at(managed);
		manager_scan_in(manager, 0);
	}
	return 0;
}

/* A backend that is not usable goes down by the silence of its service. */
static int beat(struct managed *managed, struct error *err)
{
	struct manager *manager = managed->manager;
	int beaten;

	if (!managed->leased || !managed->healthy || !managed->serving)
		return 0;
	if (!managed->registered)
		return reports_register(managed, err);
	beaten = store_service_beat(
		manager->db, managed->settings->host, VOLUME_BINARY, err);
	return beaten == 0 ? reports_register(managed, err) : beaten < 0 ? -1 : 0;
}

static void say_waiting(struct manager *manager, const struct error *err)
{
	if (clock_seconds() < manager->next_line)
		return;
	manager->next_line = clock_seconds() + LINE_INTERVAL;
	log_warning("waiting: %s", err->text);
}

static void beat_again_in(struct manager *manager, double seconds)
{
	ev_timer_stop(loop_ev(manager->loop), &manager->beat);
	ev_timer_set(&manager->beat, seconds, 0);
	ev_timer_start(loop_ev(manager->loop), &manager->beat);
}

static int be_ready(struct manager *manager, struct error *err)
{
	if (manager->schema_ok)
		return db_connect(manager->db, err);
	if (db_connect(manager->db, err) < 0 || schema_check(manager->db, err) < 0 ||
		db_listen(manager->db, WORK_CHANNEL, err) < 0)
		return -1;
	manager->schema_ok = true;
	manager->next_line = 0;
	log_info("the database is ready");
	return 0;
}

/* The earliest end of those that we have; workers are told. */
static void leases_count(struct manager *manager)
{
	int64_t until_ms = 0;

	for (size_t i = 0; i < manager->count; i++) {
		const struct managed *managed = &manager->managed[i];

		if (managed->leased && (until_ms == 0 || managed->until_ms < until_ms))
			until_ms = managed->until_ms;
	}
	manager->lease_until_ms = until_ms;
	children_tell_lease(manager);
}

/* All of them are tried, also when one fails: only that one's lease ends then. */
static int renew_all(struct manager *manager, struct error *err)
{
	int64_t begun_ms = process_clock_ms();
	struct error why;
	int result = 0;

	for (size_t i = 0; i < manager->count && !manager->lost; i++)
		if (renew(&manager->managed[i], begun_ms, &why) < 0) {
			*err = why;
			result = -1;
		}
	leases_count(manager);
	for (size_t i = 0; i < manager->count && !manager->lost; i++)
		if (beat(&manager->managed[i], &why) < 0) {
			*err = why;
			result = -1;
		}
	return result;
}

static void on_beat(struct ev_loop *ev, ev_timer *watcher, int events)
{
	struct manager *manager = watcher->data;
	const double interval = manager->settings->report_interval;
	struct error err;
	int result = be_ready(manager, &err);

	if (result == 0)
		result = renew_all(manager, &err);
	if (manager->lost)
		return;
	if (result < 0) {
		say_waiting(manager, &err);
		beat_again_in(manager, 1.0);
		return;
	}
	say_held(manager);
	beat_again_in(manager,
		is_waiting(manager) && interval > WAITING_SECONDS ? WAITING_SECONDS
								  : interval);
}

/* Before anything else that waits to be done. */
static void on_lease_check(struct ev_loop *ev, ev_check *watcher, int events)
{
	struct manager *manager = watcher->data;

	if (manager->lease_until_ms == 0 || manager->stopping ||
		process_clock_ms() < manager->lease_until_ms)
		return;
	lapse(manager);
	beat_again_in(manager, 0);
}

/* ---- timers and watchers ---- */

static void on_look(struct ev_loop *ev, ev_timer *watcher, int events)
{
	reports_look(watcher->data);
}

static void on_rescan(struct ev_loop *ev, ev_timer *watcher, int events)
{
	children_check(watcher->data);
	manager_scan(watcher->data);
	manager_find_lost(watcher->data);
}

static void on_soon(struct ev_loop *ev, ev_timer *watcher, int events)
{
	manager_scan(watcher->data);
}

void manager_look_in(struct manager *manager, double seconds)
{
	struct ev_loop *ev = loop_ev(manager->loop);

	if (manager->stopping || ev_timer_remaining(ev, &manager->look) <= seconds)
		return;
	ev_timer_stop(ev, &manager->look);
	ev_timer_set(&manager->look, seconds, manager->settings->periodic_interval);
	ev_timer_start(ev, &manager->look);
}

void manager_scan_in(struct manager *manager, double seconds)
{
	struct ev_loop *ev = loop_ev(manager->loop);

	if (manager->stopping)
		return;
	if (ev_is_active(&manager->soon)) {
		if (ev_timer_remaining(ev, &manager->soon) <= seconds)
			return;
		ev_timer_stop(ev, &manager->soon);
	}
	ev_timer_set(&manager->soon, seconds, 0);
	ev_timer_start(ev, &manager->soon);
}

static void drain_notifications(struct manager *manager)
{
	char channel[64], payload[ADDRESS_SIZE];

	while (db_notification(
		manager->db, channel, sizeof(channel), payload, sizeof(payload))) {
		struct managed *managed = manager_find(manager, payload);

		if (managed && !managed->leased)
			beat_again_in(manager, 0);
		else if (managed)
			manager_scan_in(manager, 0);
	}
}

static void on_db_readable(struct ev_loop *ev, ev_io *watcher, int events)
{
	struct manager *manager = watcher->data;

	drain_notifications(manager);
	if (!db_is_connected(manager->db))
		beat_again_in(manager, 0.2);
}

/* Before the loop sleeps: the connection may be another one by now, and a statement may
 * have read notifications along with its answer. */
static void on_db_check(struct ev_loop *ev, ev_prepare *watcher, int events)
{
	struct manager *manager = watcher->data;
	int fd = db_fd(manager->db);
	unsigned generation = db_generation(manager->db);

	if (fd >= 0)
		drain_notifications(manager);
	fd = db_fd(manager->db);
	if (fd == manager->db_fd && generation == manager->db_generation)
		return;
	ev_io_stop(ev, &manager->db_io);
	if (fd >= 0) {
		ev_io_set(&manager->db_io, fd, EV_READ);
		ev_io_start(ev, &manager->db_io);
	}
	if (generation != manager->db_generation)
		manager_scan_in(manager, 0);
	manager->db_fd = fd;
	manager->db_generation = generation;
}

/* ---- stop ---- */

static void leave(struct manager *manager)
{
	struct error err;

	for (size_t i = 0; i < manager->count; i++) {
		struct managed *managed = &manager->managed[i];
		const char *host = managed->settings->host;

		if (!managed->leased || !db_is_connected(manager->db))
			continue;
		/* When it is a successor's by now, its service is too. */
		int ours = store_lease_release(manager->db, host, manager->owner, &err);
		if (ours > 0)
			ours = store_service_down(manager->db, host, VOLUME_BINARY,
				manager->settings->service_down_time, &err);
		/* Who waits for it need not wait any longer. */
		if (ours >= 0)
			ours = store_notify(manager->db, WORK_CHANNEL, host, &err);
		if (ours < 0)
			log_warning("%s", err.text);
	}
	log_info("stopped");
	loop_quit(manager->loop);
}

static void on_stop_timer(struct ev_loop *ev, ev_timer *watcher, int events)
{
	struct manager *manager = watcher->data;
	bool late = clock_seconds() > manager->stop_deadline;

	if (children_stop(manager, late ? SIGKILL : SIGTERM) > 0)
		return;
	ev_timer_stop(ev, watcher);
	leave(manager);
}

static void on_stop(void *arg)
{
	struct manager *manager = arg;
	struct ev_loop *ev = loop_ev(manager->loop);

	if (manager->stopping)
		return;
	log_info("stopping");
	manager->stopping = true;
	rpc_stop(manager->rpc);
	ev_timer_stop(ev, &manager->beat);
	ev_timer_stop(ev, &manager->look);
	ev_timer_stop(ev, &manager->rescan);
	ev_timer_stop(ev, &manager->soon);
	manager->stop_deadline = clock_seconds() + STOP_SECONDS;
	ev_timer_init(&manager->stop, on_stop_timer, 0, 0.1);
	manager->stop.data = manager;
	ev_timer_start(ev, &manager->stop);
}

static void on_reload(void *arg)
{
	const struct manager *manager = arg;

	/* The log file may have been rotated. */
	if (manager->settings->log_file && manager->settings->log_file[0] == '/' &&
		log_to_file(manager->settings->log_file) < 0)
		log_error("cannot write the log '%s'", manager->settings->log_file);
}

static void start_timer(struct manager *manager, ev_timer *timer,
	void (*callback)(struct ev_loop *, ev_timer *, int), double first,
	double repeat)
{
	ev_timer_init(timer, callback, first, repeat);
	timer->data = manager;
	ev_timer_start(loop_ev(manager->loop), timer);
}

void manager_start(struct manager *manager)
{
	const struct settings *settings = manager->settings;
	struct ev_loop *ev = loop_ev(manager->loop);

	locks_sweep(manager);
	loop_on_stop(manager->loop, on_stop, manager);
	loop_on_reload(manager->loop, on_reload, manager);
	start_timer(manager, &manager->beat, on_beat, 0, 0);
	start_timer(manager, &manager->look, on_look, settings->periodic_interval,
		settings->periodic_interval);
	start_timer(manager, &manager->rescan, on_rescan, settings->rescan_interval,
		settings->rescan_interval);
	ev_timer_init(&manager->soon, on_soon, 0, 0);
	manager->soon.data = manager;
	ev_io_init(&manager->db_io, on_db_readable, 0, EV_READ);
	manager->db_io.data = manager;
	ev_prepare_init(&manager->db_check, on_db_check);
	manager->db_check.data = manager;
	ev_prepare_start(ev, &manager->db_check);
	ev_unref(ev);
	ev_check_init(&manager->lease_check, on_lease_check);
	ev_set_priority(&manager->lease_check, EV_MAXPRI);
	manager->lease_check.data = manager;
	ev_check_start(ev, &manager->lease_check);
	ev_unref(ev);
	for (size_t i = 0; i < manager->count; i++)
		log_info("backend host=%s driver=%s", manager->backends[i].host,
			manager->backends[i].volume_driver);
}
