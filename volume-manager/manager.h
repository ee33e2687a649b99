/* SPDX-License-Identifier: Apache-2.0 */
/* manager.h - the volume manager: one process, one loop, one thread.
 *
 * It never touches storage: it takes requests, writes them down as operations, starts a
 * worker for each, and keeps leases, heartbeats and reports going.
 *
 *	manager.c	life: database, leases, heartbeats, stop
 *	methods.c	RPC methods; methods_connect.c, methods_disconnect.c:
 *			those that connect and attach
 *	forward.c	requests for volumes that have moved to another host
 *	reports.c	what the backends have: asked of workers, told to the schedulers
 *	report_nfs.c	... in the form of Cinder's driver nfs
 *	scan.c		rows that are due: operations, garbage, exports
 *	slots.c		how much work runs at once
 *	peers.c		what Python services are to delete
 *	silence.c	hosts that are gone
 *	children.c	worker processes
 */
#ifndef VOLUME_MANAGER_MANAGER_H
#define VOLUME_MANAGER_MANAGER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/db.h"
#include "common/error.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/program.h"
#include "common/rpc.h"
#include "common/settings.h"
#include "common/store/operations.h"

struct managed {
	struct manager *manager;
	const struct backend_settings *settings;
	bool leased; /* the lease is ours, and by our clock it still counts */
	bool had; /* it was ours before */
	int64_t until_ms; /* by process_clock_ms(): how long we count on it */
	char holder[128]; /* another process that has it; empty: none, or not known */
	bool said_held; /* that was logged */
	bool healthy; /* the last look at the storage succeeded */
	bool serving; /* its RPC queues are declared, as soon as there is a broker */
	bool registered; /* its services row was made or renewed */
	bool answered; /* that worker has said something */
	bool looking; /* a stats worker is running */
	unsigned looks; /* processes that look at a volume, given up or not */
	bool missed; /* a look was due while the last one was still running */
	uint64_t total_bytes, free_bytes;
	bool thin;
	char location[128];
	char trouble[ERROR_TEXT_SIZE]; /* why it is not healthy; as logged last */
};

enum child_kind {
	CHILD_OPERATION,
	CHILD_GARBAGE,
	CHILD_EXPORT,
	CHILD_READ_BACK,
	CHILD_LOOK,
	CHILD_STATS
};

struct child {
	struct child *next;
	struct manager *manager;
	struct managed *managed; /* the backend it works on */
	enum child_kind kind;
	char id[ADDRESS_SIZE]; /* of the row; of the backend for stats */
	struct operation op; /* CHILD_OPERATION: as claimed; copies as read since */
	pid_t pid;
	ev_child exit;
	ev_io io; /* our end of the worker's descriptor 3 */
	int fd;
	char line[4096];
	size_t used;
	double heard_at; /* it said something, or was started */
	double started_at;
	bool given_up; /* CHILD_LOOK: took too long, its row says so */
	bool closing; /* CHILD_EXPORT: it was killed, since its row says so */
};

/* A process that is not our child: the server of an export. */
struct watch {
	struct watch *next;
	struct manager *manager;
	char id[UUID_TEXT_SIZE];
	int fd; /* pidfd: readable when the process has ended */
	ev_io io;
};

struct manager {
	const struct program *program;
	const struct settings *settings;
	struct loop *loop;
	struct db *db;
	struct rpc *rpc;
	struct backend_settings *backends;
	struct managed *managed; /* one for each backend */
	size_t count;
	char owner[UUID_TEXT_SIZE]; /* of the leases: the same after a restart */
	int state_fd; /* holds the lock on state_path */
	char *suspects_path; /* for the RPC, in state_path */
	char *worker_path;
	struct child *children;
	struct watch *watches;
	bool schema_ok, stopping;
	bool lost; /* a lease was lost: exit status 1, so that it is started again */
	double next_line; /* one log line a minute while something is awaited */
	double stop_deadline;
	int64_t lease_until_ms; /* by process_clock_ms(); 0: no lease */
	struct silence *silences; /* silence.c */
	size_t silence_count;
	unsigned silence_generation; /* of the connection they were seen on */
	ev_check lease_check;
	ev_timer beat, look, rescan, soon, stop;
	ev_io db_io;
	ev_prepare db_check;
	int db_fd;
	unsigned db_generation;
};

/* program is borrowed for the manager's life. ERR_CONFIG and ERR_IO before anything
 * was started. */
int manager_new(const struct program *program, struct loop *loop, struct manager **out,
	struct error *err);
void manager_free(struct manager *manager);
DEFINE_AUTO(struct manager *, manager_free)
/* Everything else happens in the loop. */
void manager_start(struct manager *manager);

/* Look for due rows in so many seconds, or earlier if that was asked before. */
void manager_scan_in(struct manager *manager, double seconds);
/* Look at the backends in so many seconds, or earlier, and go on periodically. */
void manager_look_in(struct manager *manager, double seconds);
/* The one of this backend ("server1@fast" or with a pool), NULL when not ours. */
struct managed *manager_find(struct manager *manager, const char *address);

/* children.c */
/* Start drover-worker KIND ID [epoch]; op for operations, else NULL. */
int child_start(struct managed *managed, enum child_kind kind, const char *id,
	const struct operation *op, struct error *err);
struct child *child_find(struct manager *manager, enum child_kind kind, const char *id);
/* Scan when this process ends; a second call for the same id and process is nothing. */
int watch_process(
	struct manager *manager, const char *id, pid_t pid, struct error *err);
/* Kill workers that have said nothing for worker_timeout: they are stopped; and looks that
 * take as long. */
void children_check(struct manager *manager);
/* Tell all workers until when the lease counts. */
void children_tell_lease(struct manager *manager);
/* A signal to all workers. Returns how many are left. */
unsigned children_stop(struct manager *manager, int signum);
void children_free(struct manager *manager);

/* locks.c */
/* Does a process hold the lock of this work, whatever its row says? *pid: which one, 0 when
 * it has not said. */
bool locks_held(struct manager *manager, const char *name, pid_t *pid);
/* Remove the lock file of work that is over; and all that nobody holds, when starting. */
void locks_forget(struct manager *manager, const char *name);
void locks_sweep(struct manager *manager);

/* scan.c */
void manager_scan(struct manager *manager);
/* Requests that nobody took up: their volumes are set back. */
void manager_find_lost(struct manager *manager);
/* Its storage has not answered in time: its row says so, and the next one has its slot. */
void scan_give_up_look(struct child *child);
/* A worker has ended. */
void scan_child_ended(struct manager *manager, const struct child *child, int status);

/* peers.c */
void peers_clean(struct manager *manager, const struct managed *managed);

/* silence.c */
/* Hosts that show no sign of life for longer than anybody waits: their migrations are taken
 * back, their volumes released. */
void silence_look(struct manager *manager);
void silence_forget(struct manager *manager);

/* reports.c */
/* Ask for a look at every leased backend, or at one. */
void reports_look(struct manager *manager);
void reports_look_at(struct managed *managed);
/* What the stats worker of a backend said; text NULL: it ended without a word. */
void reports_take(struct manager *manager, const char *backend, const char *text);
/* Have the services row of a backend that is served and usable. Before the broker is reached
 * only one of an earlier life, whose queues are there: it drops what no queue is for. Called
 * again by reports_ready() and each beat. */
int reports_register(struct managed *managed, struct error *err);
/* The queues are declared. */
void reports_ready(struct manager *manager);
/* The capabilities as Cinder's backends report them. */
struct json_object *reports_capabilities(struct managed *managed);

/* report_nfs.c */
bool reports_are_nfs(const struct managed *managed);
/* gib: of all volumes there. */
struct json_object *reports_nfs(const struct managed *managed, int64_t gib);

/* forward.c */
/* Whose is the volume of this request? 0: ours or nobody's, go on. RPC_LATER: another
 * manager's, it was sent on (or it is done already): return that. -1: it cannot be sent
 * on, refuse it; or the database or the broker is away. */
int forward_if_moved(struct manager *manager, const struct rpc_request *request,
	const char *id, struct error *err);

/* methods.c */
/* Their argument is the struct managed that serves them. */
extern const struct rpc_method manager_methods[];
/* methods_connect.c */
/* Answers to who connects and disconnects that became possible. */
void methods_answer(struct manager *manager, struct managed *managed);

#endif
