/* SPDX-License-Identifier: Apache-2.0 */
/* domain.h - an instance as libvirt shows it at one moment. */
#ifndef COMPUTE_DOMAIN_H
#define COMPUTE_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "compute/disk.h"
#include "compute/host.h"

struct domain {
	virConnectPtr connection;
	virDomainPtr handle;
	int state; /* VIR_DOMAIN_RUNNING, ... */
	int id; /* of its process; -1 when it does not run */
	xmlDocPtr live; /* NULL when it does not run */
	xmlDocPtr config; /* what it is started with; NULL: it is transient */
};

/* 1 and *out; 0: there is no such instance. ERR_LOST: libvirt does not answer. */
int domain_open(
	struct host *host, const char *instance, struct domain *out, struct error *err);
/* Look again. 0: it is gone. */
int domain_look(struct domain *domain, struct error *err);
void domain_clear(struct domain *domain);
static inline __attribute__((unused)) void auto_domain_clear(struct domain *domain)
{
	domain_clear(domain);
}

/* libvirt's word for it: "running", "paused", "shut off", ... */
const char *domain_state_name(int state);

/* The disk of a volume, live or in the definition; NULL: none. */
xmlNodePtr domain_live_disk(const struct domain *domain, const char *volume_id);
xmlNodePtr domain_config_disk(const struct domain *domain, const char *volume_id);

/* What is done to it. xml: a disk. */
int domain_attach(
	struct domain *domain, const char *xml, unsigned flags, struct error *err);
int domain_detach(
	struct domain *domain, const char *xml, unsigned flags, struct error *err);
/* The definition's disk of this device becomes that one. */
int domain_redefine_disk(struct domain *domain, const char *xml, struct error *err);

/* The copy of a disk, by the name of its device. */
struct domain_job {
	uint64_t done, total, rate;
};
int domain_copy_start(struct domain *domain, const char *device, const char *xml,
	uint64_t rate, struct error *err);
/* 1 and *out; 0: there is none. */
int domain_copy_look(struct domain *domain, const char *device, struct domain_job *out,
	struct error *err);
int domain_copy_rate(
	struct domain *domain, const char *device, uint64_t rate, struct error *err);
int domain_copy_pivot(struct domain *domain, const char *device, struct error *err);
int domain_copy_abort(struct domain *domain, const char *device, struct error *err);

#endif
