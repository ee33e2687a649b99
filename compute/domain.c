/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/domain.h"

#include <libvirt/virterror.h>

#define ATTEMPTS 5

const char *domain_state_name(int state)
{
	static const char *const names[] = {
		[VIR_DOMAIN_NOSTATE] = "no state",
		[VIR_DOMAIN_RUNNING] = "running",
		[VIR_DOMAIN_BLOCKED] = "idle",
		[VIR_DOMAIN_PAUSED] = "paused",
		[VIR_DOMAIN_SHUTDOWN] = "in shutdown",
		[VIR_DOMAIN_SHUTOFF] = "shut off",
		[VIR_DOMAIN_CRASHED] = "crashed",
		[VIR_DOMAIN_PMSUSPENDED] = "pmsuspended",
	};

	if (state < 0 || (size_t)state >= ARRAY_SIZE(names))
		return "no state";
	return names[state];
}

void domain_clear(struct domain *domain)
{
	xmlFreeDoc(domain->live);
	xmlFreeDoc(domain->config);
	if (domain->handle)
		virDomainFree(domain->handle);
	if (domain->connection)
		virConnectClose(domain->connection);
	*domain = (struct domain) { 0 };
}

/* Does the last error say that there is no such domain? */
static bool is_missing(void)
{
	return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
}

static int read_xml(
	struct domain *domain, unsigned flags, xmlDocPtr *out, struct error *err)
{
	AUTO(free) char *xml = virDomainGetXMLDesc(domain->handle, flags);

	if (!xml)
		return is_missing() ? 0
				    : host_error(domain->connection, err,
					      "read an instance's definition");
	return disk_parse(xml, out, err) < 0 ? -1 : 1;
}

/* 1; 0: it is gone; -2: it changed while it was looked at. */
static int look_once(struct domain *domain, struct error *err)
{
	AUTO(xmlFreeDoc) xmlDocPtr live = NULL;
	AUTO(xmlFreeDoc) xmlDocPtr config = NULL;
	int state, persistent = virDomainIsPersistent(domain->handle), rc = 1;
	virDomainPtr handle = domain->handle;

	if (persistent < 0 || virDomainGetState(handle, &state, NULL, 0) < 0)
		return is_missing()
			? 0
			: host_error(domain->connection, err, "look at an instance");
	/* Of one that has crashed the process may be kept. */
	if (virDomainIsActive(handle) == 1)
		rc = read_xml(domain, 0, &live, err);
	if (rc == 1 && persistent)
		rc = read_xml(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE,
			&config, err);
	if (rc != 1)
		return rc;
	/* The XML of one that has just ended is its definition. */
	rc = virDomainIsActive(handle);
	if (rc < 0)
		return is_missing()
			? 0
			: host_error(domain->connection, err, "look at an instance");
	if ((rc == 1) != (live != NULL))
		return -2;
	xmlFreeDoc(domain->live);
	xmlFreeDoc(domain->config);
	domain->live = steal(live);
	domain->config = steal(config);
	domain->state = state;
	domain->id = domain->live ? (int)virDomainGetID(handle) : -1;
	return 1;
}

int domain_look(struct domain *domain, struct error *err)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		int rc = look_once(domain, err);

		if (rc != -2)
			return rc;
	}
	return error_set(err, ERR_TIMEOUT, "the instance starts and ends all the time");
}

/* virDomainGetID() is of the handle: it is looked up anew each time. */
int domain_open(
	struct host *host, const char *instance, struct domain *out, struct error *err)
{
	AUTO(domain_clear) struct domain domain = { 0 };
	int rc;

	if (host_connect(host, &domain.connection, err) < 0)
		return -1;
	domain.handle = virDomainLookupByUUIDString(domain.connection, instance);
	if (!domain.handle)
		return is_missing()
			? 0
			: host_error(domain.connection, err, "look for an instance");
	rc = domain_look(&domain, err);
	if (rc == 1) {
		*out = domain;
		domain = (struct domain) { 0 };
	}
	return rc;
}

xmlNodePtr domain_live_disk(const struct domain *domain, const char *volume_id)
{
	return disk_of_volume(domain->live, volume_id);
}

xmlNodePtr domain_config_disk(const struct domain *domain, const char *volume_id)
{
	return disk_of_volume(domain->config, volume_id);
}

/* ---- what is done to it ---- */

int domain_attach(
	struct domain *domain, const char *xml, unsigned flags, struct error *err)
{
	if (!xml)
		return error_no_memory(err);
	if (virDomainAttachDeviceFlags(domain->handle, xml, flags) < 0)
		return host_error(domain->connection, err, "attach the disk");
	return 0;
}

int domain_detach(
	struct domain *domain, const char *xml, unsigned flags, struct error *err)
{
	if (!xml)
		return error_no_memory(err);
	if (virDomainDetachDeviceFlags(domain->handle, xml, flags) < 0)
		return host_error(domain->connection, err, "detach the disk");
	return 0;
}

int domain_redefine_disk(struct domain *domain, const char *xml, struct error *err)
{
	if (!xml)
		return error_no_memory(err);
	if (virDomainUpdateDeviceFlags(domain->handle, xml, VIR_DOMAIN_AFFECT_CONFIG) <
		0)
		return host_error(
			domain->connection, err, "change the instance's definition");
	return 0;
}

/* ---- the copy ---- */

int domain_copy_start(struct domain *domain, const char *device, const char *xml,
	uint64_t rate, struct error *err)
{
	virTypedParameter bandwidth = {
		.field = VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
		.type = VIR_TYPED_PARAM_ULLONG,
		.value.ul = rate,
	};
	const unsigned flags =
		VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;

	if (!xml)
		return error_no_memory(err);
	if (virDomainBlockCopy(
		    domain->handle, device, xml, &bandwidth, rate ? 1 : 0, flags) < 0)
		return host_error(domain->connection, err, "start the copy");
	return 0;
}

int domain_copy_look(struct domain *domain, const char *device, struct domain_job *out,
	struct error *err)
{
	virDomainBlockJobInfo info = { 0 };
	int rc = virDomainGetBlockJobInfo(domain->handle, device, &info,
		VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES);

	if (rc < 0)
		return host_error(domain->connection, err, "look at the copy");
	out->done = info.cur;
	out->total = info.end;
	out->rate = info.bandwidth;
	return rc;
}

int domain_copy_rate(
	struct domain *domain, const char *device, uint64_t rate, struct error *err)
{
	if (virDomainBlockJobSetSpeed(domain->handle, device, rate,
		    VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES) < 0)
		return host_error(domain->connection, err, "set the copy's rate");
	return 0;
}

int domain_copy_pivot(struct domain *domain, const char *device, struct error *err)
{
	if (virDomainBlockJobAbort(
		    domain->handle, device, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) < 0)
		return host_error(domain->connection, err, "go over to the new disk");
	return 0;
}

int domain_copy_abort(struct domain *domain, const char *device, struct error *err)
{
	if (virDomainBlockJobAbort(domain->handle, device, 0) < 0)
		return host_error(domain->connection, err, "end the copy");
	return 0;
}
