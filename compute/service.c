/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/text.h"
#include "compute/answer.h"

#define ORDER_THREADS 8
#define ANSWER_THREADS 2
#define TICK_S 0.05
#define IDLE_S 1.0 /* between two looks for work, when there is none */
#define LOOK_S 0.2 /* between two looks at a copy */
#define NEAR_S 0.05 /* at one that is nearly done */
#define HELD_S 5.0
#define TROUBLE_S 1.0 /* libvirt does not answer */
#define EXPIRE_TICKS 60
#define KEPT_S (30 * 86400) /* by then everybody knows, and nobody asks any more */

/* ---- swaps go on ---- */

struct task {
	struct job job;
	struct compute *compute;
	struct swap swap;
	struct error err;
	int rc;
};

static void give(struct compute *compute, struct jobs *jobs, const struct swap *swap,
	enum swap_need need, void (*run)(struct job *job),
	void (*done)(struct job *job))
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task) {
		swaps_put_back(compute->hypervisor.swaps, swap, need,
			clock_seconds() + TROUBLE_S);
		return;
	}
	task->job.run = run;
	task->job.done = done;
	task->compute = compute;
	task->swap = *swap;
	jobs_give(jobs, &task->job);
}

static void run_look(struct job *job)
{
	struct task *task = container_of(job, struct task, job);

	task->rc = order_advance(&task->compute->hypervisor, &task->swap, &task->err);
}

/* A copy that has ended waits for us, and the guest's writes go to both disks. */
static double pause_after(struct compute *compute, const struct swap *key)
{
	struct swap swap;

	if (!swaps_find(compute->hypervisor.swaps, key->instance, key->volume,
		    key->target, &swap))
		return LOOK_S;
	if (swap.step == SWAP_HELD)
		return HELD_S;
	return swap.total - swap.done < swap.total / 8 ? NEAR_S : LOOK_S;
}

static void end_look(struct job *job)
{
	struct task *task = container_of(job, struct task, job);
	double pause = pause_after(task->compute, &task->swap);

	if (task->rc < 0) {
		log_warning("swap waits volume=%s target=%s reason='%s'",
			task->swap.volume, task->swap.target, task->err.text);
		pause = TROUBLE_S;
	}
	swaps_put_back(task->compute->hypervisor.swaps, &task->swap, SWAP_NEEDS_LOOK,
		clock_seconds() + pause);
	free(task);
}

static void run_answer(struct job *job)
{
	struct task *task = container_of(job, struct task, job);

	task->rc = answer_send(&task->compute->hypervisor, &task->swap, &task->err);
}

static void end_answer(struct job *job)
{
	struct task *task = container_of(job, struct task, job);
	struct swaps *swaps = task->compute->hypervisor.swaps;
	double pause = 0;

	if (task->rc < 0) {
		pause = swaps_patience(swaps, &task->swap);
		log_warning("the end of a swap is told again in %.0f s volume=%s "
			    "reason='%s'",
			pause, task->swap.volume, task->err.text);
	}
	swaps_put_back(swaps, &task->swap, SWAP_NEEDS_ANSWER, clock_seconds() + pause);
	free(task);
}

static void set_pace(struct compute *compute)
{
	double pace = swaps_are_idle(compute->hypervisor.swaps) ? IDLE_S : TICK_S;

	if (compute->tick.repeat == pace)
		return;
	compute->tick.repeat = pace;
	ev_timer_again(loop_ev(compute->loop), &compute->tick);
}

static void go_on(struct compute *compute)
{
	struct swaps *swaps = compute->hypervisor.swaps;
	double now = clock_seconds();
	struct swap swap;

	if (compute->stopping)
		return;
	while (swaps_take(swaps, now, SWAP_NEEDS_LOOK, &swap))
		give(compute, compute->orders, &swap, SWAP_NEEDS_LOOK, run_look,
			end_look);
	while (swaps_take(swaps, now, SWAP_NEEDS_ANSWER, &swap))
		give(compute, compute->answers, &swap, SWAP_NEEDS_ANSWER, run_answer,
			end_answer);
	set_pace(compute);
}

static void on_tick(EV_P_ ev_timer *watcher, int events)
{
	struct compute *compute = watcher->data;

	go_on(compute);
	if (compute->ticks++ % EXPIRE_TICKS == 0)
		swaps_expire(compute->hypervisor.swaps, KEPT_S);
}

void compute_hurry(struct compute *compute)
{
	go_on(compute);
}

/* ---- life ---- */

static int make_directory(const char *path, struct error *err)
{
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return error_set_errno(err, ERR_IO, "cannot make directory '%s'", path);
	return 0;
}

/* Two daemons with one state would do everything twice. */
static int take_lock(struct compute *compute, const char *directory, struct error *err)
{
	AUTO(free) char *path = text_format("%s/lock", directory);

	if (!path)
		return error_no_memory(err);
	compute->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (compute->lock < 0)
		return error_set_errno(err, ERR_IO, "cannot open '%s'", path);
	if (flock(compute->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(err, ERR_EXISTS,
			"another drover-compute works with '%s'", directory);
	return 0;
}

static int open_state(struct compute *compute, struct error *err)
{
	const struct settings *settings = compute->hypervisor.settings;
	AUTO(free) char *directory = text_format("%s/compute", settings->state_path);
	AUTO(free) char *swaps = text_format("%s/compute/swaps", settings->state_path);

	compute->suspects_path =
		text_format("%s/compute/suspects", settings->state_path);
	if (!directory || !swaps || !compute->suspects_path)
		return error_no_memory(err);
	if (make_directory(settings->state_path, err) < 0 ||
		make_directory(directory, err) < 0 ||
		take_lock(compute, directory, err) < 0)
		return -1;
	return swaps_load(swaps, &compute->hypervisor.swaps, err);
}

static int open_rpc(struct compute *compute, struct error *err)
{
	const struct settings *settings = compute->hypervisor.settings;
	struct rpc_options options = settings->rpc;
	const struct rpc_service service = {
		.topic = COMPUTE_TOPIC,
		.server = settings->host,
		.version = COMPUTE_RPC_VERSION,
		.methods = compute_methods,
		.arg = compute,
	};

	options.suspects_path = compute->suspects_path;
	if (rpc_new(compute->loop, &options, &compute->rpc, err) < 0)
		return -1;
	return rpc_serve(compute->rpc, &service, err);
}

int compute_new(struct loop *loop, const struct settings *settings,
	struct compute **out, struct error *err)
{
	AUTO(compute_free) struct compute *compute = calloc(1, sizeof(*compute));

	if (!compute)
		return error_no_memory(err);
	compute->loop = loop;
	compute->lock = -1;
	compute->hypervisor.settings = settings;
	ev_timer_init(&compute->tick, on_tick, 0., IDLE_S);
	compute->tick.data = compute;
	if (open_state(compute, err) < 0 ||
		host_new(settings->compute_libvirt_uri, &compute->hypervisor.host,
			err) < 0 ||
		jobs_new(loop, ORDER_THREADS, &compute->orders, err) < 0 ||
		jobs_new(loop, ANSWER_THREADS, &compute->answers, err) < 0 ||
		open_rpc(compute, err) < 0)
		return -1;
	ev_timer_start(loop_ev(loop), &compute->tick);
	log_info("service is up host=%s", settings->host);
	*out = steal(compute);
	return 0;
}

/* The threads use all the rest; their last answers go out. */
void compute_free(struct compute *compute)
{
	if (!compute)
		return;
	compute->stopping = true;
	ev_timer_stop(loop_ev(compute->loop), &compute->tick);
	jobs_free(compute->orders);
	jobs_free(compute->answers);
	rpc_free(compute->rpc);
	host_free(compute->hypervisor.host);
	swaps_free(compute->hypervisor.swaps);
	free(compute->suspects_path);
	if (compute->lock >= 0)
		close(compute->lock);
	free(compute);
}

void compute_stop(struct compute *compute)
{
	log_info("stopping");
	compute->stopping = true;
	rpc_stop(compute->rpc);
	loop_quit(compute->loop);
}
