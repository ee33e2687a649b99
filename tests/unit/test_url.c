/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "common/auto.h"
#include "common/text.h"
#include "common/url.h"

#define OURS_BUT_OPTIONS \
	"target_session_attrs='read-write' connect_timeout='3' keepalives='1'" \
	" keepalives_idle='10' keepalives_interval='5' keepalives_count='3'" \
	" tcp_user_timeout='15000' client_encoding='UTF8'"
#define OURS \
	OURS_BUT_OPTIONS " options='-c TimeZone=UTC -c statement_timeout=5s" \
			 " -c lock_timeout=3s'"

DEFINE_AUTO(PQconninfoOption *, PQconninfoFree)

/* libpq itself must read what we write. */
static void assert_libpq_takes(const char *conninfo)
{
	char *message = NULL;
	AUTO(PQconninfoFree)
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);

	if (!parsed)
		fail_msg("%s: %s", conninfo, message);
}

static void database_urls_become_connection_strings(void **state)
{
	static const struct {
		const char *url, *conninfo;
	} cases[] = {
		{ "postgresql://cinder:secret@db1/cinder",
			"host='db1' user='cinder' password='secret' "
			"dbname='cinder' " OURS },
		{ "postgresql+psycopg2://c@db1:5433/d",
			"host='db1' port='5433' user='c' dbname='d' " OURS },
		{ "postgres://", OURS },
		{ "postgresql:///d", "dbname='d' " OURS },
		{ "postgresql://db1", "host='db1' " OURS },
		{ "postgresql://c:@h/d", "host='h' user='c' dbname='d' " OURS },
		/* decoding and quoting */
		{ "postgresql://a%40b:p%2Fq%3a%27%5C%25@h/d%20e",
			"host='h' user='a@b' password='p/q:\\'\\\\%' dbname='d "
			"e' " OURS },
		{ "postgresql://u:p+q@h/d",
			"host='h' user='u' password='p+q' dbname='d' " OURS },
		{ "postgresql://u:100%@h/d",
			"host='h' user='u' password='100%' dbname='d' " OURS },
		{ "postgresql://u:a/b:c#d?e@h/d",
			"host='h' user='u' password='a/b:c#d?e' dbname='d' " OURS },
		/* hosts */
		{ "postgresql://u@[::1]:5432/d",
			"host='::1' port='5432' user='u' dbname='d' " OURS },
		{ "postgresql://[fe80::1]/d", "host='fe80::1' dbname='d' " OURS },
		{ "postgresql://u:p@/d?host=a:5432&host=b:5433",
			"host='a,b' port='5432,5433' user='u' password='p' "
			"dbname='d' " OURS },
		{ "postgresql:///d?host=a&host=b:5433",
			"host='a,b' port=',5433' dbname='d' " OURS },
		{ "postgresql:///d?host=a&host=b", "host='a,b' dbname='d' " OURS },
		{ "postgresql:///d?host=h1,h2&port=1,2",
			"host='h1,h2' port='1,2' dbname='d' " OURS },
		{ "postgresql:///d?host=/run/postgresql",
			"host='/run/postgresql' dbname='d' " OURS },
		{ "postgresql:///d?host=%2Frun%2Fpg&port=5433",
			"host='/run/pg' port='5433' dbname='d' " OURS },
		{ "postgresql:///d?host=[::1]:5432",
			"host='::1' port='5432' dbname='d' " OURS },
		{ "postgresql:///d?host=::1", "host='::1' dbname='d' " OURS },
		/* parameters */
		{ "postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/ca%20b.pem",
			"host='h' dbname='d' sslmode='verify-full'"
			" sslrootcert='/etc/ca b.pem' " OURS },
		{ "postgresql://h/d?application_name=a+b",
			"host='h' dbname='d' application_name='a b' " OURS },
		{ "postgresql://h/d?options=-c%20x%3D1",
			"host='h' dbname='d' " OURS_BUT_OPTIONS " options='-c x=1'" },
		{ "postgresql://h/d?", "host='h' dbname='d' " OURS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(free) char *conninfo = NULL;
		struct error err = { 0 };
		if (url_to_conninfo(cases[i].url, &conninfo, &err) < 0)
			fail_msg("%s: %s", cases[i].url, err.text);
		assert_string_equal(conninfo, cases[i].conninfo);
		assert_libpq_takes(conninfo);
	}
}

static void our_values_give_way_to_the_url(void **state)
{
	static const struct {
		const char *name, *value;
	} cases[] = { { "target_session_attrs", "any" }, { "connect_timeout", "9" },
		{ "keepalives", "0" }, { "keepalives_idle", "7" },
		{ "keepalives_interval", "7" }, { "keepalives_count", "7" },
		{ "tcp_user_timeout", "7" }, { "client_encoding", "LATIN1" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(free)
		char *url = text_format(
			"postgresql://h/d?%s=%s", cases[i].name, cases[i].value);
		AUTO(free)
		char *want = text_format(" %s='%s'", cases[i].name, cases[i].value);
		AUTO(free) char *conninfo = NULL;
		assert_int_equal(url_to_conninfo(url, &conninfo, NULL), 0);
		assert_non_null(strstr(conninfo, want));
		assert_libpq_takes(conninfo);
	}
}

static void a_bad_database_url_is_refused_without_its_password(void **state)
{
	static const struct {
		const char *url, *reason;
	} cases[] = {
		{ "mysql+pymysql://u:hush@h/d",
			"the database is mysql, but PostgreSQL is needed" },
		{ "MySQL://u:hush@h/d",
			"the database is mysql, but PostgreSQL is needed" },
		{ "sqlite:////var/lib/hush",
			"the database is sqlite, but PostgreSQL is needed" },
		{ "db2://u:hush@h/d",
			"the database URL does not begin with postgresql://, but "
			"PostgreSQL is"
			" needed" },
		{ "postgresqlx://u:hush@h/d",
			"the database URL does not begin with postgresql://, but "
			"PostgreSQL is"
			" needed" },
		{ "hush",
			"not a database URL: postgresql://user:password@host/database "
			"is"
			" expected" },
		{ "",
			"not a database URL: postgresql://user:password@host/database "
			"is"
			" expected" },
		{ "postgresql://u:hush@h:70000/d",
			"'70000' is not a port number in the URL" },
		{ "postgresql://u:hush@h:x/d", "'x' is not a port number in the URL" },
		{ "postgresql://u:hush@[::1/d",
			"an IPv6 address in the URL lacks its ']'" },
		{ "postgresql://u:hush@h/d?charset=utf8",
			"PostgreSQL has no parameter 'charset' (in the URL)" },
		{ "postgresql://u:hush@h/d?sslmode",
			"a parameter in the URL has no value" },
		{ "postgresql://u:hush%00@h/d", "the password in the URL holds a NUL" },
		{ "postgresql://u:hush@h:1/d?host=a:5432&host=b:5433",
			"the URL gives ports twice: with host=name:port and alone" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *conninfo = NULL;
		struct error err = { 0 };
		assert_int_equal(url_to_conninfo(cases[i].url, &conninfo, &err), -1);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_string_equal(err.text, cases[i].reason);
		assert_null(strstr(err.text, "hush"));
		assert_null(conninfo);
	}
}

/* One line a host: user:password@host:port, then the vhost. */
static char *describe(const struct rabbit_url *url)
{
	char *text = strdup("");

	for (size_t i = 0; i < url->host_count; i++) {
		const struct rabbit_host *h = &url->hosts[i];
		char *more = text_format(
			"%s%s:%s@%s:%d ", text, h->user, h->password, h->host, h->port);
		free(text);
		text = more;
	}
	char *all = text_format("%s%s", text, url->vhost);
	free(text);
	return all;
}

static void broker_urls_become_hosts(void **state)
{
	static const struct {
		const char *url, *expected;
	} cases[] = {
		{ "rabbit://", "guest:guest@localhost:0 /" },
		{ "rabbit://h", "guest:guest@h:0 /" },
		{ "rabbit://h/", "guest:guest@h:0 /" },
		{ "rabbit://h//", "guest:guest@h:0 /" },
		{ "rabbit://h/%2F", "guest:guest@h:0 /" },
		{ "rabbit://u:p@h:5673/v", "u:p@h:5673 v" },
		{ "RABBIT://u:p@h/v", "u:p@h:0 v" },
		{ "kombu://u:p@h/v", "u:p@h:0 v" },
		{ "rabbit://u:p@h1:5672,u2:p2@h2:5673/v",
			"u:p@h1:5672 u2:p2@h2:5673 v" },
		{ "rabbit://u:p@h1,h2/v", "u:p@h1:0 guest:guest@h2:0 v" },
		{ "rabbit://,h1,,h2,/v", "guest:guest@h1:0 guest:guest@h2:0 v" },
		{ "rabbit://u:p@[::1]:5672,u:p@[fe80::1]/v",
			"u:p@::1:5672 u:p@fe80::1:0 v" },
		{ "rabbit://a%40b:c%2Cd%3Ae@h/v%20w", "a@b:c,d:e@h:0 v w" },
		{ "rabbit://u:a:b@c@h/v", "u:a:b@c@h:0 v" },
		{ "rabbit://u@h/v", "u:guest@h:0 v" },
		{ "rabbit://u:p@h:/v?ssl=1", "u:p@h:0 v" },
		{ "rabbit://h?ssl=1", "guest:guest@h:0 /" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rabbit_url url = { 0 };
		struct error err = { 0 };
		if (rabbit_url_parse(cases[i].url, &url, &err) < 0)
			fail_msg("%s: %s", cases[i].url, err.text);
		AUTO(free) char *text = describe(&url);
		assert_string_equal(text, cases[i].expected);
		rabbit_url_clear(&url);
		assert_null(url.hosts);
	}
}

static void a_bad_broker_url_is_refused_without_its_password(void **state)
{
	static const char *const urls[] = { "", "hush", "amqp://u:hush@h/",
		"kafka://hush/", "rabbit+ssl://u:hush@h/", "rabbit://u:hush@h:0/",
		"rabbit://u:hush@h:x/", "rabbit://u:hush@h:65536/",
		"rabbit://u:hush@[::1/", "rabbit://u:hush%00@h/", "rabbit://h/%00" };

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		struct rabbit_url url = { 0 };
		struct error err = { 0 };
		if (rabbit_url_parse(urls[i], &url, &err) == 0)
			fail_msg("%s was taken", urls[i]);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_null(strstr(err.text, "hush"));
		assert_null(url.hosts);
	}
}

static void options_behind_the_url_come_one_by_one(void **state)
{
	const char *query = "ssl=1&&flag&a%20b=c+d&last=";
	static const char *const expected[][2] = { { "ssl", "1" }, { "a b", "c d" },
		{ "last", "" } };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		AUTO(free) char *name = NULL, *value = NULL;
		assert_int_equal(
			rabbit_url_next_option(&query, &name, &value, NULL), 1);
		assert_string_equal(name, expected[i][0]);
		assert_string_equal(value, expected[i][1]);
	}
	char *name = NULL, *value = NULL;
	assert_int_equal(rabbit_url_next_option(&query, &name, &value, NULL), 0);
	query = NULL;
	assert_int_equal(rabbit_url_next_option(&query, &name, &value, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(database_urls_become_connection_strings),
		cmocka_unit_test(our_values_give_way_to_the_url),
		cmocka_unit_test(a_bad_database_url_is_refused_without_its_password),
		cmocka_unit_test(broker_urls_become_hosts),
		cmocka_unit_test(a_bad_broker_url_is_refused_without_its_password),
		cmocka_unit_test(options_behind_the_url_come_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
