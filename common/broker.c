/* SPDX-License-Identifier: Apache-2.0 */
#include "common/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>

#include "common/rpc.h"
#include "common/text.h"

#define CHANNEL 1
#define FRAME_MAX 131072
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* A delivery or a returned message on its way in: method, header, body frames. */
struct incoming {
	bool active;
	struct broker_event event;
	bool has_header;
	uint64_t received;
	char *body; /* NULL while the message is too large to keep */
};

struct broker {
	amqp_connection_state_t connection;
	amqp_socket_t *socket; /* owned by connection */
	char name[300];
	int64_t max_message_bytes;
	uint64_t published;
	struct incoming incoming;
	char *handed_out; /* the body of the last event */
};

static struct timeval to_timeval(double seconds)
{
	struct timeval tv;

	if (seconds < 0)
		seconds = 0;
	tv.tv_sec = (time_t)seconds;
	tv.tv_usec = (suseconds_t)((seconds - floor(seconds)) * 1e6);
	return tv;
}

static int bytes_length(amqp_bytes_t bytes)
{
	return bytes.len > 512 ? 512 : (int)bytes.len;
}

static void copy_bytes(char *out, size_t size, amqp_bytes_t bytes)
{
	snprintf(out, size, "%.*s", bytes_length(bytes), (const char *)bytes.bytes);
}

/* --- errors */

static int lost(struct broker *b, int status, const char *what, struct error *err)
{
	return error_set(err, ERR_BROKER, "broker %s: %s: %s", b->name, what,
		amqp_error_string2(status));
}

/* The option behind a flag of which RabbitMQ says "inequivalent arg 'durable' for ...". */
static const char *option_of(const char *text, bool transient)
{
	static const struct {
		const char *argument, *option, *transient_option;
	} table[] = {
		{ "'durable'", "amqp_durable_queues", "rabbit_transient_quorum_queue" },
		{ "'auto_delete'", "amqp_auto_delete", "amqp_auto_delete" },
		{ "'x-queue-type'", "rabbit_quorum_queue",
			"rabbit_transient_quorum_queue" },
		{ "'x-expires'", "rabbit_transient_queues_ttl",
			"rabbit_transient_queues_ttl" },
		{ "'type'", "control_exchange", "control_exchange" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strstr(text, table[i].argument))
			return transient ? table[i].transient_option : table[i].option;
	return "amqp_durable_queues";
}

static int closed_by_broker(struct broker *b, const amqp_method_t *method,
	const char *what, bool transient, struct error *err)
{
	char text[512] = "";
	unsigned code = 0;

	if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *close_method = method->decoded;

		code = close_method->reply_code;
		copy_bytes(text, sizeof(text), close_method->reply_text);
	} else if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
		const amqp_connection_close_t *close_method = method->decoded;

		code = close_method->reply_code;
		copy_bytes(text, sizeof(text), close_method->reply_text);
	}
	if (code == AMQP_PRECONDITION_FAILED && strstr(text, "inequivalent arg"))
		return error_set(err, ERR_CONFIG,
			"broker %s: %s: option '%s' differs from the peers': %s",
			b->name, what, option_of(text, transient), text);
	return error_set(err, ERR_BROKER, "broker %s: %s: closed by the broker: %u %s",
		b->name, what, code, text);
}

static int check_reply(struct broker *b, amqp_rpc_reply_t reply, const char *what,
	bool transient, struct error *err)
{
	amqp_maybe_release_buffers(b->connection);
	switch (reply.reply_type) {
	case AMQP_RESPONSE_NORMAL:
		return 0;
	case AMQP_RESPONSE_SERVER_EXCEPTION:
		return closed_by_broker(b, &reply.reply, what, transient, err);
	default:
		return lost(b, reply.library_error, what, err);
	}
}

static int check(struct broker *b, const char *what, struct error *err)
{
	return check_reply(b, amqp_get_rpc_reply(b->connection), what, false, err);
}

/* --- connecting */

static int make_tls_socket(
	struct broker *b, const struct rpc_options *options, struct error *err)
{
	const char *ca = options->tls_ca;

	b->socket = amqp_ssl_socket_new(b->connection);
	if (!b->socket)
		return error_set(err, ERR_CONFIG, "TLS to the broker cannot be set up");
	amqp_ssl_socket_set_verify_peer(b->socket, options->tls_verify);
	amqp_ssl_socket_set_verify_hostname(b->socket, options->tls_verify);
	amqp_ssl_socket_set_ssl_versions(b->socket, AMQP_TLSv1_2, AMQP_TLSvLATEST);
	if (!ca && options->tls_verify)
		ca = SYSTEM_CA;
	if (ca && amqp_ssl_socket_set_cacert(b->socket, ca) != AMQP_STATUS_OK)
		return error_set(
			err, ERR_CONFIG, "cannot use '%s' (ssl_ca_file) for TLS", ca);
	if (!options->tls_cert)
		return 0;
	/* The key may stand in the same file. */
	if (amqp_ssl_socket_set_key(b->socket, options->tls_cert,
		    options->tls_key ? options->tls_key : options->tls_cert) !=
		AMQP_STATUS_OK)
		return error_set(err, ERR_CONFIG,
			"cannot use '%s' (ssl_cert_file, ssl_key_file) for TLS",
			options->tls_cert);
	return 0;
}

static int make_socket(
	struct broker *b, const struct rpc_options *options, struct error *err)
{
	if (options->tls)
		return make_tls_socket(b, options, err);
	b->socket = amqp_tcp_socket_new(b->connection);
	if (!b->socket)
		return error_no_memory(err);
	return 0;
}

/* librabbitmq waits for a writable socket without a limit (its issues 519 and 836); the
 * kernel ends the wait when the peer's window stays shut: tcp(7), TCP_USER_TIMEOUT. */
static void limit_stall(struct broker *b, double stall_s)
{
	unsigned stall_ms = (unsigned)(stall_s * 1000);
	int fd = amqp_get_sockfd(b->connection);

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof(stall_ms));
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static amqp_table_entry_t flag_entry(const char *key)
{
	amqp_table_entry_t entry = { .key = amqp_cstring_bytes(key) };

	entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
	entry.value.value.boolean = 1;
	return entry;
}

static int log_in(struct broker *b, const struct rpc_options *options,
	const struct rabbit_host *host, struct error *err)
{
	amqp_table_entry_t capabilities[] = {
		flag_entry("authentication_failure_close"),
		flag_entry("basic.nack"),
		flag_entry("connection.blocked"),
		flag_entry("consumer_cancel_notify"),
		flag_entry("publisher_confirms"),
	};
	amqp_table_entry_t entries[2] = {
		{ .key = amqp_cstring_bytes("product") },
		{ .key = amqp_cstring_bytes("capabilities") },
	};
	const amqp_table_t properties = { .num_entries = 2, .entries = entries };

	entries[0].value.kind = AMQP_FIELD_KIND_UTF8;
	entries[0].value.value.bytes = amqp_cstring_bytes("drover");
	entries[1].value.kind = AMQP_FIELD_KIND_TABLE;
	entries[1].value.value.table.num_entries = ARRAY_SIZE(capabilities);
	entries[1].value.value.table.entries = capabilities;
	return check_reply(b,
		amqp_login_with_properties(b->connection, options->url.vhost, 2,
			FRAME_MAX, options->heartbeat_s, &properties,
			AMQP_SASL_METHOD_PLAIN, host->user, host->password),
		"log in", false, err);
}

static int open_channel(struct broker *b, const struct rpc_options *options,
	const struct rabbit_host *host, double deadline, double stall_s,
	struct error *err)
{
	struct timeval left = to_timeval(deadline - clock_seconds());
	int port = host->port ? host->port : options->tls ? 5671 : 5672;
	int status;

	status = amqp_socket_open_noblock(b->socket, host->host, port, &left);
	if (status != AMQP_STATUS_OK)
		return lost(b, status, "cannot connect", err);
	limit_stall(b, stall_s);
	left = to_timeval(fmax(deadline - clock_seconds(), 0.2));
	amqp_set_handshake_timeout(b->connection, &left);
	amqp_set_rpc_timeout(b->connection, &left);
	if (log_in(b, options, host, err) < 0)
		return -1;
	amqp_channel_open(b->connection, CHANNEL);
	return check(b, "open a channel", err);
}

int broker_open(const struct rpc_options *options, size_t host, double timeout_s,
	double stall_s, struct broker **out, struct error *err)
{
	const struct rabbit_host *h = &options->url.hosts[host];
	AUTO(broker_close) struct broker *b = calloc(1, sizeof(*b));
	struct timeval timeout = to_timeval(timeout_s);
	double deadline = clock_seconds() + timeout_s;

	if (!b)
		return error_no_memory(err);
	snprintf(b->name, sizeof(b->name), "%s:%d", h->host,
		h->port                ? h->port
			: options->tls ? 5671
				       : 5672);
	b->max_message_bytes = options->max_message_bytes;
	b->connection = amqp_new_connection();
	if (!b->connection)
		return error_no_memory(err);
	if (make_socket(b, options, err) < 0 ||
		open_channel(b, options, h, deadline, stall_s, err) < 0)
		return -1;
	amqp_set_rpc_timeout(b->connection, &timeout);
	*out = steal(b);
	return 0;
}

void broker_close(struct broker *b)
{
	if (!b)
		return;
	if (b->connection)
		amqp_destroy_connection(b->connection);
	free(b->incoming.body);
	free(b->handed_out);
	free(b);
}

void broker_close_politely(struct broker *b)
{
	struct timeval second = { .tv_sec = 1 };

	if (!b)
		return;
	amqp_set_rpc_timeout(b->connection, &second);
	amqp_connection_close(b->connection, AMQP_REPLY_SUCCESS);
	broker_close(b);
}

int broker_fd(const struct broker *b)
{
	return amqp_get_sockfd(b->connection);
}

const char *broker_name(const struct broker *b)
{
	return b->name;
}

int broker_heartbeat_s(const struct broker *b)
{
	return amqp_get_heartbeat(b->connection);
}

/* --- declaring and consuming */

int broker_declare_exchange(struct broker *b, const char *name, const char *type,
	bool durable, bool auto_delete, struct error *err)
{
	char what[400];

	snprintf(what, sizeof(what), "declare exchange '%s'", name);
	amqp_exchange_declare(b->connection, CHANNEL, amqp_cstring_bytes(name),
		amqp_cstring_bytes(type), 0, durable, auto_delete, 0, amqp_empty_table);
	return check(b, what, err);
}

int broker_declare_queue(
	struct broker *b, const struct broker_queue *queue, struct error *err)
{
	amqp_table_entry_t entries[2];
	amqp_table_t arguments = { .num_entries = 0, .entries = entries };
	char what[400];

	if (queue->quorum) {
		amqp_table_entry_t *entry = &entries[arguments.num_entries++];

		entry->key = amqp_cstring_bytes("x-queue-type");
		entry->value.kind = AMQP_FIELD_KIND_UTF8;
		entry->value.value.bytes = amqp_cstring_bytes("quorum");
	}
	if (queue->expires_s > 0) {
		amqp_table_entry_t *entry = &entries[arguments.num_entries++];

		entry->key = amqp_cstring_bytes("x-expires");
		entry->value.kind = AMQP_FIELD_KIND_I32;
		entry->value.value.i32 = queue->expires_s > 2000000
			? 2000000000
			: queue->expires_s * 1000;
	}
	snprintf(what, sizeof(what), "declare queue '%s'", queue->name);
	amqp_queue_declare(b->connection, CHANNEL, amqp_cstring_bytes(queue->name), 0,
		queue->durable, 0, queue->auto_delete, arguments);
	return check_reply(
		b, amqp_get_rpc_reply(b->connection), what, queue->transient, err);
}

int broker_bind(struct broker *b, const char *queue, const char *exchange,
	const char *key, struct error *err)
{
	char what[400];

	snprintf(what, sizeof(what), "bind queue '%s' to exchange '%s'", queue,
		exchange);
	amqp_queue_bind(b->connection, CHANNEL, amqp_cstring_bytes(queue),
		amqp_cstring_bytes(exchange), amqp_cstring_bytes(key),
		amqp_empty_table);
	return check(b, what, err);
}

int broker_prefetch(struct broker *b, int prefetch, struct error *err)
{
	amqp_basic_qos(b->connection, CHANNEL, 0, (uint16_t)prefetch, 0);
	return check(b, "set the prefetch count", err);
}

int broker_consume(
	struct broker *b, const char *queue, const char *consumer, struct error *err)
{
	char what[400];

	snprintf(what, sizeof(what), "consume queue '%s'", queue);
	amqp_basic_consume(b->connection, CHANNEL, amqp_cstring_bytes(queue),
		amqp_cstring_bytes(consumer), 0, 0, 0, amqp_empty_table);
	return check(b, what, err);
}

int broker_ack(struct broker *b, uint64_t tag, struct error *err)
{
	int status = amqp_basic_ack(b->connection, CHANNEL, tag, 0);

	return status == AMQP_STATUS_OK ? 0 : lost(b, status, "acknowledge", err);
}

int broker_reject(struct broker *b, uint64_t tag, struct error *err)
{
	int status = amqp_basic_reject(b->connection, CHANNEL, tag, 0);

	return status == AMQP_STATUS_OK ? 0 : lost(b, status, "reject a message", err);
}

/* --- publishing */

int broker_confirm(struct broker *b, struct error *err)
{
	amqp_confirm_select(b->connection, CHANNEL);
	return check(b, "ask for confirms", err);
}

int broker_publish(struct broker *b, const struct publication *p, uint64_t *number,
	struct error *err)
{
	char expiration[24];
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CONTENT_TYPE_FLAG |
			AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG |
			AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG,
		.content_type = amqp_cstring_bytes("application/json"),
		.content_encoding = amqp_cstring_bytes("utf-8"),
		.headers = amqp_empty_table,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.priority = 0,
	};
	const amqp_bytes_t body = { .len = p->length, .bytes = (void *)p->body };
	int status;

	if (p->expiration_ms > 0) {
		properties._flags |= AMQP_BASIC_EXPIRATION_FLAG;
		properties.expiration =
			amqp_cstring_bytes(num_text(expiration, p->expiration_ms));
	}
	status = amqp_basic_publish(b->connection, CHANNEL,
		amqp_cstring_bytes(p->exchange), amqp_cstring_bytes(p->key),
		p->mandatory, 0, &properties, body);
	if (status != AMQP_STATUS_OK)
		return lost(b, status, "publish", err);
	*number = ++b->published;
	return 0;
}

/* --- incoming frames */

static void begin_delivery(struct broker *b, const amqp_basic_deliver_t *deliver)
{
	struct incoming *in = &b->incoming;

	in->active = true;
	in->event.kind = BROKER_DELIVERY;
	in->event.tag = deliver->delivery_tag;
	in->event.redelivered = deliver->redelivered;
	copy_bytes(in->event.text, sizeof(in->event.text), deliver->consumer_tag);
}

static void begin_return(struct broker *b, const amqp_basic_return_t *returned)
{
	struct incoming *in = &b->incoming;

	in->active = true;
	in->event.kind = BROKER_RETURNED;
	copy_bytes(in->event.text, sizeof(in->event.text), returned->reply_text);
}

static int single(struct broker_event *event, enum broker_event_kind kind, uint64_t tag,
	bool multiple)
{
	event->kind = kind;
	event->tag = tag;
	event->multiple = multiple;
	return 1;
}

/* 1: *event is complete; 0: nothing yet. */
static int on_method(struct broker *b, const amqp_method_t *method,
	struct broker_event *event, struct error *err)
{
	switch (method->id) {
	case AMQP_BASIC_DELIVER_METHOD:
		begin_delivery(b, method->decoded);
		return 0;
	case AMQP_BASIC_RETURN_METHOD:
		begin_return(b, method->decoded);
		return 0;
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *ack = method->decoded;

		return single(
			event, BROKER_CONFIRMED, ack->delivery_tag, ack->multiple);
	}
	case AMQP_BASIC_NACK_METHOD: {
		const amqp_basic_nack_t *nack = method->decoded;

		return single(
			event, BROKER_REFUSED, nack->delivery_tag, nack->multiple);
	}
	case AMQP_BASIC_CANCEL_METHOD: {
		const amqp_basic_cancel_t *cancel = method->decoded;

		copy_bytes(event->text, sizeof(event->text), cancel->consumer_tag);
		return single(event, BROKER_CONSUMER_LOST, 0, false);
	}
	case AMQP_CONNECTION_BLOCKED_METHOD: {
		const amqp_connection_blocked_t *blocked = method->decoded;

		copy_bytes(event->text, sizeof(event->text), blocked->reason);
		return single(event, BROKER_BLOCKED, 0, false);
	}
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		return single(event, BROKER_UNBLOCKED, 0, false);
	case AMQP_CHANNEL_CLOSE_METHOD:
	case AMQP_CONNECTION_CLOSE_METHOD:
		return closed_by_broker(b, method, "connection lost", false, err);
	default:
		return 0;
	}
}

static int on_header(struct broker *b, uint64_t size, struct error *err)
{
	struct incoming *in = &b->incoming;

	in->has_header = true;
	in->event.size = size;
	if (in->event.kind != BROKER_DELIVERY || size > (uint64_t)b->max_message_bytes)
		return 0;
	in->body = malloc(size + 1);
	if (!in->body)
		return error_no_memory(err);
	in->body[size] = '\0';
	return 0;
}

static int on_body(struct broker *b, amqp_bytes_t part, struct error *err)
{
	struct incoming *in = &b->incoming;

	if (!in->has_header || part.len > in->event.size - in->received)
		return error_set(
			err, ERR_BROKER, "broker %s: frames out of order", b->name);
	if (in->body)
		memcpy(in->body + in->received, part.bytes, part.len);
	in->received += part.len;
	return 0;
}

static int finish_content(struct broker *b, struct broker_event *event)
{
	struct incoming *in = &b->incoming;

	if (!in->has_header || in->received < in->event.size)
		return 0;
	*event = in->event;
	b->handed_out = steal(in->body);
	event->body = b->handed_out;
	memset(in, 0, sizeof(*in));
	return 1;
}

static int on_content(struct broker *b, const amqp_frame_t *frame,
	struct broker_event *event, struct error *err)
{
	int rc;

	if (!b->incoming.active)
		return error_set(
			err, ERR_BROKER, "broker %s: frames out of order", b->name);
	if (frame->frame_type == AMQP_FRAME_HEADER)
		rc = on_header(b, frame->payload.properties.body_size, err);
	else
		rc = on_body(b, frame->payload.body_fragment, err);
	return rc < 0 ? -1 : finish_content(b, event);
}

static int on_frame(struct broker *b, const amqp_frame_t *frame,
	struct broker_event *event, struct error *err)
{
	switch (frame->frame_type) {
	case AMQP_FRAME_METHOD:
		return on_method(b, &frame->payload.method, event, err);
	case AMQP_FRAME_HEADER:
	case AMQP_FRAME_BODY:
		return on_content(b, frame, event, err);
	default:
		return 0;
	}
}

int broker_next(struct broker *b, double timeout_s, struct broker_event *event,
	struct error *err)
{
	double deadline = clock_seconds() + timeout_s;
	amqp_frame_t frame;
	int rc;

	free(steal(b->handed_out));
	memset(event, 0, sizeof(*event));
	for (;;) {
		struct timeval left = to_timeval(deadline - clock_seconds());
		int status;

		status = amqp_simple_wait_frame_noblock(b->connection, &frame, &left);
		if (status == AMQP_STATUS_TIMEOUT)
			return 0;
		if (status != AMQP_STATUS_OK)
			return lost(b, status, "connection lost", err);
		rc = on_frame(b, &frame, event, err);
		amqp_maybe_release_buffers(b->connection);
		if (rc != 0)
			return rc;
	}
}
