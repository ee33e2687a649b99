/* SPDX-License-Identifier: Apache-2.0 */
/* Orders about swaps. */
#include "compute/orders.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "common/address.h"
#include "common/fault.h"
#include "common/log.h"
#include "compute/domain.h"

struct key {
	char instance[UUID_TEXT_SIZE], volume[UUID_TEXT_SIZE], target[UUID_TEXT_SIZE];
};

int order_id(struct json_object *args, const char *key, char out[UUID_TEXT_SIZE],
	struct error *err)
{
	const char *text;

	if (json_get_string(args, key, &text, err) < 0)
		return -1;
	if (!uuid_is(text))
		return error_set(
			err, ERR_INVALID_INPUT, "'%s' is no id but '%.64s'", key, text);
	for (size_t i = 0; i < UUID_TEXT_SIZE; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	return 0;
}

static int read_key(struct json_object *args, struct key *out, struct error *err)
{
	if (order_id(args, "instance_id", out->instance, err) < 0 ||
		order_id(args, "volume_id", out->volume, err) < 0 ||
		order_id(args, "target_id", out->target, err) < 0)
		return -1;
	if (strcmp(out->volume, out->target) == 0)
		return error_set(
			err, ERR_INVALID_INPUT, "a volume cannot go over to itself");
	return 0;
}

static int save(void *arg, const struct swap *swap, struct error *err)
{
	struct hypervisor *hypervisor = arg;

	if (fault_point("compute.save", err) < 0)
		return -1;
	return swaps_save(hypervisor->swaps, swap, err);
}

static struct swap_run runner(struct hypervisor *hypervisor)
{
	return (struct swap_run) {
		.host = hypervisor->host, .save = save, .arg = hypervisor
	};
}

/* ---- status ---- */

static bool disk_is_at(xmlNodePtr disk, const struct location *location)
{
	struct location at;

	if (!disk)
		return false;
	disk_location(disk, &at);
	return location_equal(&at, location);
}

static void add_sight(struct json_object *o, const struct domain *domain,
	const struct key *key, const struct swap *swap)
{
	xmlDocPtr shown = domain->live ? domain->live : domain->config;
	xmlNodePtr disk = disk_of_volume(shown, key->volume);
	bool source, target;

	if (swap && swap->from.kind != LOCATION_NONE) {
		source = disk_is_at(disk, &swap->from);
		target = disk_is_at(disk, &swap->to);
	} else { /* it was never ordered here: nothing but names to go by */
		source = disk != NULL;
		target = disk_of_volume(shown, key->target) != NULL;
	}
	json_add_bool(o, "source", source);
	json_add_bool(o, "target", target);
}

/* The step is looked at before the guest: what is over does not change any more. */
static int status(struct hypervisor *hypervisor, const struct key *key,
	struct json_object **result, struct error *err)
{
	AUTO(domain_clear) struct domain domain = { 0 };
	struct json_object *o;
	struct swap swap;
	bool found = swaps_find(
		hypervisor->swaps, key->instance, key->volume, key->target, &swap);
	int there = domain_open(hypervisor->host, key->instance, &domain, err);

	if (there < 0)
		return -1;
	o = json_object_new_object();
	json_add_string(o, "state", found ? swap_state(&swap) : "none");
	json_add_int(o, "done", found ? (int64_t)swap.done : 0);
	json_add_int(o, "total", found ? (int64_t)swap.total : 0);
	json_add_string(o, "reason", found ? swap.reason : "");
	json_add_bool(o, "pivoted", found && swap.pivots > 0);
	json_add_int(o, "rate", found ? (int64_t)swap.rate : 0);
	json_add_string(
		o, "instance", there ? domain_state_name(domain.state) : "gone");
	add_sight(o, &domain, key, found ? &swap : NULL);
	*result = o;
	return 0;
}

int order_swap_status(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	struct key key;

	if (read_key(args, &key, err) < 0)
		return -1;
	return status(hypervisor, &key, result, err);
}

/* ---- swap ---- */

static int check_answer_to(const char *text, struct error *err)
{
	struct address address;

	if (address_parse(text, &address, err) < 0)
		return error_context(err, "answer_to");
	if (address.pool[0])
		return error_set(
			err, ERR_INVALID_INPUT, "answer_to: '%s' is a pool", text);
	return 0;
}

static int read_order(struct hypervisor *hypervisor, struct json_object *args,
	const struct key *key, struct swap *out, struct error *err)
{
	const char *answer_to, *mode;
	struct json_object *info;
	int64_t rate;

	if (json_get_string(args, "answer_to", &answer_to, err) < 0 ||
		json_get_string_or(args, "mode", "rw", &mode, err) < 0 ||
		json_get_int_or(args, "rate", 0, INT64_MAX, 0, &rate, err) < 0 ||
		json_get_object(args, "connection_info", &info, err) < 0 ||
		check_answer_to(answer_to, err) < 0)
		return -1;
	memcpy(out->instance, key->instance, UUID_TEXT_SIZE);
	memcpy(out->volume, key->volume, UUID_TEXT_SIZE);
	memcpy(out->target, key->target, UUID_TEXT_SIZE);
	text_copy(out->answer_to, sizeof(out->answer_to), answer_to);
	out->read_only = strcmp(mode, "ro") == 0;
	out->rate = (uint64_t)rate;
	out->domain_id = -1;
	return location_of_connection(hypervisor->settings, info, &out->to, err);
}

static int check_disk(struct domain *domain, struct swap *swap, struct error *err)
{
	xmlNodePtr disk = domain_live_disk(domain, swap->volume);
	struct mirror mirror;
	const char *obstacle;

	if (!disk)
		return error_set(err, ERR_COMPUTE,
			"instance '%s' does not have volume '%s'", swap->instance,
			swap->volume);
	disk_location(disk, &swap->from);
	obstacle = disk_obstacle(disk);
	if (!obstacle && swap->from.kind == LOCATION_OTHER)
		obstacle = "it is of a kind that is not known here";
	if (!obstacle && disk_mirror(disk, &mirror))
		obstacle = "another job is running on it";
	if (obstacle)
		return error_set(err, ERR_COMPUTE,
			"the disk of volume '%s' cannot be swapped: %s", swap->volume,
			obstacle);
	return 0;
}

/* May it be done? Fills in where the disk is now. */
static int check_instance(
	struct hypervisor *hypervisor, struct swap *swap, struct error *err)
{
	AUTO(domain_clear) struct domain domain = { 0 };
	int there = domain_open(hypervisor->host, swap->instance, &domain, err);

	if (there < 0)
		return -1;
	if (!there)
		return error_set(err, ERR_NOT_FOUND,
			"instance '%s' is not on host '%s'", swap->instance,
			hypervisor->settings->host);
	if (domain.state != VIR_DOMAIN_RUNNING && domain.state != VIR_DOMAIN_PAUSED &&
		domain.state != VIR_DOMAIN_BLOCKED)
		return error_set(err, ERR_COMPUTE,
			"instance '%s' is %s: only the disk of a running or paused one "
			"can be swapped",
			swap->instance, domain_state_name(domain.state));
	if (!domain.config)
		return error_set(err, ERR_COMPUTE,
			"instance '%s' is transient: nothing keeps it from being started "
			"with its old disk",
			swap->instance);
	return check_disk(&domain, swap, err);
}

/* Called with the volume's lock. */
static int order_swap(struct hypervisor *hypervisor, struct json_object *args,
	const struct key *key, struct error *err)
{
	struct swap swap = { .step = SWAP_ORDERED }, other;

	if (swaps_find(hypervisor->swaps, key->instance, key->volume, key->target,
		    &other)) {
		if (other.step == SWAP_CANCELLED || other.step == SWAP_CANCELLING)
			return error_set(err, ERR_CANCELLED,
				"the swap of volume '%s' to volume '%s' was cancelled",
				key->volume, key->target);
		return 0;
	}
	if (swaps_find_active(hypervisor->swaps, key->instance, key->volume, &other))
		return error_set(err, ERR_COMPUTE,
			"volume '%s' is already going over to volume '%s'", key->volume,
			other.target);
	if (read_order(hypervisor, args, key, &swap, err) < 0 ||
		check_instance(hypervisor, &swap, err) < 0)
		return -1;
	/* It was done before, and that was forgotten. */
	if (location_equal(&swap.from, &swap.to))
		swap.step = SWAP_PIVOTED;
	if (fault_point("compute.order", err) < 0 || save(hypervisor, &swap, err) < 0)
		return -1;
	log_info("swap ordered instance=%s volume=%s target=%s answer_to=%s",
		swap.instance, swap.volume, swap.target, swap.answer_to);
	return fault_point("compute.ordered", err);
}

int order_swap_volume(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	struct key key;
	int rc;

	if (read_key(args, &key, err) < 0)
		return -1;
	if (swaps_lock(hypervisor->swaps, key.volume, err) < 0)
		return -1;
	rc = order_swap(hypervisor, args, &key, err);
	swaps_unlock(hypervisor->swaps, key.volume);
	return rc < 0 ? -1 : status(hypervisor, &key, result, err);
}

/* ---- what is done to one that was ordered ---- */

static int cancel(
	struct hypervisor *hypervisor, const struct key *key, struct error *err)
{
	struct swap_run run = runner(hypervisor);
	struct swap swap = { .step = SWAP_CANCELLED };
	int rc;

	if (swaps_find(hypervisor->swaps, key->instance, key->volume, key->target,
		    &swap)) {
		rc = swap_cancel(&run, &swap, err);
		swaps_note(hypervisor->swaps, &swap);
		return rc;
	}
	memcpy(swap.instance, key->instance, UUID_TEXT_SIZE);
	memcpy(swap.volume, key->volume, UUID_TEXT_SIZE);
	memcpy(swap.target, key->target, UUID_TEXT_SIZE);
	text_copy(swap.reason, sizeof(swap.reason), "it was cancelled");
	swap.domain_id = -1;
	swap.answered = true;
	swap.ended_at = time(NULL);
	return save(hypervisor, &swap, err);
}

int order_swap_cancel(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	struct key key;
	int rc;

	if (read_key(args, &key, err) < 0)
		return -1;
	if (swaps_lock(hypervisor->swaps, key.volume, err) < 0)
		return -1;
	rc = cancel(hypervisor, &key, err);
	swaps_unlock(hypervisor->swaps, key.volume);
	return rc < 0 ? -1 : status(hypervisor, &key, result, err);
}

/* Called with the volume's lock. */
static int change(struct hypervisor *hypervisor, const struct key *key,
	const int64_t *rate, const bool *moved, struct error *err)
{
	struct swap_run run = runner(hypervisor);
	struct swap swap;
	int rc;

	if (!swaps_find(
		    hypervisor->swaps, key->instance, key->volume, key->target, &swap))
		return 0;
	if (rate && !swap_is_over(&swap)) {
		swap.rate = (uint64_t)*rate;
		return save(hypervisor, &swap, err);
	}
	if (!moved)
		return 0;
	rc = swap_resolve(&run, &swap, *moved, err);
	swaps_note(hypervisor->swaps, &swap);
	return rc;
}

int order_swap_rate(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	struct key key;
	int64_t rate;
	int rc;

	if (read_key(args, &key, err) < 0 ||
		json_get_int(args, "rate", 0, INT64_MAX, &rate, err) < 0)
		return -1;
	if (swaps_lock(hypervisor->swaps, key.volume, err) < 0)
		return -1;
	rc = change(hypervisor, &key, &rate, NULL, err);
	swaps_unlock(hypervisor->swaps, key.volume);
	return rc < 0 ? -1 : status(hypervisor, &key, result, err);
}

int order_swap_resolve(struct hypervisor *hypervisor, struct json_object *args,
	struct json_object **result, struct error *err)
{
	struct key key;
	bool moved;
	int rc;

	if (read_key(args, &key, err) < 0)
		return -1;
	if (!json_object_object_get(args, "moved"))
		return error_set(err, ERR_INVALID_INPUT, "'moved' is missing");
	if (json_get_bool_or(args, "moved", false, &moved, err) < 0)
		return -1;
	if (swaps_lock(hypervisor->swaps, key.volume, err) < 0)
		return -1;
	rc = change(hypervisor, &key, NULL, &moved, err);
	swaps_unlock(hypervisor->swaps, key.volume);
	return rc < 0 ? -1 : status(hypervisor, &key, result, err);
}

int order_advance(
	struct hypervisor *hypervisor, const struct swap *key, struct error *err)
{
	struct swap_run run = runner(hypervisor);
	struct swap swap;
	int rc = 0;

	if (swaps_lock(hypervisor->swaps, key->volume, err) < 0)
		return -1;
	if (swaps_find(hypervisor->swaps, key->instance, key->volume, key->target,
		    &swap)) {
		rc = swap_advance(&run, &swap, err);
		swaps_note(hypervisor->swaps, &swap);
	}
	swaps_unlock(hypervisor->swaps, key->volume);
	return rc;
}
