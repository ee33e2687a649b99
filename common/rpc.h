/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.h - oslo.messaging's RPC over RabbitMQ: server, client, replies.
 *
 * Envelope 2.0, queues, exchanges and flags as in Cinder (topic, topic.server and fanout
 * queues). One struct rpc per process, in the loop's thread. Consuming has a connection of
 * its own, publishing (with confirms) another; both come back by themselves with backoff
 * over all hosts, and queues, bindings and consumers are declared anew.
 */
#ifndef COMMON_RPC_H
#define COMMON_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/auto.h"
#include "common/error.h"
#include "common/json.h"
#include "common/url.h"

struct loop;
struct rpc;

/* Defaults are oslo.messaging's; see rpc_options_defaults(). Strings are borrowed for the
 * life of the struct rpc. */
struct rpc_options {
	struct rabbit_url url;
	const char *exchange; /* control_exchange, "openstack" */
	int heartbeat_s; /* heartbeat_timeout_threshold, 60 */
	int prefetch; /* rabbit_qos_prefetch_count; 0 is taken as 32 */
	bool durable; /* amqp_durable_queues */
	bool auto_delete; /* amqp_auto_delete */
	bool quorum; /* rabbit_quorum_queue: implies durable */
	bool transient_quorum; /* rabbit_transient_quorum_queue */
	int transient_ttl_s; /* rabbit_transient_queues_ttl, 1800 */
	double confirm_timeout_s; /* how long one publish may take, 5 */
	double response_timeout_s; /* rpc_response_timeout, 60 */
	int64_t max_message_bytes; /* larger ones are refused, 4 MiB */
	bool tls; /* ssl */
	const char *tls_ca, *tls_cert, *tls_key; /* ssl_ca_file, ssl_cert_file, ... */
	bool tls_verify; /* true: chain and host name */
	/* Not an option of users: the daemon sets it, to a file of its own in state_path.
	 * It holds the unique ids of messages that are being handled again; the third time
	 * that one which was never come out of is found, it is rejected. NULL: no file, and
	 * a message that ends the process comes again for ever. */
	const char *suspects_path;
};
void rpc_options_defaults(struct rpc_options *options);

/* Where a reply goes. Empty strings: a cast, nobody waits. Small enough to be stored in a
 * row and used after a restart. */
struct rpc_address {
	char queue[128]; /* _reply_q */
	char id[64]; /* _msg_id */
};

/* What a handler is given; all borrowed until it returns. */
struct rpc_request {
	const char *method;
	const char *version;
	struct json_object *args; /* an object, never NULL */
	struct json_object *message; /* all of it, for rpc_forward() */
	const char *request_id; /* the API request, "req-..."; never NULL. When the
				     context has none: the message's unique id */
	const char *unique_id; /* of this message */
	const char *user_id, *project_id; /* NULL when the context has none */
	bool is_admin;
	bool redelivered;
	bool forwarded; /* another server sent it on */
	struct rpc_address reply;
};

/* What a handler returns. */
enum {
	RPC_FAILED = -1, /* *err becomes the failure reply (a cast: one log line). With
			    ERR_DB_UNAVAILABLE, ERR_DB_UNKNOWN or ERR_DB_RETRY the message
			    is kept unacknowledged and given to the handler again after
			    1 s, then up to 5 s. All newer messages wait behind it; with
			    ERR_DB_RETRY (a row is locked) and ERR_BROKER (it could
			    not be sent on) only those about the same volume, see
			    envelope_volume_id(). */
	RPC_DONE = 0, /* *result (may stay NULL) is the reply; handed over */
	RPC_LATER = 1, /* the handler will call rpc_reply() some time */
	RPC_WAIT = 2, /* it cannot be decided yet: as ERR_DB_RETRY, and earlier after
			 rpc_try_again() */
};
typedef int (*rpc_handler)(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err);

struct rpc_method {
	const char *name;
	rpc_handler handle; /* NULL: known, answered "not supported" at once */
};

/* One RPC server: everything sent to topic, topic.server and the fanout of topic. */
struct rpc_service {
	const char *topic; /* "cinder-scheduler", "cinder-volume.server1@fast" */
	const char *server; /* "server1" */
	const char *version; /* what we implement: "3.18" */
	const struct rpc_method *methods; /* ends with an entry whose name is NULL */
	void *arg;
};

/* Nothing is connected yet; connections are made in the loop and retried for ever. */
int rpc_new(struct loop *loop, const struct rpc_options *options, struct rpc **out,
	struct error *err);
void rpc_free(struct rpc *rpc);
DEFINE_AUTO(struct rpc *, rpc_free)

/* Serve; the strings are copied, methods and arg are borrowed. Several services per
 * process; queues that two share are consumed once. Takes effect at once or at the next
 * connection. */
int rpc_serve(struct rpc *rpc, const struct rpc_service *service, struct error *err);
/* Give back what is not handled yet and take nothing until told otherwise: another server
 * of the same name may. Not within a handler. Replies can still be sent. */
void rpc_pause(struct rpc *rpc, bool paused);
/* What handlers have answered with RPC_WAIT is given to them again soon. */
void rpc_try_again(struct rpc *rpc);
/* Stop taking new messages (consumers cancelled); replies can still be sent. */
void rpc_stop(struct rpc *rpc);
/* Is there a connection, and on it a queue for all that is served? */
bool rpc_is_ready(const struct rpc *rpc);
/* Called in the loop each time all consumers are in place (again). */
void rpc_on_ready(struct rpc *rpc, void (*on_ready)(void *arg), void *arg);

/* Publish and wait for the broker's confirm, at most confirm_timeout_s. args is borrowed.
 * server NULL: any server of the topic. request_id NULL: a new one. A cast with mandatory
 * fails with ERR_UNROUTABLE when no queue takes it. ERR_BROKER: not confirmed; it may or
 * may not have arrived. */
int rpc_cast(struct rpc *rpc, const char *topic, const char *server, bool mandatory,
	const char *method, const char *version, const char *request_id,
	struct json_object *args, struct error *err);
int rpc_fanout(struct rpc *rpc, const char *topic, const char *method,
	const char *version, struct json_object *args, struct error *err);
/* Send a request on to another server, with its ids, its reply address and a mark in its
 * context; the handler then returns RPC_LATER, and the other server answers. Confirmed like
 * a cast with mandatory. A Python server ignores the mark. */
int rpc_forward(struct rpc *rpc, const struct rpc_request *request, const char *topic,
	const char *server, struct error *err);

/* Answer a call. failure NULL: result (borrowed, may be NULL). A no-op for a cast. When the
 * broker is away the reply is queued in memory (bounded) and sent for up to 60 s. */
void rpc_reply(struct rpc *rpc, const struct rpc_address *to,
	struct json_object *result, const struct error *failure);

/* For programs without a loop (the command line): connections of its own, blocking,
 * bounded by the options' time-outs. */
struct rpc_client;
int rpc_client_open(
	const struct rpc_options *options, struct rpc_client **out, struct error *err);
void rpc_client_close(struct rpc_client *client);
DEFINE_AUTO(struct rpc_client *, rpc_client_close)
int rpc_client_cast(struct rpc_client *client, const char *topic, const char *server,
	const char *method, const char *version, const char *request_id,
	struct json_object *args, struct error *err); /* mandatory */
/* Waits for the answer. A failure that the peer sent becomes *err with its text. */
int rpc_client_call(struct rpc_client *client, const char *topic, const char *server,
	const char *method, const char *version, struct json_object *args,
	struct json_object **result, struct error *err);
/* The same asked of every server of the topic: the first answer that is not null, within so
 * many seconds. 1 and *result; 0 when nobody had one. A failure only when nobody else
 * answers. */
int rpc_client_call_any(struct rpc_client *client, const char *topic,
	const char *method, const char *version, struct json_object *args,
	double seconds, struct json_object **result, struct error *err);

#endif
