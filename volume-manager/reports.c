/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/store/services.h"
#include "common/store/volumes.h"
#include "volume-manager/manager.h"

#define GIB 1073741824.0

void reports_look_at(struct managed *managed)
{
	struct error err;

	if (managed->looking) {
		/* Storage that does not answer: the service goes down by its heartbeat. */
		if (managed->missed && managed->healthy) {
			managed->healthy = false;
			log_error("backend '%s' does not answer",
				managed->settings->host);
		}
		managed->missed = true;
		return;
	}
	managed->missed = false;
	if (child_start(managed, CHILD_STATS, managed->settings->host, NULL, &err) <
		0) {
		log_error("%s", err.text);
		return;
	}
	managed->looking = true;
	managed->answered = false;
}

void reports_look(struct manager *manager)
{
	for (size_t i = 0; i < manager->count; i++)
		if (manager->managed[i].leased)
			reports_look_at(&manager->managed[i]);
}

/* A number that is whole in the configuration stays so. */
static void add_percentage(struct json_object *o, double percentage)
{
	if (percentage == (double)(int)percentage)
		json_add_int(o, "reserved_percentage", (int)percentage);
	else
		json_add_double(o, "reserved_percentage", percentage);
}

static void add_numbers(
	struct managed *managed, struct json_object *o, int64_t gib, int64_t count)
{
	const struct backend_settings *settings = managed->settings;
	double ratio;

	json_add_double(o, "total_capacity_gb", (double)managed->total_bytes / GIB);
	json_add_double(o, "free_capacity_gb", (double)managed->free_bytes / GIB);
	json_add_double(o, "provisioned_capacity_gb", (double)gib);
	json_add_int(o, "allocated_capacity_gb", gib);
	json_add_int(o, "total_volumes", count);
	add_percentage(o, settings->reserved_percentage);
	if (text_to_double(settings->max_over_subscription_ratio, &ratio, NULL) == 0)
		json_add_double(o, "max_over_subscription_ratio", ratio);
	else
		json_add_string(o, "max_over_subscription_ratio", "auto");
}

static void add_features(const struct managed *managed, struct json_object *o)
{
	json_add_bool(o, "thin_provisioning_support", managed->thin);
	json_add_bool(o, "thick_provisioning_support", !managed->thin);
	json_add_bool(o, "QoS_support", false);
	json_add_bool(o, "multiattach", false);
	json_add_bool(o, "online_extend_support", false);
	json_add_bool(o, "shared_targets", false);
	/* What a source may leave out because a new object of ours reads as zeroes. */
	json_add_bool(o, "sparse_copy_volume", true);
	json_add(o, "filter_function", NULL);
	json_add(o, "goodness_function", NULL);
}

/* Without a list of pools, as Cinder's nfs driver: schedulers take it for one that is
 * named like volume_backend_name. */
struct json_object *reports_capabilities(struct managed *managed)
{
	const struct backend_settings *settings = managed->settings;
	struct json_object *o;
	int64_t gib = 0, count = 0;
	struct error err;

	if (store_volume_usage(
		    managed->manager->db, settings->host, &gib, &count, &err) < 0)
		log_warning("a report counts no volumes: %s", err.text);
	if (reports_are_nfs(managed))
		return reports_nfs(managed, gib);
	o = json_object_new_object();
	json_add_string(o, "volume_backend_name", settings->volume_backend_name);
	json_add_string(o, "vendor_name", "Drover");
	json_add_string(o, "driver_version", PACKAGE_VERSION);
	json_add_string(o, "storage_protocol", "NBD");
	add_numbers(managed, o, gib, count);
	add_features(managed, o);
	json_add_string(o, "location_info", managed->location);
	json_add_string(o, "backend_state", managed->healthy ? "up" : "down");
	return o;
}

static void timestamp(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + used, size - used, ".%06ld", now.tv_nsec / 1000);
}

/* Always the pair, as Cinder: to every scheduler, and to one of them. */
static void publish(struct managed *managed)
{
	struct rpc *rpc = managed->manager->rpc;
	struct json_object *capabilities = reports_capabilities(managed);
	AUTO(json_object_put) struct json_object *all = json_object_new_object();
	AUTO(json_object_put) struct json_object *one = json_object_new_object();
	struct error err;
	char now[64];

	timestamp(now, sizeof(now));
	json_add_string(all, "service_name", "volume");
	json_add_string(all, "host", managed->settings->host);
	json_add(all, "capabilities", json_object_get(capabilities));
	json_add(all, "cluster_name", NULL);
	json_add_string(all, "timestamp", now);
	json_add_string(one, "service_name", "volume");
	json_add_string(one, "backend", managed->settings->host);
	json_add(one, "capabilities", capabilities);
	json_add_string(one, "timestamp", now);
	if (rpc_fanout(rpc, SCHEDULER_BINARY, "update_service_capabilities", "3.3", all,
		    &err) < 0 ||
		rpc_cast(rpc, SCHEDULER_BINARY, NULL, false,
			"notify_service_capabilities", "3.5", NULL, one, &err) < 0)
		log_debug("a report was not sent: %s", err.text);
}

int reports_register(struct managed *managed, struct error *err)
{
	struct manager *manager = managed->manager;
	const struct backend_settings *settings = managed->settings;
	char uuid[UUID_TEXT_SIZE];

	if (!managed->serving || !managed->healthy)
		return 0;
	if (!rpc_is_ready(manager->rpc))
		return store_service_beat(
			       manager->db, settings->host, VOLUME_BINARY, err) < 0
			? -1
			: 0;
	if (store_service_register(manager->db, settings->host, VOLUME_BINARY,
		    settings->availability_zone, VOLUME_RPC_VERSION, uuid, err) < 0)
		return -1;
	if (!managed->registered)
		log_info("backend is served host=%s service=%s", settings->host, uuid);
	managed->registered = true;
	return 0;
}

static int serve(struct managed *managed, struct error *err)
{
	struct manager *manager = managed->manager;
	const struct backend_settings *settings = managed->settings;
	struct address address;
	char topic[ADDRESS_SIZE + 16];

	if (address_parse(settings->host, &address, err) < 0)
		return -1;
	address_topic(&address, topic);
	/* The two servers of a Cinder backend: 3.6 and later clients send to the second. */
	const struct rpc_service services[] = {
		{ VOLUME_BINARY, settings->host, VOLUME_RPC_VERSION, manager_methods,
			managed },
		{ topic, address.host, VOLUME_RPC_VERSION, manager_methods, managed },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(services); i++)
		if (rpc_serve(manager->rpc, &services[i], err) < 0)
			return -1;
	managed->serving = true;
	manager_scan_in(manager, 0);
	if (!rpc_is_ready(manager->rpc))
		log_info("backend is usable, and registered when the broker is reached"
			 " host=%s",
			settings->host);
	return reports_register(managed, err);
}

void reports_ready(struct manager *manager)
{
	struct error err;

	for (size_t i = 0; i < manager->count; i++) {
		struct managed *managed = &manager->managed[i];

		if (managed->registered || !managed->serving)
			continue;
		if (reports_register(managed, &err) == 0)
			publish(managed);
		else
			log_warning("the next beat registers it again: %s", err.text);
	}
}

static void became_unhealthy(struct managed *managed, const char *why)
{
	if (managed->healthy || strcmp(managed->trouble, why) != 0)
		log_error("backend is not usable host=%s: %s", managed->settings->host,
			why);
	snprintf(managed->trouble, sizeof(managed->trouble), "%s", why);
	managed->healthy = false;
}

static int take(struct managed *managed, const char *text, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	const char *trouble, *location;
	int64_t total, free_bytes;

	if (json_parse(text, strlen(text), &o, err) < 0 ||
		json_get_string_or(o, "error", NULL, &trouble, err) < 0)
		return -1;
	if (trouble) {
		became_unhealthy(managed, trouble);
		return 0;
	}
	if (json_get_int(o, "total", 0, INT64_MAX, &total, err) < 0 ||
		json_get_int(o, "free", 0, INT64_MAX, &free_bytes, err) < 0 ||
		json_get_bool_or(o, "thin", true, &managed->thin, err) < 0 ||
		json_get_string_or(o, "location", "", &location, err) < 0)
		return -1;
	managed->total_bytes = (uint64_t)total;
	managed->free_bytes = (uint64_t)free_bytes;
	snprintf(managed->location, sizeof(managed->location), "%s", location);
	if (!managed->healthy && managed->trouble[0])
		log_info("backend is usable again host=%s", managed->settings->host);
	managed->healthy = true;
	managed->trouble[0] = '\0';
	if (!managed->serving && serve(managed, err) < 0)
		return -1;
	publish(managed);
	return 0;
}

void reports_take(struct manager *manager, const char *backend, const char *text)
{
	struct managed *managed = manager_find(manager, backend);
	struct error err;

	if (!managed)
		return;
	if (!text) {
		managed->looking = false;
		/* No worker can run, or it died of the storage. */
		if (!managed->answered)
			became_unhealthy(
				managed, "a look at it ended without an answer");
		return;
	}
	managed->answered = true;
	if (take(managed, text, &err) < 0)
		log_warning(
			"a look at backend '%s' was of no use: %s", backend, err.text);
}
