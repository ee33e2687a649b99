/* SPDX-License-Identifier: Apache-2.0 */
/* What Keystone and Compute say, and what they might say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "volume-manager/nova_answers.h"

static const struct nova_settings settings = { .auth_url = "https://k:5000/v3",
	.username = "cinder",
	.password = "hush",
	.user_domain_name = "Default",
	.project_name = "service",
	.project_domain_name = "Default",
	.interface = "public" };

#define TOKEN(catalog) \
	"{\"token\": {\"expires_at\": \"2099-01-01T00:00:01.000000Z\", \"catalog\": " catalog \
	"}}"
#define ENDPOINT(interface, region, url) \
	"{\"interface\": \"" interface "\", \"region\": \"" region \
	"\", \"url\": \"" url "\"}"
#define COMPUTE(endpoints) "[{\"type\": \"compute\", \"endpoints\": [" endpoints "]}]"

static int take(const struct nova_settings *how, const char *body,
	char url[NOVA_URL_MAX], struct error *err)
{
	time_t ends = 0;
	int done = nova_take_token(how, body, strlen(body), url, &ends, err);

	if (done == 0)
		assert_int_equal(ends, 4070908801);
	return done;
}

static void the_request_is_as_captured(void **state)
{
	AUTO(json_object_put) struct json_object *o = nova_auth_body(&settings);
	AUTO(free) char *text = json_text(o);

	assert_string_equal(text,
		"{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":"
		"{\"user\":{\"name\":\"cinder\",\"domain\":{\"name\":\"Default\"},"
		"\"password\":\"hush\"}}},\"scope\":{\"project\":{\"name\":\"service\","
		"\"domain\":{\"name\":\"Default\"}}}}}");
}

static void the_endpoint_is_the_catalogues(void **state)
{
	static const char catalog[] = TOKEN(COMPUTE(ENDPOINT(
		"admin", "one", "http://a/v2.1") "," ENDPOINT("public", "one",
		"http://b/v2.1//") "," ENDPOINT("public", "two", "https://c/v2.1")));
	struct nova_settings how = settings;
	char url[NOVA_URL_MAX];
	struct error err;

	assert_int_equal(take(&how, catalog, url, &err), 0);
	assert_string_equal(url, "http://b/v2.1");
	how.region_name = "two";
	assert_int_equal(take(&how, catalog, url, &err), 0);
	assert_string_equal(url, "https://c/v2.1");
	how.region_name = NULL;
	how.interface = "adminURL";
	assert_int_equal(take(&how, catalog, url, &err), 0);
	assert_string_equal(url, "http://a/v2.1");
	how.interface = "internal";
	assert_int_equal(take(&how, catalog, url, &err), -1);
	assert_int_equal(err.code, ERR_COMPUTE);
	assert_non_null(strstr(err.text, "interface 'internal'"));
	how.endpoint_override = "http://x:8774/v2.1/";
	assert_int_equal(take(&how, TOKEN("null"), url, &err), 0);
	assert_string_equal(url, "http://x:8774/v2.1");
}

static void strange_tokens_are_refused(void **state)
{
	static const char *const strange[] = { "", "[]", "null", "{}", "{\"token\": 1}",
		"{\"token\": {}}", "{\"token\": {\"expires_at\": 5}}",
		"{\"token\": {\"expires_at\": \"soon\", \"catalog\": []}}", TOKEN("{}"),
		TOKEN("[]"), TOKEN("[1, null, {}, []]"),
		TOKEN("[{\"type\": \"compute\"}]"), TOKEN(COMPUTE("1, {}, null")),
		TOKEN(COMPUTE(ENDPOINT("public", "r", "file:///etc/passwd"))),
		TOKEN(COMPUTE(ENDPOINT("public", "r", "http://h/?x"))),
		TOKEN(COMPUTE(ENDPOINT("public", "r", "http://h/ x"))) };

	for (size_t i = 0; i < ARRAY_SIZE(strange); i++) {
		char url[NOVA_URL_MAX];
		struct error err;

		if (take(&settings, strange[i], url, &err) == 0)
			fail_msg("taken: %s", strange[i]);
	}
}

static void a_refusal_has_its_own_words(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{ "{\"conflictingRequest\": {\"code\": 409, \"message\": \"locked\"}}",
			"asked: HTTP status 409: locked" },
		{ "{\"a\": 1, \"b\": {\"message\": \"second\"}}",
			"asked: HTTP status 409: second" },
		{ "", "asked: HTTP status 409" },
		{ "plain words", "asked: HTTP status 409: plain words" },
		{ "<html>", "asked: HTTP status 409" },
		{ "{\"message\": 5}", "asked: HTTP status 409: {\"message\": 5}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err;

		assert_int_equal(nova_words(409, cases[i].body, strlen(cases[i].body),
					 "asked", &err),
			-1);
		assert_int_equal(err.code, ERR_COMPUTE);
		assert_string_equal(err.text, cases[i].text);
	}
}

/* Only Compute's own word for it; a proxy's proves nothing. */
static void only_compute_says_that_a_server_is_gone(void **state)
{
	static const char gone[] = "{\"itemNotFound\": {\"code\": 404}}";
	static const char *const others[] = { "", "<html>", "{}", "[]",
		"{\"itemNotFound\": 1}", "{\"error\": {\"code\": 404}}" };

	assert_true(nova_is_gone(gone, strlen(gone)));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(nova_is_gone(others[i], strlen(others[i])));
}

static void attachments_are_found_or_it_is_said_why_not(void **state)
{
	static const char list[] = "{\"volumeAttachments\": [{\"volumeId\": \"x\"},"
				   " {\"volumeId\": \"t\"}]}";
	static const char *const strange[] = { "", "{}", "{\"volumeAttachments\": {}}",
		"{\"volumeAttachments\": [1]}", "{\"volumeAttachments\": [{}]}" };
	bool source, target;
	struct error err;

	assert_int_equal(nova_take_attached(
				 list, strlen(list), "s", "t", &source, &target, &err),
		0);
	assert_true(target && !source);
	for (size_t i = 0; i < ARRAY_SIZE(strange); i++)
		assert_int_equal(nova_take_attached(strange[i], strlen(strange[i]), "s",
					 "t", &source, &target, &err),
			-1);
}

static void a_server_has_a_state(void **state)
{
	static const char body[] = "{\"server\": {\"status\": \"SHUTOFF\","
				   " \"OS-EXT-STS:vm_state\": \"stopped\"}}";
	struct nova_server server;
	struct error err;

	assert_int_equal(nova_take_server(body, strlen(body), &server, &err), 0);
	assert_string_equal(server.status, "SHUTOFF");
	assert_string_equal(server.vm_state, "stopped");
	assert_int_equal(nova_take_server("{\"server\": {}}", 14, &server, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_request_is_as_captured),
		cmocka_unit_test(the_endpoint_is_the_catalogues),
		cmocka_unit_test(strange_tokens_are_refused),
		cmocka_unit_test(a_refusal_has_its_own_words),
		cmocka_unit_test(only_compute_says_that_a_server_is_gone),
		cmocka_unit_test(attachments_are_found_or_it_is_said_why_not),
		cmocka_unit_test(a_server_has_a_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
