/* SPDX-License-Identifier: Apache-2.0 */
#include "common/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/text.h"

#define CINDER "cinder.exception"
#define DISPATCHER "oslo_messaging.rpc.dispatcher"
/* Python services take from a context what they know and ignore the rest. */
#define FORWARDED "_context_drover_forwarded"

/* What a Python peer raises for our codes. NotSupportedOperation shows its text to API
 * users (405); VolumeBackendAPIException hides it behind a plain 500. */
static const struct failure_class {
	enum error_code code;
	const char *module, *name;
	int http;
} failure_classes[] = {
	{ ERR_INVALID_VOLUME, CINDER, "InvalidVolume", 400 },
	{ ERR_VOLUME_NOT_FOUND, CINDER, "VolumeNotFound", 404 },
	{ ERR_INVALID_SNAPSHOT, CINDER, "InvalidSnapshot", 400 },
	{ ERR_SNAPSHOT_NOT_FOUND, CINDER, "SnapshotNotFound", 404 },
	{ ERR_SNAPSHOT_BUSY, CINDER, "SnapshotIsBusy", 500 },
	{ ERR_ATTACHMENT_NOT_FOUND, CINDER, "VolumeAttachmentNotFound", 404 },
	{ ERR_NOT_FOUND, CINDER, "NotFound", 404 },
	{ ERR_ATTACH_MODE, CINDER, "InvalidVolumeAttachMode", 400 },
	{ ERR_INVALID_UUID, CINDER, "InvalidUUID", 400 },
	{ ERR_INVALID_HOST, CINDER, "InvalidHost", 400 },
	{ ERR_INVALID_INPUT, CINDER, "InvalidInput", 400 },
	{ ERR_NO_VALID_BACKEND, CINDER, "NoValidBackend", 500 },
	{ ERR_NOT_SUPPORTED, CINDER, "NotSupportedOperation", 405 },
	{ ERR_UNKNOWN_METHOD, DISPATCHER, "NoSuchMethod", 0 },
	{ ERR_UNSUPPORTED_VERSION, DISPATCHER, "UnsupportedVersion", 0 },
	{ ERR_BACKEND, CINDER, "VolumeBackendAPIException", 500 }, /* and all others */
};

static const struct failure_class *class_of(enum error_code code)
{
	size_t last = ARRAY_SIZE(failure_classes) - 1;

	for (size_t i = 0; i < last; i++)
		if (failure_classes[i].code == code)
			return &failure_classes[i];
	return &failure_classes[last];
}

static enum error_code code_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(failure_classes); i++)
		if (strcmp(failure_classes[i].name, name) == 0)
			return failure_classes[i].code;
	return ERR_BACKEND;
}

/* --- the envelope */

static bool version_parse(const char *text, unsigned *major, unsigned *minor)
{
	int used = -1;

	if (strspn(text, "0123456789.") != strlen(text) || strlen(text) > 16)
		return false;
	return sscanf(text, "%5u.%5u%n", major, minor, &used) == 2 && used > 0 &&
		text[used] == '\0';
}

bool version_is_served(const char *ours, const char *asked)
{
	unsigned our_major, our_minor, major, minor;

	return version_parse(ours, &our_major, &our_minor) &&
		version_parse(asked, &major, &minor) && major == our_major &&
		minor <= our_minor;
}

static int want_object(struct json_object *o, const char *what, struct error *err)
{
	if (json_object_is_type(o, json_type_object))
		return 0;
	return error_set(err, ERR_INVALID_INPUT, "%s is not an object", what);
}

int envelope_open(const char *body, size_t length, struct json_object **message,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *outer = NULL;
	AUTO(json_object_put) struct json_object *inner = NULL;
	const char *version, *text;
	unsigned major, minor;

	if (json_parse(body, length, &outer, err) < 0)
		return error_context(err, "envelope");
	if (want_object(outer, "the envelope", err) < 0 ||
		json_get_string(outer, "oslo.version", &version, err) < 0)
		return -1;
	if (!version_parse(version, &major, &minor) || major != 2)
		return error_set(err, ERR_INVALID_INPUT,
			"the envelope has version '%.32s', not 2.0", version);
	if (json_get_string(outer, "oslo.message", &text, err) < 0)
		return -1;
	if (json_parse(text, strlen(text), &inner, err) < 0)
		return error_context(err, "message");
	if (want_object(inner, "the message", err) < 0)
		return -1;
	*message = steal(inner);
	return 0;
}

char *envelope_seal(struct json_object *message)
{
	AUTO(json_object_put) struct json_object *outer = json_object_new_object();
	AUTO(free) char *text = json_text(message);

	if (!outer || !text)
		return NULL;
	json_add_string(outer, "oslo.version", "2.0");
	json_add_string(outer, "oslo.message", text);
	return json_text(outer);
}

/* --- requests */

static int copy_member(struct json_object *message, const char *key, char *out,
	size_t size, struct error *err)
{
	const char *text;

	if (json_get_string_or(message, key, "", &text, err) < 0)
		return -1;
	if (strlen(text) >= size)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is too long", key);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

static int read_reply_address(
	struct json_object *message, struct rpc_address *out, struct error *err)
{
	if (copy_member(message, "_reply_q", out->queue, sizeof(out->queue), err) < 0 ||
		copy_member(message, "_msg_id", out->id, sizeof(out->id), err) < 0)
		return -1;
	if (!out->queue[0] != !out->id[0])
		return error_set(err, ERR_INVALID_INPUT,
			"a call needs both '_msg_id' and '_reply_q'");
	return 0;
}

static int read_context(
	struct json_object *message, struct rpc_request *out, struct error *err)
{
	if (json_get_string_or(message, "_context_request_id", out->unique_id,
		    &out->request_id, err) < 0 ||
		json_get_string_or(
			message, "_context_user_id", NULL, &out->user_id, err) < 0 ||
		json_get_string_or(message, "_context_project_id", NULL,
			&out->project_id, err) < 0)
		return -1;
	if (!out->request_id[0])
		out->request_id = out->unique_id;
	if (json_get_bool_or(message, FORWARDED, false, &out->forwarded, err) < 0)
		return -1;
	return json_get_bool_or(
		message, "_context_is_admin", false, &out->is_admin, err);
}

static int read_args(
	struct json_object *message, struct json_object **out, struct error *err)
{
	if (!json_object_object_get(message, "args"))
		json_add(message, "args", json_object_new_object());
	return json_get_object(message, "args", out, err);
}

static bool is_unique_id(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return length > 0 && length < UNIQUE_ID_SIZE;
}

int envelope_read_request(
	struct json_object *message, struct rpc_request *out, struct error *err)
{
	struct rpc_request request = { .message = message };
	const char *name_space;

	if (json_get_string(message, "method", &request.method, err) < 0 ||
		json_get_string(message, "_unique_id", &request.unique_id, err) < 0 ||
		json_get_string_or(message, "version", "1.0", &request.version, err) <
			0 ||
		json_get_string_or(message, "namespace", NULL, &name_space, err) < 0 ||
		read_args(message, &request.args, err) < 0 ||
		read_context(message, &request, err) < 0 ||
		read_reply_address(message, &request.reply, err) < 0)
		return -1;
	if (!request.method[0] || strlen(request.method) > 255)
		return error_set(err, ERR_INVALID_INPUT, "no usable method name");
	if (!is_unique_id(request.unique_id))
		return error_set(err, ERR_INVALID_INPUT, "no usable '_unique_id'");
	if (name_space)
		return error_set(err, ERR_INVALID_INPUT,
			"namespace '%.64s' is not served", name_space);
	*out = request;
	return 0;
}

/* What is in a versioned object stands one level deeper; some peers send plain ones. */
static const char *text_in(
	struct json_object *args, const char *name, const char *member)
{
	struct json_object *o = json_object_object_get(args, name), *data;
	const char *text = NULL;

	if (!json_object_is_type(o, json_type_object))
		return NULL;
	data = json_object_object_get(o, "versioned_object.data");
	if (json_object_is_type(data, json_type_object))
		o = data;
	json_get_string_or(o, member, NULL, &text, NULL);
	return text;
}

const char *envelope_volume_id(struct json_object *args)
{
	static const struct {
		const char *name, *member;
	} places[] = {
		{ "volume", "id" },
		{ "vref", "id" },
		{ "snapshot", "volume_id" },
		{ "request_spec", "volume_id" },
	};
	const char *id = NULL;

	json_get_string_or(args, "volume_id", NULL, &id, NULL);
	for (size_t i = 0; !id && i < ARRAY_SIZE(places); i++)
		id = text_in(args, places[i].name, places[i].member);
	return id && id[0] ? id : NULL;
}

static void add_now(struct json_object *message)
{
	struct timespec now;
	struct tm tm;
	char text[64];
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + used, sizeof(text) - used, ".%06ld", now.tv_nsec / 1000);
	json_add_string(message, "_context_timestamp", text);
}

/* The context of a daemon that acts for nobody but itself. */
static void add_context(struct json_object *message, const char *request_id)
{
	static const char *const nulls[] = { "user", "user_id", "project", "project_id",
		"project_name", "domain", "domain_id", "user_domain", "project_domain",
		"system_scope", "auth_token", "global_request_id", "resource_uuid",
		"remote_address", "quota_class", "message_resource_id",
		"message_resource_type", "message_action" };
	struct json_object *roles = json_object_new_array();
	char uuid[UUID_TEXT_SIZE], text[64];

	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++) {
		snprintf(text, sizeof(text), "_context_%s", nulls[i]);
		json_add(message, text, NULL);
	}
	if (!request_id) {
		uuid_make(uuid);
		snprintf(text, sizeof(text), "req-%s", uuid);
		request_id = text;
	}
	json_add_string(message, "_context_request_id", request_id);
	json_object_array_add(roles, json_object_new_string("admin"));
	json_add(message, "_context_roles", roles);
	json_add_string(message, "_context_user_identity", "- - - - -");
	json_add_string(message, "_context_read_deleted", "no");
	json_add(message, "_context_service_catalog", json_object_new_array());
	json_add_bool(message, "_context_is_admin", true);
	json_add_bool(message, "_context_is_admin_project", true);
	json_add_bool(message, "_context_read_only", false);
	json_add_bool(message, "_context_show_deleted", false);
	add_now(message);
}

struct json_object *envelope_request(const char *method, const char *version,
	const char *request_id, struct json_object *args,
	const struct rpc_address *reply)
{
	struct json_object *message = json_object_new_object();
	char unique_id[HEX_ID_SIZE];

	hex_id_make(unique_id);
	json_add_string(message, "method", method);
	json_add(message, "args",
		args ? json_object_get(args) : json_object_new_object());
	json_add_string(message, "version", version);
	json_add_string(message, "_unique_id", unique_id);
	if (reply) {
		json_add_string(message, "_msg_id", reply->id);
		json_add_string(message, "_reply_q", reply->queue);
		json_add(message, "_timeout", NULL);
	}
	add_context(message, request_id);
	return message;
}

struct json_object *envelope_forward(struct json_object *message)
{
	struct json_object *copy = json_object_new_object();

	json_object_object_foreach(message, key, value)
		json_add(copy, key, json_object_get(value));
	json_add_bool(copy, FORWARDED, true);
	return copy;
}

/* --- replies */

/* Error texts may quote file names, and may be cut inside a character. */
static void make_utf8(char *text)
{
	size_t left = strlen(text), size;

	for (; left; text += size, left -= size) {
		size = text_utf8_size(text, left);
		if (!size) {
			*text = '?';
			size = 1;
		}
	}
}

/* The peer calls class(*args, **kwargs), and CinderException takes its text as the only
 * positional argument; "message" among the keywords would clash with it. */
static char *failure_text(const struct error *failure)
{
	const struct failure_class *class = class_of(failure->code);
	AUTO(json_object_put) struct json_object *o = json_object_new_object();
	struct json_object *args = json_object_new_array();
	struct json_object *kwargs = json_object_new_object();
	char text[ERROR_TEXT_SIZE];

	memcpy(text, failure->text, sizeof(text));
	make_utf8(text);
	json_add_string(o, "class", class->name);
	json_add_string(o, "module", class->module);
	json_add_string(o, "message", text);
	json_add(o, "tb", json_object_new_array());
	json_object_array_add(args, json_object_new_string(text));
	json_add(o, "args", args);
	if (class->http)
		json_add_int(kwargs, "code", class->http);
	json_add(o, "kwargs", kwargs);
	return json_text(o);
}

struct json_object *envelope_reply(const struct rpc_address *to,
	struct json_object *result, const struct error *failure)
{
	struct json_object *message = json_object_new_object();
	AUTO(free) char *text = failure ? failure_text(failure) : NULL;
	char unique_id[HEX_ID_SIZE];

	hex_id_make(unique_id);
	json_add(message, "result", failure ? NULL : json_object_get(result));
	if (text)
		json_add_string(message, "failure", text);
	else
		json_add(message, "failure", NULL);
	json_add_bool(message, "ending", true);
	json_add_string(message, "_msg_id", to->id);
	json_add_string(message, "_unique_id", unique_id);
	return message;
}

static int read_failure(const char *text, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	const char *name, *message;

	if (json_parse(text, strlen(text), &o, err) < 0 ||
		want_object(o, "the failure", err) < 0 ||
		json_get_string_or(o, "class", "", &name, err) < 0 ||
		json_get_string_or(o, "message", "", &message, err) < 0)
		return error_context(err, "failure of the peer");
	return error_set(err, code_of(name), "%s", message[0] ? message : name);
}

int envelope_read_reply(struct json_object *message, const char *id,
	struct json_object **result, struct error *err)
{
	const char *msg_id, *failure;
	bool ending;

	if (json_get_string(message, "_msg_id", &msg_id, err) < 0 ||
		json_get_string_or(message, "failure", NULL, &failure, err) < 0 ||
		json_get_bool_or(message, "ending", false, &ending, err) < 0)
		return -1;
	if (strcmp(msg_id, id) != 0)
		return 0;
	if (failure)
		return read_failure(failure, err);
	/* A sign of life of a long call. */
	if (!ending)
		return 0;
	*result = json_object_get(json_object_object_get(message, "result"));
	return 1;
}
