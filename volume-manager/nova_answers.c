/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/nova_answers.h"

#include <stdio.h>
#include <string.h>

#include "common/text.h"

/* ---- the token ---- */

static struct json_object *named(const char *name, const char *domain)
{
	struct json_object *o = json_object_new_object();
	struct json_object *in = json_object_new_object();

	json_add_string(o, "name", name);
	json_add_string(in, "name", domain);
	json_add(o, "domain", in);
	return o;
}

static struct json_object *password(const struct nova_settings *settings)
{
	struct json_object *user =
		named(settings->username, settings->user_domain_name);
	struct json_object *o = json_object_new_object();

	json_add_string(user, "password", settings->password);
	json_add(o, "user", user);
	return o;
}

static struct json_object *credential(const struct nova_settings *settings)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "id", settings->application_credential_id);
	json_add_string(o, "secret", settings->application_credential_secret);
	return o;
}

struct json_object *nova_auth_body(const struct nova_settings *settings)
{
	const char *method =
		settings->is_credential ? "application_credential" : "password";
	struct json_object *o = json_object_new_object();
	struct json_object *auth = json_object_new_object();
	struct json_object *identity = json_object_new_object();
	struct json_object *methods = json_object_new_array();
	struct json_object *scope = json_object_new_object();

	json_object_array_add(methods, json_object_new_string(method));
	json_add(identity, "methods", methods);
	json_add(identity, method,
		settings->is_credential ? credential(settings) : password(settings));
	json_add(auth, "identity", identity);
	json_add(scope, "project",
		named(settings->project_name, settings->project_domain_name));
	/* A credential has its project. */
	if (settings->is_credential)
		json_object_put(scope);
	else
		json_add(auth, "scope", scope);
	json_add(o, "auth", auth);
	return o;
}

/* "public" and the older "publicURL" are the same. */
static bool is_interface(const char *wanted, const char *found)
{
	size_t length = strlen(wanted);

	if (length > 3 && strcmp(wanted + length - 3, "URL") == 0)
		length -= 3;
	return strlen(found) == length && strncmp(wanted, found, length) == 0;
}

static bool is_ours(const struct nova_settings *settings, struct json_object *endpoint)
{
	const char *interface, *region, *region_id;

	if (json_get_string(endpoint, "interface", &interface, NULL) < 0 ||
		json_get_string_or(endpoint, "region", "", &region, NULL) < 0 ||
		json_get_string_or(endpoint, "region_id", "", &region_id, NULL) < 0)
		return false;
	if (!is_interface(settings->interface, interface))
		return false;
	return !settings->region_name || strcmp(settings->region_name, region) == 0 ||
		strcmp(settings->region_name, region_id) == 0;
}

static const char *url_of(
	const struct nova_settings *settings, struct json_object *service)
{
	const char *type, *url;
	struct json_object *list;

	if (json_get_string(service, "type", &type, NULL) < 0 ||
		strcmp(type, "compute") != 0 ||
		json_get_array(service, "endpoints", &list, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *endpoint = json_object_array_get_idx(list, i);

		if (json_object_is_type(endpoint, json_type_object) &&
			is_ours(settings, endpoint) &&
			json_get_string(endpoint, "url", &url, NULL) == 0)
			return url;
	}
	return NULL;
}

static int take_url(const char *url, char out[NOVA_URL_MAX], struct error *err)
{
	size_t length = strlen(url);

	while (length > 0 && url[length - 1] == '/')
		length--;
	if (length >= NOVA_URL_MAX || strcspn(url, " \t\r\n?#") < length ||
		(strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
		return error_set(
			err, ERR_COMPUTE, "'%.200s' is no URL of Compute", url);
	snprintf(out, NOVA_URL_MAX, "%.*s", (int)length, url);
	return 0;
}

static int find_url(const struct nova_settings *settings, struct json_object *token,
	char out[NOVA_URL_MAX], struct error *err)
{
	struct json_object *list;
	const char *url;

	if (json_get_array(token, "catalog", &list, err) < 0)
		return error_context(err, "Keystone's answer");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *service = json_object_array_get_idx(list, i);

		if (!json_object_is_type(service, json_type_object))
			continue;
		url = url_of(settings, service);
		if (url)
			return take_url(url, out, err);
	}
	return error_set(err, ERR_COMPUTE,
		"Keystone's catalogue has no endpoint of Compute for interface '%.64s'"
		"%s%.64s; [nova] endpoint_override can name one",
		settings->interface, settings->region_name ? " in region " : "",
		settings->region_name ? settings->region_name : "");
}

/* "2099-01-01T00:00:00.000000Z"; the fraction does not matter. */
static int take_time(const char *text, time_t *out, struct error *err)
{
	struct tm tm = { 0 };

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return error_set(err, ERR_COMPUTE,
			"Keystone says that its token ends at '%.64s'", text);
	*out = timegm(&tm);
	return 0;
}

static int parse(const char *body, size_t length, struct json_object **out,
	const char *who, struct error *err)
{
	if (json_parse(body, length, out, err) < 0)
		return error_context(err, "%s's answer", who);
	if (json_object_is_type(*out, json_type_object))
		return 0;
	return error_set(err, ERR_COMPUTE, "%s's answer is no object", who);
}

int nova_take_token(const struct nova_settings *settings, const char *body,
	size_t length, char url[NOVA_URL_MAX], time_t *ends, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	struct json_object *token;
	const char *text;

	if (parse(body, length, &o, "Keystone", err) < 0)
		return -1;
	if (json_get_object(o, "token", &token, err) < 0 ||
		json_get_string(token, "expires_at", &text, err) < 0)
		return error_context(err, "Keystone's answer");
	if (take_time(text, ends, err) < 0)
		return -1;
	if (settings->endpoint_override)
		return take_url(settings->endpoint_override, url, err);
	return find_url(settings, token, url, err);
}

/* ---- refusals ---- */

/* {"conflictingRequest": {"code": 409, "message": "..."}}, of Keystone too. */
static const char *message_of(struct json_object *o)
{
	const char *text = NULL;

	if (!json_object_is_type(o, json_type_object))
		return NULL;
	json_object_object_foreach(o, key, inner)
	{
		(void)key;
		if (json_object_is_type(inner, json_type_object) &&
			json_get_string(inner, "message", &text, NULL) == 0)
			return text;
	}
	return NULL;
}

int nova_words(long status, const char *body, size_t length, const char *asked,
	struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	const char *text = NULL;
	char plain[256];

	if (length > 0 && json_parse(body, length, &o, NULL) == 0)
		text = message_of(o);
	if (!text && length > 0 && body[0] != '<') {
		snprintf(plain, sizeof(plain), "%.*s",
			(int)(length < 200 ? length : 200), body);
		text = plain;
	}
	return error_set(err, ERR_COMPUTE, "%s: HTTP status %ld%s%.400s", asked, status,
		text && text[0] ? ": " : "", text ? text : "");
}

bool nova_is_gone(const char *body, size_t length)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	struct json_object *inner;

	return length > 0 && json_parse(body, length, &o, NULL) == 0 &&
		json_object_is_type(o, json_type_object) &&
		json_get_object(o, "itemNotFound", &inner, NULL) == 0;
}

/* ---- servers ---- */

int nova_take_server(
	const char *body, size_t length, struct nova_server *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	const char *status, *vm_state;
	struct json_object *server;

	if (parse(body, length, &o, "Compute", err) < 0)
		return -1;
	if (json_get_object(o, "server", &server, err) < 0 ||
		json_get_string(server, "status", &status, err) < 0 ||
		json_get_string_or(server, "OS-EXT-STS:vm_state", "", &vm_state, err) <
			0)
		return error_context(err, "Compute's answer");
	text_copy(out->status, sizeof(out->status), status);
	text_copy(out->vm_state, sizeof(out->vm_state), vm_state);
	return 0;
}

int nova_take_attached(const char *body, size_t length, const char *source_id,
	const char *target_id, bool *source, bool *target, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	struct json_object *list, *item;
	const char *id;

	*source = *target = false;
	if (parse(body, length, &o, "Compute", err) < 0)
		return -1;
	if (json_get_array(o, "volumeAttachments", &list, err) < 0)
		return error_context(err, "Compute's answer");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		item = json_object_array_get_idx(list, i);
		if (!json_object_is_type(item, json_type_object) ||
			json_get_string(item, "volumeId", &id, err) < 0)
			return error_set(err, ERR_COMPUTE,
				"Compute's answer has an attachment without a volume");
		*source = *source || strcmp(id, source_id) == 0;
		*target = *target || strcmp(id, target_id) == 0;
	}
	return 0;
}
