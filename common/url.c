/* SPDX-License-Identifier: Apache-2.0 */
#include "common/url.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/text.h"

/* No message shows a URL or any part that may hold a password. */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Percent-decode size bytes; as in Python a '%' without two digits stands for itself. In
 * queries '+' is a space. what names the part for the message. */
static int decode(const char *text, size_t size, bool query, const char *what,
	char **out, struct error *err)
{
	AUTO(free) char *plain = malloc(size + 1);
	size_t length = 0;

	if (!plain)
		return error_no_memory(err);
	for (size_t i = 0; i < size; i++) {
		int high = i + 2 < size ? hex_value(text[i + 1]) : -1;
		int low = i + 2 < size ? hex_value(text[i + 2]) : -1;
		char c = text[i];
		if (c == '%' && high >= 0 && low >= 0) {
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && query) {
			c = ' ';
		}
		if (!c)
			return error_set(
				err, ERR_CONFIG, "the %s in the URL holds a NUL", what);
		plain[length++] = c;
	}
	plain[length] = '\0';
	*out = steal(plain);
	return 0;
}

static int check_port(const char *port, int *out, struct error *err)
{
	int64_t number;

	if (text_to_int(port, 1, 65535, &number, NULL) < 0)
		return error_set(
			err, ERR_CONFIG, "'%s' is not a port number in the URL", port);
	if (out)
		*out = (int)number;
	return 0;
}

/* "h", "h:5672", "[::1]", "[::1]:5672" or, when several colons show it, "::1". Without a
 * port *port becomes NULL. */
static int split_host(
	const char *text, size_t size, char **host, char **port, struct error *err)
{
	AUTO(free) char *h = NULL;
	const char *colon = memchr(text, ':', size);
	const char *end = text + size;

	if (size && *text == '[') {
		const char *close = memchr(text, ']', size);
		if (!close || (close + 1 < end && close[1] != ':'))
			return error_set(err, ERR_CONFIG,
				"an IPv6 address in the URL lacks its ']'");
		h = strndup(text + 1, (size_t)(close - text - 1));
		colon = close + 1 < end ? close + 1 : NULL;
	} else if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
		h = strndup(text, size);
		colon = NULL;
	} else {
		h = strndup(text, colon ? (size_t)(colon - text) : size);
	}
	if (!h)
		return error_no_memory(err);
	*port = NULL;
	if (colon && colon + 1 < end) {
		*port = strndup(colon + 1, (size_t)(end - colon - 1));
		if (!*port)
			return error_no_memory(err);
	}
	*host = steal(h);
	return 0;
}

/* The database's URL. */

/* What libpq understands and a service may set, with our own values where the URL has
 * none. The order is the order in the result. */
static const struct {
	const char *name;
	const char *value;
} parameters[] = {
	{ "host", NULL },
	{ "hostaddr", NULL },
	{ "port", NULL },
	{ "user", NULL },
	{ "password", NULL },
	{ "dbname", NULL },
	{ "passfile", NULL },
	{ "application_name", NULL },
	{ "fallback_application_name", NULL },
	{ "sslmode", NULL },
	{ "sslcompression", NULL },
	{ "sslcert", NULL },
	{ "sslkey", NULL },
	{ "sslpassword", NULL },
	{ "sslrootcert", NULL },
	{ "sslcrl", NULL },
	{ "sslcrldir", NULL },
	{ "sslsni", NULL },
	{ "ssl_min_protocol_version", NULL },
	{ "ssl_max_protocol_version", NULL },
	{ "requiressl", NULL },
	{ "requirepeer", NULL },
	{ "channel_binding", NULL },
	{ "gssencmode", NULL },
	{ "gsslib", NULL },
	{ "krbsrvname", NULL },
	{ "target_session_attrs", "read-write" },
	{ "connect_timeout", "3" },
	{ "keepalives", "1" },
	{ "keepalives_idle", "10" },
	{ "keepalives_interval", "5" },
	{ "keepalives_count", "3" },
	{ "tcp_user_timeout", "15000" },
	{ "client_encoding", "UTF8" },
	{ "options", "-c TimeZone=UTC -c statement_timeout=5s -c lock_timeout=3s" },
};

struct conninfo {
	char *values[ARRAY_SIZE(parameters)]; /* NULL: not in the URL */
	char *hosts, *ports; /* of host=a:1&host=b:2, joined by commas */
	unsigned host_items;
	bool port_seen; /* one of the host items has a port */
};

static inline void auto_conninfo(struct conninfo *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		free(c->values[i]);
	free(c->hosts);
	free(c->ports);
}

static char **value_of(struct conninfo *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (strcmp(parameters[i].name, name) == 0)
			return &c->values[i];
	return NULL;
}

static void replace(char **at, char *value)
{
	free(*at);
	*at = value;
}

static int set_part(struct conninfo *c, const char *name, const char *text, size_t size,
	struct error *err)
{
	char *value;

	if (!size)
		return 0;
	if (decode(text, size, false, name, &value, err) < 0)
		return -1;
	replace(value_of(c, name), value);
	return 0;
}

static int append(char **list, bool first, const char *item, struct error *err)
{
	char *longer = first ? strdup(item) : text_format("%s,%s", *list, item);

	if (!longer)
		return error_no_memory(err);
	replace(list, longer);
	return 0;
}

/* One host=... of the query. A path is a socket directory; "a,b" is libpq's own list, with
 * its ports in port=1,2. */
static int add_host(struct conninfo *c, const char *text, struct error *err)
{
	AUTO(free) char *host = NULL, *port = NULL;
	bool first = c->host_items++ == 0;

	if (*text == '/' || strchr(text, ','))
		host = strdup(text);
	else if (split_host(text, strlen(text), &host, &port, err) < 0)
		return -1;
	if (!host)
		return error_no_memory(err);
	if (port && check_port(port, NULL, err) < 0)
		return -1;
	c->port_seen |= port != NULL;
	if (append(&c->hosts, first, host, err) < 0)
		return -1;
	return append(&c->ports, first, port ? port : "", err);
}

static int add_query_item(
	struct conninfo *c, const char *text, size_t size, struct error *err)
{
	const char *equal = memchr(text, '=', size);
	AUTO(free) char *name = NULL, *value = NULL;

	if (!size)
		return 0;
	if (!equal)
		return error_set(
			err, ERR_CONFIG, "a parameter in the URL has no value");
	size_t name_size = (size_t)(equal - text);
	if (decode(text, name_size, true, "parameter", &name, err) < 0 ||
		decode(equal + 1, size - name_size - 1, true, "parameter", &value,
			err) < 0)
		return -1;
	if (strcmp(name, "host") == 0)
		return add_host(c, value, err);
	char **at = value_of(c, name);
	if (!at)
		return error_set(err, ERR_CONFIG,
			"PostgreSQL has no parameter '%s' (in the URL)", name);
	replace(at, steal(value));
	return 0;
}

static int take_query(struct conninfo *c, const char *query, struct error *err)
{
	while (*query) {
		size_t size = strcspn(query, "&");
		if (add_query_item(c, query, size, err) < 0)
			return -1;
		query += size;
		query += *query == '&';
	}
	if (!c->host_items)
		return 0;
	/* As SQLAlchemy: the query's hosts replace the one before the path. */
	if (c->port_seen && *value_of(c, "port"))
		return error_set(err, ERR_CONFIG,
			"the URL gives ports twice: with host=name:port and alone");
	replace(value_of(c, "host"), steal(c->hosts));
	if (c->port_seen)
		replace(value_of(c, "port"), steal(c->ports));
	return 0;
}

/* user:password@ as SQLAlchemy finds it: a password may hold '/' and ':' but not '@'. */
static int take_user(struct conninfo *c, const char **at, struct error *err)
{
	const char *p = *at, *user_end = p + strcspn(p, ":/"), *end = NULL;

	if (*user_end == ':') {
		end = strchr(user_end, '@');
		if (end &&
			set_part(c, "password", user_end + 1,
				(size_t)(end - user_end - 1), err) < 0)
			return -1;
	}
	if (!end) {
		end = memrchr(p, '@', (size_t)(user_end - p));
		user_end = end;
	}
	if (!end)
		return 0;
	*at = end + 1;
	return set_part(c, "user", p, (size_t)(user_end - p), err);
}

static int take_netloc(struct conninfo *c, const char **at, struct error *err)
{
	AUTO(free) char *host = NULL, *port = NULL;
	size_t size = strcspn(*at, "/?");

	if (split_host(*at, size, &host, &port, err) < 0)
		return -1;
	if (port && check_port(port, NULL, err) < 0)
		return -1;
	*at += size;
	if (port)
		replace(value_of(c, "port"), steal(port));
	return set_part(c, "host", host, strlen(host), err);
}

static void print_value(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s%s='", ftell(out) ? " " : "", name);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('\'', out);
}

static int print_conninfo(const struct conninfo *c, char **out, struct error *err)
{
	AUTO(free) char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return error_no_memory(err);
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		const char *value = c->values[i] ? c->values[i] : parameters[i].value;
		if (value)
			print_value(file, parameters[i].name, value);
	}
	bool written = !ferror(file);
	if (fclose(file) != 0 || !written)
		return error_no_memory(err);
	*out = steal(text);
	return 0;
}

static bool scheme_is(const char *url, const char *scheme)
{
	size_t size = strlen(scheme);

	return strncasecmp(url, scheme, size) == 0 &&
		(url[size] == ':' || url[size] == '+');
}

static int check_database_scheme(const char *url, struct error *err)
{
	static const char *const others[] = { "mysql", "mariadb", "sqlite", "oracle",
		"mssql" };

	if (!strstr(url, "://"))
		return error_set(err, ERR_CONFIG,
			"not a database URL: postgresql://user:password@host/database"
			" is expected");
	if (scheme_is(url, "postgresql") || scheme_is(url, "postgres"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (scheme_is(url, others[i]))
			return error_set(err, ERR_CONFIG,
				"the database is %s, but PostgreSQL is needed",
				others[i]);
	return error_set(err, ERR_CONFIG,
		"the database URL does not begin with postgresql://, but PostgreSQL"
		" is needed");
}

int url_to_conninfo(const char *url, char **out, struct error *err)
{
	AUTO(conninfo) struct conninfo c = { 0 };

	if (check_database_scheme(url, err) < 0)
		return -1;
	const char *at = strstr(url, "://") + 3;
	if (take_user(&c, &at, err) < 0 || take_netloc(&c, &at, err) < 0)
		return -1;
	if (*at == '/') {
		size_t size = strcspn(++at, "?");
		if (set_part(&c, "dbname", at, size, err) < 0)
			return -1;
		at += size;
	}
	if (*at == '?' && take_query(&c, at + 1, err) < 0)
		return -1;
	return print_conninfo(&c, out, err);
}

/* The broker's URL. */

static void rabbit_host_clear(struct rabbit_host *host)
{
	free(host->host);
	free(host->user);
	free(host->password);
}

void rabbit_url_clear(struct rabbit_url *url)
{
	for (size_t i = 0; i < url->host_count; i++)
		rabbit_host_clear(&url->hosts[i]);
	free(url->hosts);
	free(url->vhost);
	free(url->query);
	memset(url, 0, sizeof(*url));
}

static inline void auto_rabbit_host(struct rabbit_host *host)
{
	rabbit_host_clear(host);
}

static inline void auto_rabbit_url(struct rabbit_url *url)
{
	rabbit_url_clear(url);
}

static int or_default(char **at, const char *value, struct error *err)
{
	if (*at && **at)
		return 0;
	replace(at, strdup(value));
	return *at ? 0 : error_no_memory(err);
}

static int take_credentials(
	struct rabbit_host *host, const char *text, size_t size, struct error *err)
{
	const char *colon = memchr(text, ':', size);
	size_t user_size = colon ? (size_t)(colon - text) : size;

	if (decode(text, user_size, false, "user", &host->user, err) < 0)
		return -1;
	if (!colon)
		return 0;
	return decode(colon + 1, size - user_size - 1, false, "password",
		&host->password, err);
}

static int add_rabbit_host(
	struct rabbit_url *url, const char *text, size_t size, struct error *err)
{
	AUTO(rabbit_host) struct rabbit_host host = { 0 };
	AUTO(free) char *port = NULL;
	const char *at = memrchr(text, '@', size);

	if (at) {
		if (take_credentials(&host, text, (size_t)(at - text), err) < 0)
			return -1;
		size -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	if (split_host(text, size, &host.host, &port, err) < 0)
		return -1;
	if (port && check_port(port, &host.port, err) < 0)
		return -1;
	if (or_default(&host.host, "localhost", err) < 0 ||
		or_default(&host.user, "guest", err) < 0 ||
		or_default(&host.password, "guest", err) < 0)
		return -1;
	struct rabbit_host *more =
		reallocarray(url->hosts, url->host_count + 1, sizeof(*more));
	if (!more)
		return error_no_memory(err);
	url->hosts = more;
	url->hosts[url->host_count++] = host;
	memset(&host, 0, sizeof(host));
	return 0;
}

static int take_rabbit_hosts(
	struct rabbit_url *url, const char *text, size_t size, struct error *err)
{
	const char *end = text + size;

	while (text < end) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		size_t length = (size_t)((comma ? comma : end) - text);
		if (length && add_rabbit_host(url, text, length, err) < 0)
			return -1;
		text += length + 1;
	}
	return url->host_count ? 0 : add_rabbit_host(url, "", 0, err);
}

int rabbit_url_parse(const char *url, struct rabbit_url *out, struct error *err)
{
	AUTO(rabbit_url) struct rabbit_url parsed = { 0 };

	if (!strstr(url, "://"))
		return error_set(err, ERR_CONFIG,
			"not a message broker URL: rabbit://user:password@host/ is"
			" expected");
	/* oslo.messaging's other name for the same driver; its amqp:// is AMQP 1.0. */
	if (strncasecmp(url, "rabbit:", 7) != 0 && strncasecmp(url, "kombu:", 6) != 0)
		return error_set(err, ERR_CONFIG,
			"the message broker's URL does not begin with rabbit://, but"
			" RabbitMQ is needed");

	const char *hosts = strstr(url, "://") + 3;
	size_t size = strcspn(hosts, "/?#");
	if (take_rabbit_hosts(&parsed, hosts, size, err) < 0)
		return -1;
	const char *at = hosts + size;
	if (*at == '/') {
		size = strcspn(++at, "?#");
		if (decode(at, size, false, "virtual host", &parsed.vhost, err) < 0)
			return -1;
		at += size;
	}
	if (or_default(&parsed.vhost, "/", err) < 0)
		return -1;
	if (*at == '?') {
		parsed.query = strndup(at + 1, strcspn(at + 1, "#"));
		if (!parsed.query)
			return error_no_memory(err);
	}
	*out = parsed;
	memset(&parsed, 0, sizeof(parsed));
	return 0;
}

int rabbit_url_next_option(
	const char **query, char **name, char **value, struct error *err)
{
	AUTO(free) char *n = NULL, *v = NULL;

	while (*query && **query) {
		const char *item = *query;
		size_t size = strcspn(item, "&");
		const char *equal = memchr(item, '=', size);
		*query += size + (item[size] == '&');
		if (!equal)
			continue;
		size_t name_size = (size_t)(equal - item);
		if (decode(item, name_size, true, "option", &n, err) < 0 ||
			decode(equal + 1, size - name_size - 1, true, "option", &v,
				err) < 0)
			return -1;
		*name = steal(n);
		*value = steal(v);
		return 1;
	}
	return 0;
}
