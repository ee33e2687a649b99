/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_peer - an RPC server and sender for tests, driven by a Python program.
 *
 *	rpc_peer serve [options]	serves, takes commands on standard input
 *	rpc_peer call [options] TOPIC SERVER METHOD VERSION ARGS
 *
 * Every line in and out is a JSON object. Commands: {"do": "cast", "topic", "server",
 * "method", "args", "mandatory", "count", "pad"}, "fanout", "stop", "quit".
 * Events: "ready", "called", "sent", "stopped".
 */
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/rpc.h"
#include "common/text.h"

struct peer {
	struct loop *loop;
	struct rpc *rpc;
	struct rpc_options options;
	char *topics[8]; /* one service each */
	size_t topic_count;
	const char *server;
	ev_io input;
	char line[8192];
	size_t used;
	int64_t defer_left;
	enum error_code defer_code;
	struct rpc_address later;
	ev_timer later_timer;
};

static void say(struct json_object *event)
{
	char *text = json_text(event);

	printf("%s\n", text);
	fflush(stdout);
	free(text);
	json_object_put(event);
}

static struct json_object *event_new(const char *name)
{
	struct json_object *event = json_object_new_object();

	json_add_string(event, "event", name);
	return event;
}

static void say_called(const struct rpc_request *request)
{
	struct json_object *event = event_new("called");

	json_add_string(event, "method", request->method);
	json_add(event, "args", json_object_get(request->args));
	json_add_bool(event, "redelivered", request->redelivered);
	json_add_string(event, "unique_id", request->unique_id);
	say(event);
}

static int on_echo(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	say_called(request);
	*result = json_object_get(request->args);
	return RPC_DONE;
}

static int on_whoami(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	*result = json_object_new_object();
	json_add_string(*result, "user_id", request->user_id);
	json_add_string(*result, "project_id", request->project_id);
	json_add_string(*result, "request_id", request->request_id);
	json_add_bool(*result, "is_admin", request->is_admin);
	return RPC_DONE;
}

static int on_fail(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const char *code, *text;

	if (json_get_string(request->args, "code", &code, err) < 0 ||
		json_get_string(request->args, "text", &text, err) < 0)
		return RPC_FAILED;
	return error_set(err, error_code_from_name(code), "%s", text);
}

static void on_later_timer(EV_P_ ev_timer *watcher, int events)
{
	struct peer *peer = watcher->data;
	AUTO(json_object_put)
	struct json_object *result = json_object_new_string("later");

	rpc_reply(peer->rpc, &peer->later, result, NULL);
}

static int on_later(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct peer *peer = arg;
	double seconds;

	say_called(request);
	if (json_get_double_or(request->args, "seconds", 0.2, &seconds, err) < 0)
		return RPC_FAILED;
	peer->later = request->reply;
	ev_timer_init(&peer->later_timer, on_later_timer, seconds, 0.);
	peer->later_timer.data = peer;
	ev_timer_start(loop_ev(peer->loop), &peer->later_timer);
	return RPC_LATER;
}

/* The next "times" requests of this method find no database. */
static int on_defer(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct peer *peer = arg;
	int64_t times;
	const char *code;

	say_called(request);
	if (json_get_int_or(request->args, "times", 0, 1000, 0, &times, err) < 0 ||
		json_get_string_or(
			request->args, "code", "database_unavailable", &code, err) < 0)
		return RPC_FAILED;
	if (peer->defer_left < 0)
		peer->defer_left = times;
	if (peer->defer_left-- > 0)
		return error_set(err, error_code_from_name(code), "no database");
	peer->defer_left = -1;
	*result = json_object_new_string("done");
	return RPC_DONE;
}

static int on_slow(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	say_called(request);
	sleep(1);
	return RPC_DONE;
}

static int on_abort(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	say_called(request);
	abort();
}

static int on_stop_me(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct peer *peer = arg;

	say_called(request);
	rpc_stop(peer->rpc);
	return RPC_DONE;
}

static const struct rpc_method methods[] = {
	{ "echo", on_echo },
	{ "whoami", on_whoami },
	{ "fail", on_fail },
	{ "later", on_later },
	{ "defer", on_defer },
	{ "slow", on_slow },
	{ "abort", on_abort },
	{ "stop_me", on_stop_me },
	{ "not_here", NULL },
	{ "_private", on_echo },
	{ NULL, NULL },
};

static void on_ready(void *arg)
{
	say(event_new("ready"));
}

/* --- commands */

static struct json_object *padded_args(struct json_object *command, int64_t pad)
{
	struct json_object *given = json_object_object_get(command, "args");
	struct json_object *args = given ? json_object_get(given) : NULL;
	char *text;

	if (!args)
		args = json_object_new_object();
	if (pad > 0) {
		text = malloc((size_t)pad + 1);
		memset(text, 'x', (size_t)pad);
		text[pad] = '\0';
		json_add_string(args, "pad", text);
		free(text);
	}
	return args;
}

static int send_one(struct peer *peer, struct json_object *command, bool fanout,
	struct json_object *args, struct error *err)
{
	const char *topic, *server, *method;
	bool mandatory;

	if (json_get_string(command, "topic", &topic, err) < 0 ||
		json_get_string_or(command, "server", NULL, &server, err) < 0 ||
		json_get_string(command, "method", &method, err) < 0 ||
		json_get_bool_or(command, "mandatory", true, &mandatory, err) < 0)
		return -1;
	if (fanout)
		return rpc_fanout(peer->rpc, topic, method, "1.0", args, err);
	return rpc_cast(peer->rpc, topic, server, mandatory, method, "1.0",
		"req-of-the-test", args, err);
}

static void do_send(struct peer *peer, struct json_object *command, bool fanout)
{
	AUTO(json_object_put) struct json_object *args = NULL;
	struct json_object *event = event_new("sent");
	double began = clock_seconds();
	int64_t count = 1, pad = 0;
	struct error err;
	int rc;

	error_clear(&err);
	rc = json_get_int_or(command, "count", 1, 1000000, 1, &count, &err);
	if (rc == 0)
		rc = json_get_int_or(command, "pad", 0, 1 << 28, 0, &pad, &err);
	args = padded_args(command, pad);
	for (int64_t i = 0; rc == 0 && i < count; i++)
		rc = send_one(peer, command, fanout, args, &err);
	json_add_string(event, "code", rc < 0 ? error_code_name(err.code) : "none");
	json_add_string(event, "text", rc < 0 ? err.text : "");
	json_add_double(event, "seconds", clock_seconds() - began);
	say(event);
}

static void quit(struct peer *peer)
{
	ev_io_stop(loop_ev(peer->loop), &peer->input);
	loop_quit(peer->loop);
}

static void on_line(struct peer *peer, const char *line)
{
	AUTO(json_object_put) struct json_object *command = NULL;
	const char *what = "";
	struct error err;

	if (json_parse(line, strlen(line), &command, &err) < 0 ||
		json_get_string(command, "do", &what, &err) < 0) {
		log_error("bad command: %s", err.text);
		quit(peer);
	} else if (strcmp(what, "cast") == 0) {
		do_send(peer, command, false);
	} else if (strcmp(what, "fanout") == 0) {
		do_send(peer, command, true);
	} else if (strcmp(what, "stop") == 0) {
		rpc_stop(peer->rpc);
		say(event_new("stopped"));
	} else {
		quit(peer);
	}
}

static void on_input(EV_P_ ev_io *watcher, int events)
{
	struct peer *peer = watcher->data;
	ssize_t got = read(STDIN_FILENO, peer->line + peer->used,
		sizeof(peer->line) - 1 - peer->used);
	char *end;

	if (got <= 0) {
		quit(peer);
		return;
	}
	peer->used += (size_t)got;
	peer->line[peer->used] = '\0';
	while ((end = strchr(peer->line, '\n'))) {
		*end = '\0';
		on_line(peer, peer->line);
		peer->used -= (size_t)(end + 1 - peer->line);
		memmove(peer->line, end + 1, peer->used + 1);
	}
}

/* --- the two programs */

static int serve(struct peer *peer, struct error *err)
{
	AUTO(loop_free) struct loop *loop = NULL;
	AUTO(rpc_free) struct rpc *rpc = NULL;

	if (loop_new(&loop, err) < 0 || rpc_new(loop, &peer->options, &rpc, err) < 0)
		return -1;
	peer->loop = loop;
	peer->rpc = rpc;
	peer->defer_left = -1;
	rpc_on_ready(rpc, on_ready, peer);
	for (size_t i = 0; i < peer->topic_count; i++) {
		const struct rpc_service service = { .topic = peer->topics[i],
			.server = peer->server,
			.version = "1.5",
			.methods = methods,
			.arg = peer };

		if (rpc_serve(rpc, &service, err) < 0)
			return -1;
	}
	ev_io_init(&peer->input, on_input, STDIN_FILENO, EV_READ);
	peer->input.data = peer;
	ev_io_start(loop_ev(loop), &peer->input);
	loop_run(loop);
	ev_timer_stop(loop_ev(loop), &peer->later_timer);
	return 0;
}

static int call(struct peer *peer, char **argv, struct error *err)
{
	AUTO(rpc_client_close) struct rpc_client *client = NULL;
	AUTO(json_object_put) struct json_object *args = NULL;
	AUTO(json_object_put) struct json_object *result = NULL;
	struct json_object *event;

	if (json_parse(argv[4], strlen(argv[4]), &args, err) < 0 ||
		rpc_client_open(&peer->options, &client, err) < 0 ||
		rpc_client_call(client, argv[0], argv[1], argv[2], argv[3], args,
			&result, err) < 0)
		return -1;
	event = event_new("answer");
	json_add(event, "result", steal(result));
	say(event);
	return 0;
}

static int read_options(struct peer *peer, int argc, char **argv, struct error *err)
{
	static const struct option names[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "topic", required_argument, NULL, 't' },
		{ "server", required_argument, NULL, 's' },
		{ "heartbeat", required_argument, NULL, 'h' },
		{ "confirm-timeout", required_argument, NULL, 'c' },
		{ "response-timeout", required_argument, NULL, 'r' },
		{ "max-bytes", required_argument, NULL, 'm' },
		{ "prefetch", required_argument, NULL, 'p' },
		{ "suspects", required_argument, NULL, 'S' },
		{ "durable", no_argument, NULL, 'd' },
		{ "auto-delete", no_argument, NULL, 'a' },
		{ "quorum", no_argument, NULL, 'q' },
		{ "transient-quorum", no_argument, NULL, 'Q' },
		{ "tls", no_argument, NULL, 'T' },
		{ "ca", required_argument, NULL, 'A' },
		{ "cert", required_argument, NULL, 'C' },
		{ "key", required_argument, NULL, 'K' },
		{ "no-verify", no_argument, NULL, 'N' },
		{ NULL, 0, NULL, 0 },
	};
	struct rpc_options *o = &peer->options;
	int c;

	while ((c = getopt_long(argc, argv, "+", names, NULL)) != -1) {
		if (c == 'u' && rabbit_url_parse(optarg, &o->url, err) < 0)
			return -1;
		else if (c == 't' && peer->topic_count < ARRAY_SIZE(peer->topics))
			peer->topics[peer->topic_count++] = optarg;
		else if (c == 's')
			peer->server = optarg;
		else if (c == 'h')
			o->heartbeat_s = atoi(optarg);
		else if (c == 'c')
			o->confirm_timeout_s = atof(optarg);
		else if (c == 'r')
			o->response_timeout_s = atof(optarg);
		else if (c == 'm')
			o->max_message_bytes = atoi(optarg);
		else if (c == 'p')
			o->prefetch = atoi(optarg);
		else if (c == 'S')
			o->suspects_path = optarg;
		else if (c == 'A')
			o->tls_ca = optarg;
		else if (c == 'C')
			o->tls_cert = optarg;
		else if (c == 'K')
			o->tls_key = optarg;
		else if (c == '?')
			return error_set(err, ERR_USAGE, "unknown option");
		o->durable |= c == 'd';
		o->auto_delete |= c == 'a';
		o->quorum |= c == 'q';
		o->transient_quorum |= c == 'Q';
		o->tls |= c == 'T';
		o->tls_verify &= c != 'N';
	}
	if (!o->url.host_count)
		return error_set(err, ERR_USAGE, "--url is missing");
	return 0;
}

int main(int argc, char **argv)
{
	struct peer peer = { .server = "server1" };
	struct error err;
	int rc;

	log_open("rpc_peer", LOG_LEVEL_DEBUG);
	rpc_options_defaults(&peer.options);
	if (argc < 2)
		rc = error_set(&err, ERR_USAGE, "serve or call?");
	else
		rc = read_options(&peer, argc - 1, argv + 1, &err);
	if (rc == 0 && strcmp(argv[1], "call") == 0)
		rc = argc - 1 - optind < 5 ? error_set(&err, ERR_USAGE, "call what?")
					   : call(&peer, argv + 1 + optind, &err);
	else if (rc == 0)
		rc = serve(&peer, &err);
	if (rc < 0) {
		struct json_object *event = event_new("failed");

		json_add_string(event, "code", error_code_name(err.code));
		json_add_string(event, "text", err.text);
		say(event);
	}
	rabbit_url_clear(&peer.options.url);
	return rc < 0;
}
