/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <libvirt/virterror.h>

#include "common/log.h"

/* A daemon that is silent for so long is gone, and what waits for it is woken. */
#define PROBE_S 5
#define PROBES 4

struct host {
	const char *uri;
	pthread_mutex_t lock; /* of connection */
	virConnectPtr connection; /* NULL: none */
	bool said; /* a line has told that there is none */
	pthread_t events;
	bool has_events; /* the thread runs */
	atomic_bool stopping;
	int tick; /* wakes the event loop up now and then */
};

/* libvirt would print every error on standard error. */
static void be_silent(void *arg, virErrorPtr error)
{
}

static void on_tick(int timer, void *arg)
{
}

static void *run_events(void *arg)
{
	struct host *host = arg;

	while (!atomic_load(&host->stopping))
		if (virEventRunDefaultImpl() < 0)
			log_warning(
				"libvirt's event loop: %s", virGetLastErrorMessage());
	return NULL;
}

int host_new(const char *uri, struct host **out, struct error *err)
{
	AUTO(host_free) struct host *host = calloc(1, sizeof(*host));

	if (!host)
		return error_no_memory(err);
	host->uri = uri;
	pthread_mutex_init(&host->lock, NULL);
	virSetErrorFunc(NULL, be_silent);
	if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
		return error_set(err, ERR_COMPUTE, "cannot begin with libvirt: %s",
			virGetLastErrorMessage());
	host->tick = virEventAddTimeout(500, on_tick, NULL, NULL);
	if (pthread_create(&host->events, NULL, run_events, host) != 0)
		return error_set(err, ERR_NO_MEMORY, "cannot start a thread");
	host->has_events = true;
	*out = steal(host);
	return 0;
}

void host_free(struct host *host)
{
	if (!host)
		return;
	atomic_store(&host->stopping, true);
	if (host->connection)
		virConnectClose(host->connection);
	if (host->has_events)
		pthread_join(host->events, NULL);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

/* Called with the lock. */
static int connect_now(struct host *host, struct error *err)
{
	virConnectPtr connection = virConnectOpen(host->uri);

	if (!connection) {
		error_set(err, ERR_LOST, "libvirt does not answer at '%s': %s",
			host->uri, virGetLastErrorMessage());
		if (!host->said)
			log_warning("%s", err->text);
		host->said = true;
		return -1;
	}
	if (virConnectSetKeepAlive(connection, PROBE_S, PROBES) < 0)
		log_debug("libvirt takes no keepalive: %s", virGetLastErrorMessage());
	log_info("connected to libvirt uri=%s", host->uri);
	host->said = false;
	host->connection = connection;
	return 0;
}

int host_connect(struct host *host, virConnectPtr *out, struct error *err)
{
	struct error why;
	int rc = 0;

	pthread_mutex_lock(&host->lock);
	if (host->connection && virConnectIsAlive(host->connection) != 1) {
		log_warning("the connection to libvirt is lost");
		virConnectClose(steal(host->connection));
	}
	if (!host->connection)
		rc = connect_now(host, &why);
	if (rc == 0) {
		virConnectRef(host->connection);
		*out = host->connection;
	}
	pthread_mutex_unlock(&host->lock);
	if (rc < 0 && err)
		*err = why;
	return rc;
}

int host_error(virConnectPtr connection, struct error *err, const char *what)
{
	/* Asking for the connection's state would overwrite it. */
	virErrorPtr last = virSaveLastError();
	const char *words = last && last->message ? last->message : "no reason given";
	bool busy = last && last->code == VIR_ERR_OPERATION_TIMEOUT;
	bool lost = virConnectIsAlive(connection) != 1;
	enum error_code code = lost ? ERR_LOST : busy ? ERR_TIMEOUT : ERR_COMPUTE;

	error_set(err, code, "%s: %s", what, words);
	virFreeError(last);
	return -1;
}
