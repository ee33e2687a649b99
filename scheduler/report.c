/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/address.h"
#include "common/text.h"

#define MOST_GIB 1e12

/* ---- one pool of a report ---- */

static int get_amount(
	struct json_object *o, const char *key, struct amount *out, struct error *err)
{
	struct json_object *value = NULL;

	*out = (struct amount) { AMOUNT_NUMBER, 0 };
	if (!json_object_object_get_ex(o, key, &value))
		return 0;
	if (!value) {
		out->kind = AMOUNT_NONE;
		return 0;
	}
	if (json_object_is_type(value, json_type_string)) {
		const char *text = json_object_get_string(value);

		if (strcmp(text, "infinite") == 0)
			out->kind = AMOUNT_INFINITE;
		else if (strcmp(text, "unknown") == 0)
			out->kind = AMOUNT_UNKNOWN;
		else
			return error_set(err, ERR_INVALID_INPUT,
				"'%s' is neither a number nor infinite nor unknown",
				key);
		return 0;
	}
	if (json_get_double_or(o, key, 0, &out->gib, err) < 0)
		return -1;
	if (fabs(out->gib) > MOST_GIB)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is out of range", key);
	return 0;
}

static int get_number(struct json_object *o, const char *key, double fallback,
	double max, double *out, struct error *err)
{
	if (json_get_double_or(o, key, fallback, out, err) < 0)
		return -1;
	if (*out < 0 || *out > max)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is out of range", key);
	return 0;
}

/* A boolean, or its name as some drivers send it. */
static int get_flag(
	struct json_object *o, const char *key, bool *out, struct error *err)
{
	struct json_object *value = json_object_object_get(o, key);

	if (!value || !json_object_is_type(value, json_type_string))
		return json_get_bool_or(o, key, false, out, err);
	*out = strcasecmp(json_object_get_string(value), "true") == 0;
	if (!*out && strcasecmp(json_object_get_string(value), "false") != 0)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is no boolean", key);
	return 0;
}

/* A number, a number in quotes (LVM), or "auto". */
static int get_ratio(
	struct json_object *o, double fallback, struct capacity *c, struct error *err)
{
	static const char key[] = "max_over_subscription_ratio";
	struct json_object *value = json_object_object_get(o, key);

	if (!value || !json_object_is_type(value, json_type_string))
		return get_number(o, key, fallback, MOST_GIB, &c->ratio, err);
	c->ratio_auto = strcmp(json_object_get_string(value), "auto") == 0;
	if (c->ratio_auto)
		return 0;
	if (text_to_double(json_object_get_string(value), &c->ratio, err) < 0)
		return error_context(err, "'%s'", key);
	if (c->ratio < 0 || c->ratio > MOST_GIB)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is out of range", key);
	return 0;
}

static int read_capacity(struct json_object *o, double default_ratio,
	struct capacity *c, struct error *err)
{
	if (get_amount(o, "total_capacity_gb", &c->total, err) < 0 ||
		get_amount(o, "free_capacity_gb", &c->free, err) < 0 ||
		get_number(o, "allocated_capacity_gb", 0, MOST_GIB, &c->allocated,
			err) < 0 ||
		get_number(o, "provisioned_capacity_gb", c->allocated, MOST_GIB,
			&c->provisioned, err) < 0 ||
		get_number(o, "reserved_percentage", 0, 100, &c->reserved_percentage,
			err) < 0 ||
		get_flag(o, "thin_provisioning_support", &c->thin, err) < 0 ||
		get_flag(o, "thick_provisioning_support", &c->thick, err) < 0)
		return -1;
	return get_ratio(o, default_ratio, c, err);
}

/* One protocol has several spellings; peers are shown all of them. */
static struct json_object *protocol_aliases(struct json_object *protocol)
{
	static const char *const families[][4] = {
		{ "iSCSI", "iscsi" },
		{ "FC", "fibre_channel", "fc" },
		{ "NFS", "nfs" },
		{ "NVMe-oF", "NVMeOF", "nvmeof" },
	};
	const char *name = json_object_is_type(protocol, json_type_string)
		? json_object_get_string(protocol)
		: "";

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		for (size_t j = 0; j < 4 && families[i][j]; j++) {
			if (strcmp(families[i][j], name) != 0)
				continue;
			struct json_object *list = json_object_new_array();

			for (size_t k = 0; k < 4 && families[i][k]; k++)
				json_object_array_add(
					list, json_object_new_string(families[i][k]));
			return list;
		}
	return json_object_get(protocol);
}

/* What get_pools shows: the pool's own members and those it inherits. own NULL: the
 * backend is one pool. */
static struct json_object *merge(struct json_object *capabilities,
	struct json_object *own, const char *timestamp)
{
	static const char *const inherited[] = { "volume_backend_name",
		"storage_protocol", "vendor_name", "driver_version", "filter_function",
		"goodness_function" };
	struct json_object *merged = json_object_new_object();
	struct json_object *value;

	json_object_object_foreach(own ? own : capabilities, key, member)
	{
		if (own || strcmp(key, "pools") != 0)
			json_add(merged, key, json_object_get(member));
	}
	for (size_t i = 0; own && i < ARRAY_SIZE(inherited); i++)
		if (!json_object_object_get_ex(merged, inherited[i], NULL) &&
			json_object_object_get_ex(capabilities, inherited[i], &value))
			json_add(merged, inherited[i], json_object_get(value));
	if (json_object_object_get_ex(merged, "storage_protocol", &value) && value)
		json_add(merged, "storage_protocol", protocol_aliases(value));
	json_add_string(merged, "timestamp", timestamp);
	return merged;
}

/* A pool's name becomes part of an address, and that of messages and rows. */
static int make_address(
	const char *backend, const char *pool, char **out, struct error *err)
{
	AUTO(free) char *address = text_format("%s#%s", backend, pool);
	struct address checked;

	if (!address)
		return error_no_memory(err);
	if (address_parse(address, &checked, err) < 0)
		return error_set(
			err, ERR_INVALID_INPUT, "'%.64s' is no name of a pool", pool);
	*out = steal(address);
	return 0;
}

static int read_pool(const char *backend, const char *name, struct json_object *merged,
	double default_ratio, struct pool *out, struct error *err)
{
	const char *state;

	if (make_address(backend, name, &out->address, err) < 0)
		return -1;
	if (read_capacity(merged, default_ratio, &out->capacity, err) < 0 ||
		json_get_string_or(merged, "backend_state", "up", &state, err) < 0)
		return error_context(err, "pool '%s'", out->address);
	out->down = strcmp(state, "down") == 0;
	out->capabilities = json_text(merged);
	if (!out->capabilities)
		return error_no_memory(err);
	if (strlen(out->capabilities) > CAPABILITIES_MAX)
		return error_set(err, ERR_INVALID_INPUT,
			"pool '%s' reports more than %d bytes", out->address,
			CAPABILITIES_MAX);
	return 0;
}

/* ---- a report ---- */

static int read_single_pool(struct json_object *capabilities, double default_ratio,
	struct backend *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *merged = NULL;
	const char *name;

	if (json_get_string_or(
		    capabilities, "volume_backend_name", "_pool0", &name, err) < 0)
		return -1;
	out->pools = calloc(1, sizeof(*out->pools));
	if (!out->pools)
		return error_no_memory(err);
	out->count = 1;
	merged = merge(capabilities, NULL, out->timestamp);
	return read_pool(out->name, name, merged, default_ratio, out->pools, err);
}

static bool is_listed(const struct backend *b, size_t count, const char *address)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(b->pools[i].address, address) == 0)
			return true;
	return false;
}

static int read_listed_pool(struct json_object *capabilities, struct json_object *own,
	double default_ratio, struct backend *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *merged = NULL;
	struct pool *pool = &out->pools[out->count];
	const char *name;

	if (!json_object_is_type(own, json_type_object))
		return error_set(err, ERR_INVALID_INPUT, "a pool is no object");
	if (json_get_string(own, "pool_name", &name, err) < 0)
		return -1;
	out->count++;
	merged = merge(capabilities, own, out->timestamp);
	if (read_pool(out->name, name, merged, default_ratio, pool, err) < 0)
		return -1;
	if (is_listed(out, out->count - 1, pool->address))
		return error_set(err, ERR_INVALID_INPUT, "pool '%s' is reported twice",
			pool->address);
	return 0;
}

int report_pools(struct json_object *capabilities, double default_ratio,
	struct backend *out, struct error *err)
{
	struct json_object *list;
	size_t count;

	if (!json_object_object_get_ex(capabilities, "pools", &list))
		return read_single_pool(capabilities, default_ratio, out, err);
	if (json_get_array(capabilities, "pools", &list, err) < 0)
		return -1;
	count = json_object_array_length(list);
	if (count > POOLS_PER_BACKEND_MAX)
		return error_set(err, ERR_INVALID_INPUT,
			"'%s' reports more than %d pools", out->name,
			POOLS_PER_BACKEND_MAX);
	out->pools = calloc(count + 1, sizeof(*out->pools));
	if (!out->pools)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++)
		if (read_listed_pool(capabilities, json_object_array_get_idx(list, i),
			    default_ratio, out, err) < 0)
			return -1;
	return 0;
}

/* "2026-11-21T21:25:32.535440": then texts compare as times do. */
static bool is_timestamp(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddd";
	size_t length = strlen(text);

	if (length != 19 && (length < 21 || length > 26))
		return false;
	for (size_t i = 0; i < length; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9'
				   : text[i] != form[i])
			return false;
	return true;
}

int report_timestamp(struct json_object *args, char out[32], struct error *err)
{
	const char *text;
	time_t now = time(NULL);
	struct tm utc;

	if (json_get_string_or(args, "timestamp", NULL, &text, err) < 0)
		return -1;
	if (!text)
		strftime(out, 32, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now, &utc));
	else if (!is_timestamp(text))
		return error_set(
			err, ERR_INVALID_INPUT, "'timestamp' is no date with a time");
	else
		snprintf(out, 32, "%s", text);
	return 0;
}

/* The older form of notify_service_capabilities says host too. */
int report_name(struct json_object *args, const char **out, struct error *err)
{
	struct address address;

	if (json_get_string_or(args, "backend", NULL, out, err) < 0 ||
		(!*out && json_get_string(args, "host", out, err) < 0))
		return -1;
	if (address_parse(*out, &address, err) < 0 || address.pool[0])
		return error_set(err, ERR_INVALID_INPUT, "'%.64s' is no backend", *out);
	return 0;
}
