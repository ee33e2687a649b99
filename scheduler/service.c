/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/store/expired.h"
#include "common/store/schema.h"
#include "common/store/services.h"
#include "common/text.h"
#include "scheduler/scheduler.h"

#define FIRST_PAUSE_S 0.5
#define LONGEST_PAUSE_S 5.0
#define SAY_AGAIN_S 60
#define ASK_AGAIN_S 2
/* A backend without a row in services is forgotten this long after its last report. */
#define FORGET_S 300

/* ---- reports ---- */

void scheduler_ask_for_reports(struct scheduler *s)
{
	AUTO(json_object_put) struct json_object *args = NULL;
	double now = clock_seconds();
	struct error err;

	if (s->asked_at != 0 && now - s->asked_at < ASK_AGAIN_S)
		return;
	s->asked_at = now;
	args = json_object_new_object();
	if (rpc_fanout(s->rpc, VOLUME_BINARY, "publish_service_capabilities", "3.0",
		    args, &err) < 0)
		log_warning("cannot ask for reports reason='%s'", err.text);
}

static void on_ready(void *arg)
{
	struct scheduler *s = arg;

	s->asked_at = 0;
	scheduler_ask_for_reports(s);
}

static void forget_strangers(struct scheduler *s, const struct facts *facts)
{
	double now = clock_seconds();
	size_t i = 0;

	while (i < s->pools.count) {
		const struct backend *b = &s->pools.backends[i];
		double heard =
			b->received_at > b->missed_at ? b->received_at : b->missed_at;

		if (view_service(&facts->view, b->name) || now - heard < FORGET_S)
			i++;
		else
			pools_forget(&s->pools, b->name);
	}
}

/* ---- rows that have had their time ---- */

static bool is_due(double *last, double interval)
{
	double now = clock_seconds();

	if (*last != 0 && now - *last < interval)
		return false;
	*last = now;
	return true;
}

static void remove_expired(struct scheduler *s)
{
	const struct settings *settings = s->settings;
	struct error err;

	if ((is_due(&s->messages_at, settings->message_reap_interval) &&
		    store_expire_messages(s->db, &err) < 0) ||
		(is_due(&s->reservations_at, settings->reservation_clean_interval) &&
			store_expire_reservations(s->db, &err) < 0))
		log_warning("what expired is not removed reason='%s'", err.text);
}

/* ---- the row of this service ---- */

static int become_ready(struct scheduler *s, struct error *err)
{
	const struct settings *settings = s->settings;

	if (schema_check(s->db, err) < 0 ||
		store_service_register(s->db, settings->host, SCHEDULER_BINARY,
			settings->storage_availability_zone, SCHEDULER_RPC_VERSION,
			s->uuid, err) < 0)
		return -1;
	s->ready = true;
	log_info("service is up host=%s uuid=%s", settings->host, s->uuid);
	return 0;
}

static int keep_alive(struct scheduler *s, struct error *err)
{
	struct facts facts;
	int beaten;

	if (!s->ready)
		return become_ready(s, err);
	beaten = store_service_beat(s->db, s->settings->host, SCHEDULER_BINARY, err);
	if (beaten == 0) {
		log_warning("the row of the service is gone, it is made again");
		return become_ready(s, err);
	}
	if (beaten < 0 || facts_read(s, &facts, err) < 0)
		return -1;
	forget_strangers(s, &facts);
	facts_clear(&facts);
	remove_expired(s);
	return 0;
}

static void say_waiting(struct scheduler *s, const struct error *why)
{
	double now = clock_seconds();

	if (s->said_at != 0 && now - s->said_at < SAY_AGAIN_S)
		return;
	s->said_at = now;
	log_warning("waiting for the database reason='%s'", why->text);
}

static double next_pause(struct scheduler *s)
{
	double pause = s->pause_s;

	s->pause_s *= 2;
	if (s->pause_s > LONGEST_PAUSE_S)
		s->pause_s = LONGEST_PAUSE_S;
	return pause;
}

static void on_beat(EV_P_ ev_timer *watcher, int events)
{
	struct scheduler *s = watcher->data;
	double pause = s->settings->report_interval;
	struct error err;

	if (keep_alive(s, &err) < 0) {
		say_waiting(s, &err);
		pause = next_pause(s);
	} else {
		if (s->said_at != 0)
			log_info("the database is back");
		s->said_at = 0;
		s->pause_s = FIRST_PAUSE_S;
	}
	ev_timer_set(watcher, pause, 0.);
	ev_timer_start(EV_A_ watcher);
}

/* ---- life ---- */

/* Unlike the volume manager this program can do without a state_path. */
static int find_suspects(struct scheduler *s, struct error *err)
{
	const char *path = s->settings->state_path;

	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return 0;
	s->suspects_path = text_format("%s/scheduler-suspects", path);
	return s->suspects_path ? 0 : error_no_memory(err);
}

static int open_rpc(struct scheduler *s, struct error *err)
{
	struct rpc_options options = s->settings->rpc;
	const struct rpc_service service = {
		.topic = SCHEDULER_BINARY,
		.server = s->settings->host,
		.version = SCHEDULER_RPC_VERSION,
		.methods = scheduler_methods,
		.arg = s,
	};

	if (find_suspects(s, err) < 0)
		return -1;
	options.suspects_path = s->suspects_path;
	if (rpc_new(s->loop, &options, &s->rpc, err) < 0)
		return -1;
	rpc_on_ready(s->rpc, on_ready, s);
	return rpc_serve(s->rpc, &service, err);
}

int scheduler_new(struct loop *loop, const struct settings *settings,
	struct scheduler **out, struct error *err)
{
	AUTO(scheduler_free) struct scheduler *s = calloc(1, sizeof(*s));

	if (!s)
		return error_no_memory(err);
	s->loop = loop;
	s->settings = settings;
	s->pause_s = FIRST_PAUSE_S;
	ev_timer_init(&s->beat, on_beat, 0., 0.);
	s->beat.data = s;
	if (policy_read(settings, &s->policy, err) < 0 ||
		db_new(settings->conninfo, "drover-scheduler", &s->db, err) < 0 ||
		open_rpc(s, err) < 0)
		return -1;
	ev_timer_start(loop_ev(loop), &s->beat);
	*out = steal(s);
	return 0;
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	ev_timer_stop(loop_ev(s->loop), &s->beat);
	rpc_free(s->rpc);
	pools_clear(&s->pools);
	db_free(s->db);
	free(s->suspects_path);
	free(s);
}

void scheduler_stop(struct scheduler *s)
{
	struct error err;

	log_info("stopping");
	s->stopping = true;
	rpc_stop(s->rpc);
	if (s->ready && db_is_connected(s->db) &&
		store_service_down(s->db, s->settings->host, SCHEDULER_BINARY,
			s->settings->service_down_time, &err) < 0)
		log_warning(
			"cannot say that the service is down reason='%s'", err.text);
	loop_quit(s->loop);
}
