/* SPDX-License-Identifier: Apache-2.0 */
/* Orders about a disk as a whole: which instance has it, attach, detach. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "common/fault.h"
#include "common/log.h"
#include "compute/domain.h"
#include "compute/orders.h"

#define NAP_MS 100

static int open_instance(struct hypervisor *hypervisor, const char *instance,
	struct domain *out, struct error *err)
{
	int there = domain_open(hypervisor->host, instance, out, err);

	if (there == 0)
		return error_set(err, ERR_NOT_FOUND,
			"instance '%s' is not on host '%s'", instance,
			hypervisor->settings->host);
	return there < 0 ? -1 : 0;
}

/* ---- find ---- */

static struct json_object *connector(
	const struct settings *settings, const char *instance)
{
	struct json_object *o = json_object_new_object();
	struct utsname name = { 0 };

	uname(&name);
	json_add_string(o, "host", settings->host);
	json_add_string(o, "ip", settings->my_ip ? settings->my_ip : "127.0.0.1");
	json_add_string(o, "instance", instance);
	json_add_bool(o, "nbd", true);
	json_add_string(o, "platform", name.machine);
	json_add_string(o, "os_type", "linux");
	json_add_bool(o, "multipath", false);
	return o;
}

/* It goes to all hosts: only the one that has the instance answers, and it only when it is
 * sure. */
int order_find_instance(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	AUTO(domain_clear) struct domain domain = { 0 };
	char instance[UUID_TEXT_SIZE];
	int there;

	if (order_id(args, "instance_id", instance, err) < 0)
		return -1;
	there = domain_open(hypervisor->host, instance, &domain, err);
	if (there < 0)
		log_warning("cannot say whether an instance is here instance=%s "
			    "reason='%s'",
			instance, err->text);
	if (there <= 0)
		return ORDER_SILENT;
	/* The host where it runs may have its definition too: that one comes first. */
	if (!domain.live)
		nanosleep(&(struct timespec) { .tv_nsec = 500000000 }, NULL);
	*result = json_object_new_object();
	json_add_string(*result, "host", hypervisor->settings->host);
	json_add_string(*result, "state", domain_state_name(domain.state));
	json_add(*result, "connector", connector(hypervisor->settings, instance));
	return 0;
}

/* ---- attach ---- */

struct attachment {
	char instance[UUID_TEXT_SIZE], volume[UUID_TEXT_SIZE];
	bool read_only;
	struct location location;
};

static int read_attachment(struct hypervisor *hypervisor, struct json_object *args,
	struct attachment *out, struct error *err)
{
	struct json_object *info;
	const char *mode;

	if (order_id(args, "instance_id", out->instance, err) < 0 ||
		order_id(args, "volume_id", out->volume, err) < 0 ||
		json_get_string_or(args, "mode", "rw", &mode, err) < 0 ||
		json_get_object(args, "connection_info", &info, err) < 0)
		return -1;
	if (strcmp(mode, "rw") != 0 && strcmp(mode, "ro") != 0)
		return error_set(err, ERR_INVALID_INPUT,
			"mode '%.16s' is neither rw nor ro", mode);
	out->read_only = strcmp(mode, "ro") == 0;
	return location_of_connection(hypervisor->settings, info, &out->location, err);
}

/* It is there already: as it is wanted? */
static int check_disk(
	xmlNodePtr disk, const struct attachment *attachment, struct error *err)
{
	struct location at;

	if (!disk)
		return 0;
	disk_location(disk, &at);
	if (!location_equal(&at, &attachment->location))
		return error_set(err, ERR_COMPUTE,
			"instance '%s' has volume '%s' already, from another place",
			attachment->instance, attachment->volume);
	if (disk_is_read_only(disk) != attachment->read_only)
		return error_set(err, ERR_COMPUTE,
			"instance '%s' has volume '%s' already, in another mode",
			attachment->instance, attachment->volume);
	return 0;
}

/* Where it is not yet: in the running guest, in the definition, or both. */
static int attach_missing(struct domain *domain, const struct attachment *attachment,
	char device[DISK_DEVICE_SIZE], struct error *err)
{
	xmlNodePtr live = domain_live_disk(domain, attachment->volume);
	xmlNodePtr config = domain_config_disk(domain, attachment->volume);
	AUTO(free) char *xml = NULL;
	unsigned flags = 0;

	if (check_disk(live, attachment, err) < 0 ||
		check_disk(config, attachment, err) < 0)
		return -1;
	if (live || config)
		disk_device(live ? live : config, device);
	else if (disk_free_device(domain->live, domain->config, device, err) < 0)
		return -1;
	if (domain->live && !live)
		flags |= VIR_DOMAIN_AFFECT_LIVE;
	if (domain->config && !config)
		flags |= VIR_DOMAIN_AFFECT_CONFIG;
	if (!flags)
		return 0;
	xml = disk_new_text(&attachment->location, device, attachment->volume,
		attachment->read_only);
	if (fault_point("compute.attach", err) < 0 ||
		domain_attach(domain, xml, flags, err) < 0)
		return -1;
	return fault_point("compute.attached", err);
}

int order_attach_volume(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	AUTO(domain_clear) struct domain domain = { 0 };
	struct attachment attachment = { .read_only = false };
	char device[DISK_DEVICE_SIZE], path[DISK_DEVICE_SIZE + 8];
	int rc;

	if (read_attachment(hypervisor, args, &attachment, err) < 0)
		return -1;
	if (swaps_lock(hypervisor->swaps, attachment.volume, err) < 0)
		return -1;
	rc = open_instance(hypervisor, attachment.instance, &domain, err);
	if (rc == 0)
		rc = attach_missing(&domain, &attachment, device, err);
	swaps_unlock(hypervisor->swaps, attachment.volume);
	if (rc < 0)
		return -1;
	log_info("attached instance=%s volume=%s device=%s", attachment.instance,
		attachment.volume, device);
	snprintf(path, sizeof(path), "/dev/%s", device);
	*result = json_object_new_object();
	json_add_string(*result, "device", path);
	return 0;
}

/* ---- detach ---- */

/* The definition first: a guest that is started again must not bring it back. */
static int detach_config(struct domain *domain, const char *volume, struct error *err)
{
	xmlNodePtr disk = domain_config_disk(domain, volume);
	AUTO(free) char *xml = disk ? disk_text(disk) : NULL;

	if (!disk)
		return 0;
	return domain_detach(domain, xml, VIR_DOMAIN_AFFECT_CONFIG, err);
}

/* Asked once; whether the guest lets go shows later. An order before this one may have
 * asked already. */
static void ask_guest(struct domain *domain, xmlNodePtr disk)
{
	AUTO(free) char *xml = disk_text(disk);
	struct error why;

	if (domain_detach(domain, xml, VIR_DOMAIN_AFFECT_LIVE, &why) < 0)
		log_debug("%s", why.text);
}

static int detach_live(struct hypervisor *hypervisor, struct domain *domain,
	const char *instance, const char *volume, struct error *err)
{
	const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
	double allowed = hypervisor->settings->compute_detach_timeout;
	double until = clock_seconds() + allowed, ask_again = 0;

	for (;;) {
		xmlNodePtr disk = domain_live_disk(domain, volume);
		int there;

		if (!disk)
			return 0;
		if (clock_seconds() > until)
			return error_set(err, ERR_TIMEOUT,
				"instance '%s' did not let go of volume '%s' within %g s",
				instance, volume, allowed);
		if (clock_seconds() >= ask_again) {
			ask_guest(domain, disk);
			ask_again = clock_seconds() + 5;
		} else {
			nanosleep(&nap, NULL);
		}
		there = domain_look(domain, err);
		if (there <= 0)
			return there;
	}
}

static int detach(struct hypervisor *hypervisor, const char *instance,
	const char *volume, struct error *err)
{
	AUTO(domain_clear) struct domain domain = { 0 };
	struct swap swap;
	int there;

	if (swaps_find_active(hypervisor->swaps, instance, volume, &swap))
		return error_set(err, ERR_COMPUTE,
			"volume '%s' of instance '%s' is going over to volume '%s'",
			volume, instance, swap.target);
	there = domain_open(hypervisor->host, instance, &domain, err);
	if (there <= 0)
		return there;
	if (detach_config(&domain, volume, err) < 0)
		return -1;
	if (fault_point("compute.detach", err) < 0)
		return -1;
	return detach_live(hypervisor, &domain, instance, volume, err);
}

int order_detach_volume(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	char instance[UUID_TEXT_SIZE], volume[UUID_TEXT_SIZE];
	int rc;

	if (order_id(args, "instance_id", instance, err) < 0 ||
		order_id(args, "volume_id", volume, err) < 0)
		return -1;
	if (swaps_lock(hypervisor->swaps, volume, err) < 0)
		return -1;
	rc = detach(hypervisor, instance, volume, err);
	swaps_unlock(hypervisor->swaps, volume);
	if (rc == 0)
		log_info("detached instance=%s volume=%s", instance, volume);
	return rc < 0 ? -1 : 0;
}
