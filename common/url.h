/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - the two URLs of a cinder.conf. */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include <stddef.h>

#include "common/auto.h"
#include "common/error.h"

/* [database] connection -> a libpq connection string, malloc'd.
 * Takes postgresql:// and postgresql+psycopg2:// (and postgres://) as SQLAlchemy writes
 * them: user, password, host, port, database percent-decoded; several hosts as
 * ?host=a:5432&host=b:5432; host=/dir for a socket; other query items become libpq
 * parameters (sslmode, sslrootcert, application_name, ...), unknown ones are refused.
 * Unless the URL sets them, adds target_session_attrs=read-write, connect_timeout=3,
 * keepalives=1 keepalives_idle=10 keepalives_interval=5 keepalives_count=3
 * tcp_user_timeout=15000, client_encoding=UTF8 and
 * options='-c TimeZone=UTC -c statement_timeout=5s -c lock_timeout=3s'.
 * mysql:// and sqlite:// get one sentence that says PostgreSQL is needed. ERR_CONFIG. */
int url_to_conninfo(const char *url, char **out, struct error *err);

/* transport_url: rabbit://user:pw@h1:5672,user:pw@h2:5672/vhost?ssl=1 ... */
struct rabbit_host {
	char *host;
	int port; /* 5672 (5671 with TLS when the caller says so) if the URL has none: 0 */
	char *user, *password; /* "guest" each if absent */
};
struct rabbit_url {
	struct rabbit_host *hosts; /* at least one */
	size_t host_count;
	char *vhost; /* "/" if absent or empty, as oslo.messaging does */
	char *query; /* options behind '?', still encoded; NULL: none */
};
int rabbit_url_parse(const char *url, struct rabbit_url *out, struct error *err);
void rabbit_url_clear(struct rabbit_url *url);
/* The next name=value of a query, decoded, malloc'd: 1, or 0 at the end. *query moves on. */
int rabbit_url_next_option(
	const char **query, char **name, char **value, struct error *err);

#endif
