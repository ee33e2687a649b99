/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/envelope.h"
#include "common/rpc-names.h"
#include "common/text.h"

/* Bodies captured from cinder-api and cinder-volume. */
static size_t read_data(const char *name, char *out, size_t size)
{
	const char *srcdir = getenv("srcdir");
	AUTO(free)
	char *path = text_format("%s/tests/data/%s", srcdir ? srcdir : ".", name);
	AUTO(fclose) FILE *file = fopen(path, "r");

	assert_non_null(file);
	return fread(out, 1, size, file);
}

static void open_text(const char *body, struct json_object **message)
{
	struct error err = { 0 };

	if (envelope_open(body, strlen(body), message, &err) < 0)
		fail_msg("%s", err.text);
}

static void a_captured_call_is_read(void **state)
{
	AUTO(json_object_put) struct json_object *message = NULL;
	struct rpc_request request;
	struct json_object *volume;
	struct error err = { 0 };
	char body[8192];
	size_t length = read_data("rpc-call.json", body, sizeof(body));

	assert_int_equal(envelope_open(body, length, &message, &err), 0);
	assert_int_equal(envelope_read_request(message, &request, &err), 0);
	assert_string_equal(request.method, "initialize_connection");
	assert_string_equal(request.version, "3.0");
	assert_int_equal(strlen(request.unique_id), 32);
	assert_string_equal(request.user_id, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	assert_string_equal(request.project_id, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_true(request.is_admin);
	assert_memory_equal(request.request_id, "req-", 4);
	assert_string_equal(
		request.reply.queue, "reply_cbf735901b684b1ca858c493e4b25201");
	assert_string_equal(request.reply.id, "6b4dd841af344021bb93038ad7593ab9");
	assert_int_equal(json_get_object(request.args, "volume", &volume, &err), 0);
}

static void a_request_that_is_sent_on_keeps_its_ids(void **state)
{
	AUTO(json_object_put) struct json_object *message = NULL;
	AUTO(json_object_put) struct json_object *copy = NULL;
	struct rpc_request request, again;
	struct error err = { 0 };
	char body[8192];
	size_t length = read_data("rpc-call.json", body, sizeof(body));

	assert_int_equal(envelope_open(body, length, &message, &err), 0);
	assert_int_equal(envelope_read_request(message, &request, &err), 0);
	assert_false(request.forwarded);
	copy = envelope_forward(request.message);
	assert_int_equal(envelope_read_request(copy, &again, &err), 0);
	assert_true(again.forwarded);
	assert_string_equal(again.unique_id, request.unique_id);
	assert_string_equal(again.request_id, request.request_id);
	assert_string_equal(again.reply.queue, request.reply.queue);
	assert_string_equal(again.reply.id, request.reply.id);
	assert_string_equal(again.version, request.version);
	assert_ptr_equal(again.args, request.args);
	/* The one that came is as it was: it may have to be sent on again. */
	assert_int_equal(envelope_read_request(message, &request, &err), 0);
	assert_false(request.forwarded);
}

static void a_captured_failure_becomes_an_error(void **state)
{
	AUTO(json_object_put) struct json_object *message = NULL;
	struct json_object *result = NULL;
	struct error err = { 0 };
	char body[8192];
	size_t length = read_data("rpc-failure.json", body, sizeof(body));

	assert_int_equal(envelope_open(body, length, &message, &err), 0);
	assert_int_equal(envelope_read_reply(message, "another", &result, &err), 0);
	assert_int_equal(envelope_read_reply(message,
				 "6b4dd841af344021bb93038ad7593ab9", &result, &err),
		-1);
	assert_int_equal(err.code, ERR_BACKEND);
	assert_non_null(strstr(err.text, "Driver initialize connection failed"));
}

static void what_is_malformed_is_refused(void **state)
{
	static const char *const bodies[] = {
		"",
		"{}",
		"null",
		"[]",
		"{\"oslo.version\": \"2.0\"}",
		"{\"oslo.message\": \"{}\"}",
		"{\"oslo.version\": \"1.0\", \"oslo.message\": \"{}\"}",
		"{\"oslo.version\": \"2\", \"oslo.message\": \"{}\"}",
		"{\"oslo.version\": \"2.x\", \"oslo.message\": \"{}\"}",
		"{\"oslo.version\": \"20.0\", \"oslo.message\": \"{}\"}",
		"{\"oslo.version\": 2.0, \"oslo.message\": \"{}\"}",
		"{\"oslo.version\": \"2.0\", \"oslo.message\": \"\"}",
		"{\"oslo.version\": \"2.0\", \"oslo.message\": \"null\"}",
		"{\"oslo.version\": \"2.0\", \"oslo.message\": \"7\"}",
		"{\"oslo.version\": \"2.0\", \"oslo.message\": \"{}\"} ?",
		"{\"oslo.version\": \"2.0\", \"oslo.message\": \"{}\\u0000\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct json_object *message = NULL;
		struct error err = { 0 };

		if (envelope_open(bodies[i], strlen(bodies[i]), &message, &err) != -1)
			fail_msg("accepted: %s", bodies[i]);
		assert_int_equal(err.code, ERR_INVALID_INPUT);
		assert_true(err.text[0]);
		assert_null(message);
	}
}

static void a_request_with_wrong_members_is_refused(void **state)
{
	static const char *const messages[] = {
		"{\"_unique_id\": \"1\"}",
		"{\"method\": \"\", \"_unique_id\": \"1\"}",
		"{\"method\": \"m\"}",
		"{\"method\": \"m\", \"_unique_id\": \"\"}",
		"{\"method\": \"m\", \"_unique_id\": 1}",
		"{\"method\": \"m\", \"_unique_id\": \"1\\n2\"}",
		"{\"method\": \"m\", \"_unique_id\": \"1 2\"}",
		"{\"method\": \"m\", \"_unique_id\": \"\\u00e4\"}",
		"{\"method\": [], \"_unique_id\": \"1\"}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"args\": 1}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"version\": 3.0}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"namespace\": \"n\"}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"_msg_id\": \"1\"}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"_reply_q\": \"q\"}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"_context_user_id\": 1}",
		"{\"method\": \"m\", \"_unique_id\": \"1\", \"_context_is_admin\": 1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		AUTO(json_object_put) struct json_object *message = NULL;
		struct rpc_request request = { .method = "untouched" };
		struct error err = { 0 };

		assert_int_equal(
			json_parse(messages[i], strlen(messages[i]), &message, &err),
			0);
		if (envelope_read_request(message, &request, &err) != -1)
			fail_msg("accepted: %s", messages[i]);
		assert_int_equal(err.code, ERR_INVALID_INPUT);
		assert_string_equal(request.method, "untouched");
	}
}

static void a_request_without_a_context_has_safe_values(void **state)
{
	AUTO(json_object_put) struct json_object *message = NULL;
	struct rpc_request request;
	struct error err = { 0 };

	open_text("{\"oslo.version\": \"2.0\", \"oslo.message\":"
		  " \"{\\\"method\\\": \\\"m\\\", \\\"_unique_id\\\": \\\"u\\\"}\"}",
		&message);
	assert_int_equal(envelope_read_request(message, &request, &err), 0);
	assert_string_equal(request.version, "1.0");
	assert_string_equal(request.request_id, "u");
	assert_null(request.user_id);
	assert_null(request.project_id);
	assert_false(request.is_admin);
	assert_string_equal(request.reply.id, "");
	assert_int_equal(json_object_object_length(request.args), 0);
}

static void our_request_comes_back_as_it_was_sent(void **state)
{
	const struct rpc_address reply = { .queue = "reply_1", .id = "7" };
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	AUTO(json_object_put) struct json_object *sent = NULL;
	AUTO(json_object_put) struct json_object *message = NULL;
	AUTO(free) char *body = NULL;
	struct rpc_request request;
	struct error err = { 0 };
	const char *text;

	json_add_string(args, "path", "a/\"ü\"\n");
	sent = envelope_request("attach", "3.3", "req-1", args, &reply);
	body = envelope_seal(sent);
	open_text(body, &message);
	assert_int_equal(envelope_read_request(message, &request, &err), 0);
	assert_string_equal(request.method, "attach");
	assert_string_equal(request.version, "3.3");
	assert_string_equal(request.request_id, "req-1");
	assert_string_equal(request.reply.queue, "reply_1");
	assert_string_equal(request.reply.id, "7");
	assert_true(request.is_admin);
	assert_int_equal(json_get_string(request.args, "path", &text, &err), 0);
	assert_string_equal(text, "a/\"ü\"\n");
	assert_false(json_object_object_get_ex(sent, "namespace", NULL));
}

static void a_cast_carries_no_reply_keys_and_a_new_request_id(void **state)
{
	AUTO(json_object_put)
	struct json_object *sent = envelope_request("m", "3.0", NULL, NULL, NULL);
	const char *text;
	struct error err = { 0 };

	assert_false(json_object_object_get_ex(sent, "_msg_id", NULL));
	assert_false(json_object_object_get_ex(sent, "_reply_q", NULL));
	assert_false(json_object_object_get_ex(sent, "_timeout", NULL));
	assert_int_equal(json_get_string(sent, "_context_request_id", &text, &err), 0);
	assert_memory_equal(text, "req-", 4);
	assert_true(uuid_is(text + 4));
	assert_int_equal(json_get_string(sent, "_context_timestamp", &text, &err), 0);
	assert_int_equal(strlen(text), strlen("2026-11-21T21:38:46.406398"));
}

/* What a peer calls: class(*args, **kwargs). */
static void a_failure_says_what_to_raise(void **state)
{
	const struct rpc_address to = { .queue = "q", .id = "1" };
	AUTO(json_object_put) struct json_object *reply = NULL;
	AUTO(json_object_put) struct json_object *failure = NULL;
	struct json_object *kwargs, *result;
	const char *text;
	struct error err = { 0 }, why = { 0 };

	error_set(&why, ERR_INVALID_HOST, "host 'x' is down");
	reply = envelope_reply(&to, NULL, &why);
	assert_int_equal(json_get_string(reply, "failure", &text, &err), 0);
	assert_int_equal(json_parse(text, strlen(text), &failure, &err), 0);
	assert_int_equal(json_get_string(failure, "class", &text, &err), 0);
	assert_string_equal(text, "InvalidHost");
	assert_int_equal(json_get_string(failure, "module", &text, &err), 0);
	assert_string_equal(text, "cinder.exception");
	assert_int_equal(json_get_object(failure, "kwargs", &kwargs, &err), 0);
	assert_false(json_object_object_get_ex(kwargs, "message", NULL));
	assert_true(json_object_object_get_ex(reply, "result", &result));
	assert_null(result);
	assert_int_equal(envelope_read_reply(reply, "1", &result, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_HOST);
	assert_string_equal(err.text, "host 'x' is down");
}

static void a_failure_is_utf8_whatever_its_text(void **state)
{
	const struct rpc_address to = { .queue = "q", .id = "1" };
	AUTO(json_object_put) struct json_object *reply = NULL;
	AUTO(json_object_put) struct json_object *again = NULL;
	AUTO(free) char *body = NULL;
	struct json_object *result;
	struct error err = { 0 }, why = { 0 };

	error_set(&why, ERR_BACKEND, "cannot open '\xff\xfeü\xc3'");
	reply = envelope_reply(&to, NULL, &why);
	body = envelope_seal(reply);
	open_text(body, &again);
	assert_int_equal(envelope_read_reply(again, "1", &result, &err), -1);
	assert_string_equal(err.text, "cannot open '??ü?'");
}

static void an_answer_is_told_from_a_sign_of_life(void **state)
{
	const struct rpc_address to = { .queue = "q", .id = "1" };
	AUTO(json_object_put) struct json_object *five = json_object_new_int(5);
	AUTO(json_object_put)
	struct json_object *reply = envelope_reply(&to, five, NULL);
	AUTO(json_object_put) struct json_object *result = NULL;
	struct error err = { 0 };

	json_add_bool(reply, "ending", false);
	assert_int_equal(envelope_read_reply(reply, "1", &result, &err), 0);
	json_add_bool(reply, "ending", true);
	assert_int_equal(envelope_read_reply(reply, "1", &result, &err), 1);
	assert_int_equal(json_object_get_int(result), 5);
}

static void the_volume_of_a_request_is_found_wherever_it_stands(void **state)
{
	static const struct {
		const char *args, *volume;
	} cases[] = {
		{ "{}", NULL },
		{ "{'volume_id': 'v'}", "v" },
		{ "{'volume': {'versioned_object.data': {'id': 'v'}}}", "v" },
		{ "{'volume': {'id': 'v'}}", "v" },
		{ "{'vref': {'versioned_object.data': {'id': 'v'}}}", "v" },
		{ "{'snapshot': {'versioned_object.data': {'id': 's',"
		  " 'volume_id': 'v'}}}",
			"v" },
		{ "{'request_spec': {'volume_id': 'v'}}", "v" },
		{ "{'request_spec': {'versioned_object.data': {'volume_id': 'v'}}}",
			"v" },
		{ "{'volume': {'versioned_object.data': {'id': 'v'}},"
		  " 'new_volume': {'versioned_object.data': {'id': 'w'}}}",
			"v" },
		{ "{'volume_id': null, 'volume': null, 'request_spec':"
		  " {'volume_id': 'v'}}",
			"v" },
		{ "{'volume_id': 7}", NULL },
		{ "{'volume_id': ''}", NULL },
		{ "{'volume_id': 'a\\u0000b'}", NULL },
		{ "{'volume': 'v'}", NULL },
		{ "{'volume': {'versioned_object.data': {'id': []}}}", NULL },
		{ "{'snapshot': {'versioned_object.data': {'id': 's'}}}", NULL },
		{ "{'service_name': 'cinder-volume'}", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(json_object_put) struct json_object *args = NULL;
		AUTO(free) char *text = strdup(cases[i].args);
		struct error err = { 0 };

		for (char *c = text; *c; c++)
			*c = *c == '\'' ? '"' : *c;
		if (json_parse(text, strlen(text), &args, &err) < 0)
			fail_msg("%s: %s", text, err.text);
		const char *found = envelope_volume_id(args);
		const char *wanted = cases[i].volume;
		if (wanted ? !found || strcmp(found, wanted) != 0 : found != NULL)
			fail_msg("%s gives %s", text, found ? found : "nothing");
	}
}

static void versions_follow_the_minor_rule(void **state)
{
	assert_true(version_is_served("3.18", "3.0"));
	assert_true(version_is_served("3.18", "3.18"));
	assert_true(version_is_served("3.9", "3.2"));
	assert_false(version_is_served("3.9", "3.10"));
	assert_false(version_is_served("3.18", "2.0"));
	assert_false(version_is_served("3.18", "4.0"));
	assert_false(version_is_served("3.18", "3"));
	assert_false(version_is_served("3.18", ""));
	assert_false(version_is_served("3.18", "3.1.1"));
	assert_false(version_is_served("3.18", "-3.1"));
	assert_false(version_is_served("3.18", "3. 1"));
	assert_false(version_is_served("3.18", "3.99999999999"));
}

static void names_that_do_not_fit_are_refused(void **state)
{
	char key[ROUTING_KEY_SIZE], longest[300];
	struct error err = { 0 };

	assert_int_equal(name_queue(key, "cinder-volume.a@b", "a", &err), 0);
	assert_string_equal(key, "cinder-volume.a@b.a");
	assert_int_equal(name_queue(key, "t", NULL, &err), 0);
	assert_string_equal(key, "t");
	assert_int_equal(name_fanout(key, "t", &err), 0);
	assert_string_equal(key, "t_fanout");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(name_queue(key, longest, "s", &err), -1);
	assert_int_equal(err.code, ERR_INVALID_INPUT);
	assert_int_equal(name_fanout(key, longest, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_captured_call_is_read),
		cmocka_unit_test(a_request_that_is_sent_on_keeps_its_ids),
		cmocka_unit_test(a_captured_failure_becomes_an_error),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(a_request_with_wrong_members_is_refused),
		cmocka_unit_test(a_request_without_a_context_has_safe_values),
		cmocka_unit_test(our_request_comes_back_as_it_was_sent),
		cmocka_unit_test(a_cast_carries_no_reply_keys_and_a_new_request_id),
		cmocka_unit_test(a_failure_says_what_to_raise),
		cmocka_unit_test(a_failure_is_utf8_whatever_its_text),
		cmocka_unit_test(an_answer_is_told_from_a_sign_of_life),
		cmocka_unit_test(the_volume_of_a_request_is_found_wherever_it_stands),
		cmocka_unit_test(versions_follow_the_minor_rule),
		cmocka_unit_test(names_that_do_not_fit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
