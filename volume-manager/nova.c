/* SPDX-License-Identifier: Apache-2.0 */
#include "volume-manager/nova.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "common/log.h"
#include "common/text.h"
#include "volume-manager/nova_answers.h"

#define BODY_MAX (1 << 20)
#define TOKEN_MAX 8192
#define CONNECT_SECONDS 10
/* Questions that change nothing are asked again. */
#define TRIES 3
#define RETRY_AFTER_MAX 30
/* A token that ends that soon is not used. */
#define TOKEN_SPARE 60

struct nova {
	const struct nova_settings *settings;
	const char *request_id;
	bool (*stopping)(void *arg);
	void *arg;
	CURL *curl;
	char token[TOKEN_MAX]; /* empty: none */
	time_t token_ends;
	char url[NOVA_URL_MAX]; /* of Compute */
};

struct answer {
	char *body;
	size_t length;
	bool too_long;
	long status; /* 0: none came */
	bool unsent; /* surely */
	long retry_after; /* seconds, 0: it does not say */
	char token[TOKEN_MAX]; /* X-Subject-Token */
};

static void auto_answer_clear(struct answer *answer)
{
	free(answer->body);
	*answer = (struct answer) { .body = NULL };
}

static void auto_curl_slist_free_all(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

int nova_open(const struct nova_settings *settings, const char *request_id,
	bool (*stopping)(void *arg), void *arg, struct nova **out, struct error *err)
{
	AUTO(nova_close) struct nova *nova = calloc(1, sizeof(*nova));

	if (!nova)
		return error_no_memory(err);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return error_set(err, ERR_INTERNAL, "libcurl does not start");
	nova->settings = settings;
	nova->request_id = request_id;
	nova->stopping = stopping;
	nova->arg = arg;
	nova->curl = curl_easy_init();
	if (!nova->curl)
		return error_no_memory(err);
	*out = steal(nova);
	return 0;
}

void nova_close(struct nova *nova)
{
	if (!nova)
		return;
	if (nova->curl)
		curl_easy_cleanup(nova->curl);
	explicit_bzero(nova->token, sizeof(nova->token));
	free(nova);
}

/* ---- one request ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct answer *answer = arg;
	size_t length = size * count;
	char *body;

	if (length > BODY_MAX - answer->length) {
		answer->too_long = true;
		return 0;
	}
	body = realloc(answer->body, answer->length + length + 1);
	if (!body)
		return 0;
	memcpy(body + answer->length, data, length);
	answer->body = body;
	answer->length += length;
	return length;
}

/* The value of a header line of this name, or NULL. */
static const char *header_value(
	const char *line, size_t length, const char *name, size_t *size)
{
	size_t used = strlen(name);

	if (length <= used || strncasecmp(line, name, used) != 0 || line[used] != ':')
		return NULL;
	for (used++; used < length && line[used] == ' '; used++)
		;
	while (length > used && (line[length - 1] == '\r' || line[length - 1] == '\n'))
		length--;
	*size = length - used;
	return line + used;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
	struct answer *answer = arg;
	size_t length = size * count, used;
	const char *value = header_value(line, length, "X-Subject-Token", &used);

	if (value && used < sizeof(answer->token))
		snprintf(
			answer->token, sizeof(answer->token), "%.*s", (int)used, value);
	value = header_value(line, length, "Retry-After", &used);
	if (value && used > 0 && used < 5 && value[0] >= '0' && value[0] <= '9')
		answer->retry_after = strtol(value, NULL, 10);
	return length;
}

static int on_progress(
	void *arg, curl_off_t total, curl_off_t now, curl_off_t up, curl_off_t sent)
{
	struct nova *nova = arg;

	return nova->stopping(nova->arg);
}

/* Nothing of the request has left: there was no connection, or no trust in it. */
static bool is_unsent(CURLcode code)
{
	static const CURLcode codes[] = { CURLE_COULDNT_RESOLVE_HOST,
		CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT,
		CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION,
		CURLE_SSL_CACERT_BADFILE, CURLE_URL_MALFORMAT,
		CURLE_UNSUPPORTED_PROTOCOL };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

static int curl_failed(struct nova *nova, CURLcode code, const struct answer *answer,
	const char *asked, const char *text, struct error *err)
{
	if (nova->stopping(nova->arg))
		return error_set(err, ERR_TIMEOUT, "asked to stop");
	if (answer->too_long)
		return error_set(err, ERR_COMPUTE,
			"%s: the answer is longer than %d bytes", asked, BODY_MAX);
	return error_set(err, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_LOST,
		"%s: %s", asked, text[0] ? text : curl_easy_strerror(code));
}

static void set_options(struct nova *nova, struct answer *answer)
{
	const struct nova_settings *settings = nova->settings;
	CURL *curl = nova->curl;

	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(settings->timeout * 1000));
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "drover/" PACKAGE_VERSION);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, settings->insecure ? 0L : 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, settings->insecure ? 0L : 2L);
	if (settings->cafile && settings->cafile[0])
		curl_easy_setopt(curl, CURLOPT_CAINFO, settings->cafile);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, nova);
}

/* What is to be asked, and how that is called in messages. */
struct question {
	const char *method, *url, *body; /* body NULL: none */
	const char *asked;
	bool with_token;
};

static struct curl_slist *add(
	struct curl_slist *list, const char *format, const char *value, bool *ok)
{
	AUTO(free) char *line = text_format(format, value);
	struct curl_slist *longer = line ? curl_slist_append(list, line) : NULL;

	*ok = *ok && longer;
	return longer ? longer : list;
}

/* Whoever may send us messages shall not add headers to what we ask with our token. */
static bool is_header_value(const char *text)
{
	const char *p = text;

	while (*p > ' ' && *p <= '~')
		p++;
	return p > text && *p == '\0';
}

static struct curl_slist *headers_of(
	const struct nova *nova, const struct question *question, bool *ok)
{
	struct curl_slist *list = NULL;

	list = add(list, "Accept: %s", "application/json", ok);
	list = add(list, "Expect:%s", "", ok);
	if (question->body)
		list = add(list, "Content-Type: %s", "application/json", ok);
	if (!question->with_token)
		return list;
	list = add(list, "X-OpenStack-Nova-API-Version: %s", "2.1", ok);
	if (is_header_value(nova->request_id))
		list = add(list, "X-OpenStack-Request-ID: %s", nova->request_id, ok);
	return add(list, "X-Auth-Token: %s", nova->token, ok);
}

/* 0: an answer of any status came, all of it. */
static int exchange(struct nova *nova, const struct question *question,
	struct answer *answer, struct error *err)
{
	AUTO(curl_slist_free_all) struct curl_slist *headers = NULL;
	char text[CURL_ERROR_SIZE] = "";
	bool ok = true;
	CURLcode code;

	auto_answer_clear(answer);
	answer->unsent = true;
	headers = headers_of(nova, question, &ok);
	if (!ok)
		return error_no_memory(err);
	curl_easy_reset(nova->curl);
	set_options(nova, answer);
	curl_easy_setopt(nova->curl, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(nova->curl, CURLOPT_URL, question->url);
	curl_easy_setopt(nova->curl, CURLOPT_HTTPHEADER, headers);
	if (question->body)
		curl_easy_setopt(nova->curl, CURLOPT_POSTFIELDS, question->body);
	/* On a connection that was used before libcurl would ask twice by itself. */
	curl_easy_setopt(nova->curl, CURLOPT_FRESH_CONNECT, question->body ? 1L : 0L);
	curl_easy_setopt(nova->curl, CURLOPT_CUSTOMREQUEST, question->method);
	code = curl_easy_perform(nova->curl);
	answer->unsent = is_unsent(code);
	curl_easy_setopt(nova->curl, CURLOPT_ERRORBUFFER, NULL);
	if (code != CURLE_OK)
		return curl_failed(nova, code, answer, question->asked, text, err);
	curl_easy_getinfo(nova->curl, CURLINFO_RESPONSE_CODE, &answer->status);
	log_debug("%s %s: %ld", question->method, question->url, answer->status);
	return 0;
}

static bool may_repeat(const struct answer *answer)
{
	return answer->status == 0 || answer->status == 429 || answer->status >= 500;
}

static void nap(struct nova *nova, double seconds)
{
	const struct timespec tick = { .tv_nsec = 50000000 };

	for (; seconds > 0 && !nova->stopping(nova->arg); seconds -= 0.05)
		nanosleep(&tick, NULL);
}

/* A question that changes nothing. */
static int exchange_again(struct nova *nova, const struct question *question,
	struct answer *answer, struct error *err)
{
	int done = exchange(nova, question, answer, err);

	for (int i = 1; i < TRIES && may_repeat(answer); i++) {
		long after = answer->retry_after;

		if (nova->stopping(nova->arg))
			return done;
		nap(nova,
			after <= 0                        ? 0.25 * i
				: after > RETRY_AFTER_MAX ? RETRY_AFTER_MAX
							  : (double)after);
		done = exchange(nova, question, answer, err);
	}
	return done;
}

/* ---- the token ---- */

static void token_url(const char *auth_url, char out[NOVA_URL_MAX])
{
	size_t length = strlen(auth_url);

	while (length > 0 && auth_url[length - 1] == '/')
		length--;
	snprintf(out, NOVA_URL_MAX, "%.*s%s/auth/tokens", (int)length, auth_url,
		length > 3 && strncmp(auth_url + length - 3, "/v3", 3) == 0 ? ""
									    : "/v3");
}

static int authenticate(struct nova *nova, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = nova_auth_body(nova->settings);
	AUTO(free) char *body = json_text(o);
	AUTO(answer_clear) struct answer answer = { .body = NULL };
	char url[NOVA_URL_MAX];
	struct question question = { .method = "POST",
		.url = url,
		.body = body,
		.asked = "Keystone was asked for a token" };

	if (!body)
		return error_no_memory(err);
	token_url(nova->settings->auth_url, url);
	if (exchange_again(nova, &question, &answer, err) < 0)
		return -1;
	if (answer.status != 201 && answer.status != 200)
		return nova_words(
			answer.status, answer.body, answer.length, question.asked, err);
	if (!answer.token[0])
		return error_set(err, ERR_COMPUTE, "Keystone's answer has no token");
	if (nova_take_token(nova->settings, answer.body, answer.length, nova->url,
		    &nova->token_ends, err) < 0)
		return -1;
	text_copy(nova->token, sizeof(nova->token), answer.token);
	return 0;
}

/* ---- Compute ---- */

/* Ask with a token, and once more with a new one when Compute does not take it: then it has
 * done nothing. */
static int ask(struct nova *nova, struct question *question, const char *path,
	int (*how)(struct nova *nova, const struct question *question,
		struct answer *answer, struct error *err),
	struct answer *answer, struct error *err)
{
	char url[NOVA_URL_MAX + 256];
	int done = -1;

	question->with_token = true;
	question->url = url;
	for (int i = 0; i < 2; i++) {
		answer->unsent = true;
		answer->status = 0;
		if ((!nova->token[0] || nova->token_ends < time(NULL) + TOKEN_SPARE) &&
			authenticate(nova, err) < 0) {
			done = -1;
			break;
		}
		snprintf(url, sizeof(url), "%s%s", nova->url, path);
		done = how(nova, question, answer, err);
		if (done < 0 || answer->status != 401)
			break;
		nova->token[0] = '\0';
	}
	question->url = NULL;
	return done;
}

static int get(struct nova *nova, const char *path, const char *asked,
	struct answer *answer, struct error *err)
{
	struct question question = { .method = "GET", .asked = asked };

	if (ask(nova, &question, path, exchange_again, answer, err) < 0)
		return -1;
	if (answer->status == 200)
		return 1;
	/* Somebody else's "not found", of a wrong URL say, proves nothing. */
	if (answer->status == 404 && nova_is_gone(answer->body, answer->length))
		return 0;
	return nova_words(answer->status, answer->body, answer->length, asked, err);
}

int nova_server(struct nova *nova, const char *server_id, struct nova_server *out,
	struct error *err)
{
	AUTO(answer_clear) struct answer answer = { .body = NULL };
	char path[128];
	int found;

	snprintf(path, sizeof(path), "/servers/%s", server_id);
	found = get(nova, path, "Compute was asked for a server", &answer, err);
	if (found <= 0)
		return found;
	return nova_take_server(
		       answer.body ? answer.body : "", answer.length, out, err) < 0
		? -1
		: 1;
}

int nova_attached(struct nova *nova, const char *server_id, const char *source_id,
	const char *target_id, bool *source, bool *target, struct error *err)
{
	AUTO(answer_clear) struct answer answer = { .body = NULL };
	char path[128];
	int found;

	snprintf(path, sizeof(path), "/servers/%s/os-volume_attachments", server_id);
	found = get(
		nova, path, "Compute was asked for a server's volumes", &answer, err);
	if (found <= 0)
		return found;
	return nova_take_attached(answer.body ? answer.body : "", answer.length,
		       source_id, target_id, source, target, err) < 0
		? -1
		: 1;
}

enum nova_answer nova_swap(struct nova *nova, const char *server_id,
	const char *source_id, const char *target_id, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = json_object_new_object();
	struct json_object *inner = json_object_new_object();
	AUTO(answer_clear) struct answer answer = { .body = NULL };
	struct question question = { .method = "PUT",
		.asked = "Compute was asked to move the guest" };
	AUTO(free) char *body = NULL;
	char path[192];

	json_add_string(inner, "volumeId", target_id);
	json_add(o, "volumeAttachment", inner);
	body = json_text(o);
	question.body = body;
	snprintf(path, sizeof(path), "/servers/%s/os-volume_attachments/%s", server_id,
		source_id);
	if (!body)
		return error_no_memory(err), NOVA_UNSENT;
	if (ask(nova, &question, path, exchange, &answer, err) < 0)
		return answer.unsent ? NOVA_UNSENT : NOVA_UNKNOWN;
	if (answer.status >= 200 && answer.status < 300)
		return NOVA_ACCEPTED;
	nova_words(answer.status, answer.body, answer.length, question.asked, err);
	/* A gateway may have given up on what goes on behind it. */
	return answer.status >= 400 && answer.status < 500 && answer.status != 408 &&
			answer.status != 429
		? NOVA_REFUSED
		: NOVA_UNKNOWN;
}
