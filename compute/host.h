/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - the connection to this host's libvirt, made again when it is lost.
 *
 * Its calls block: they are made by the threads of jobs.h, any number at once. A thread of
 * its own runs libvirt's event loop, which notices a daemon that hangs.
 */
#ifndef COMPUTE_HOST_H
#define COMPUTE_HOST_H

#include <libvirt/libvirt.h>

#include "common/auto.h"
#include "common/error.h"

struct host;

static inline __attribute__((unused)) void auto_virConnectClose(
	virConnectPtr *connection)
{
	if (*connection)
		virConnectClose(*connection);
}

static inline __attribute__((unused)) void auto_virDomainFree(virDomainPtr *domain)
{
	if (*domain)
		virDomainFree(*domain);
}

/* Nothing is connected yet. uri is borrowed. Once in a process. */
int host_new(const char *uri, struct host **out, struct error *err);
void host_free(struct host *host);
DEFINE_AUTO(struct host *, host_free)

/* The connection, made now if there is none; the caller's to close. ERR_LOST: libvirt does
 * not answer now. */
int host_connect(struct host *host, virConnectPtr *out, struct error *err);

/* *err from what libvirt said last in this thread: "what: its words". ERR_LOST when the
 * connection is gone, so that nothing is known of the call; ERR_COMPUTE: libvirt refused. */
int host_error(virConnectPtr connection, struct error *err, const char *what);

#endif
