/* SPDX-License-Identifier: Apache-2.0 */
/* How much room the shares of an nfs backend have, and which one takes a new volume. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/text.h"
#include "volume-manager/drivers/nfs.h"

#define GIB ((double)(1 << 30))

/* Each file system counts once, though several shares may be on it. */
static bool is_known_location(
	const struct backend_stats *seen, size_t count, const char *location)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(seen[i].location, location) == 0)
			return true;
	return false;
}

/* Shares on one file system are where that is; others are told apart by their names. */
static void name_location(const struct nfs *nfs, struct backend_stats *out)
{
	char chain[2 * MD5_TEXT_SIZE] = "", digest[MD5_TEXT_SIZE] = "";

	for (size_t i = 0; i < nfs->count; i++) {
		snprintf(chain, sizeof(chain), "%s%s", digest, nfs->places[i].digest);
		md5_text(chain, strlen(chain), digest);
	}
	snprintf(out->location, sizeof(out->location), "nfs:%s", digest);
}

static int look_at(struct nfs *nfs, struct place *place, struct backend_stats *out,
	struct error *err)
{
	if (place_open(nfs->settings, place, err) < 0)
		return -1;
	return file_driver.stats(place->files, out, err);
}

int nfs_stats(void *state, struct backend_stats *out, struct error *err)
{
	struct nfs *nfs = state;
	AUTO(free) struct backend_stats *seen = calloc(nfs->count, sizeof(*seen));
	struct backend_stats sum = { .thin = nfs->settings->nfs_sparsed_volumes };
	struct backend_stats one;
	struct error why;
	size_t count = 0;

	if (!seen)
		return error_no_memory(err);
	for (size_t i = 0; i < nfs->count; i++) {
		if (look_at(nfs, &nfs->places[i], &one, &why) < 0) {
			if (nfs->count > 1)
				log_warning("share is not usable: %s", why.text);
			continue;
		}
		if (is_known_location(seen, count, one.location))
			continue;
		seen[count++] = one;
		sum.total_bytes += one.total_bytes;
		sum.free_bytes += one.free_bytes;
	}
	if (count == 0) {
		if (err)
			*err = why;
		return -1;
	}
	if (count == 1)
		memcpy(sum.location, seen[0].location, sizeof(sum.location));
	else
		name_location(nfs, &sum);
	*out = sum;
	return 0;
}

/* As Cinder's NfsDriver: neither too full nor promised too often. */
static bool is_eligible(const struct nfs *nfs, const struct backend_stats *stats,
	uint64_t allocated, uint64_t size)
{
	const struct backend_settings *settings = nfs->settings;
	double total = (double)stats->total_bytes;
	double used = total - (double)stats->free_bytes;
	double ratio = 20.0;

	/* "auto" counts as Cinder's default here. */
	if (settings->max_over_subscription_ratio)
		text_to_double(settings->max_over_subscription_ratio, &ratio, NULL);
	if (total <= 0 || used / total > (100 - settings->reserved_percentage) / 100)
		return false;
	return total * ratio - (double)allocated > (double)size;
}

/* Can it take a volume of this size? A share that does not answer cannot. */
static bool has_room(struct nfs *nfs, struct place *place, uint64_t size,
	uint64_t *allocated, struct error *why)
{
	struct backend_stats stats;

	if (look_at(nfs, place, &stats, why) < 0 ||
		place_allocated(place, allocated, why) < 0) {
		log_warning("share is not usable: %s", why->text);
		return false;
	}
	return is_eligible(nfs, &stats, *allocated, size);
}

/* The eligible share with the least allocated; with one share there is nothing to choose,
 * as the scheduler has looked at it. */
int nfs_choose(struct nfs *nfs, uint64_t size, struct place **out, struct error *err)
{
	uint64_t least = UINT64_MAX, allocated;
	struct error why = { .code = ERR_NONE };

	if (nfs->count == 1) {
		*out = &nfs->places[0];
		return place_open(nfs->settings, *out, err);
	}
	*out = nfs->near;
	if (nfs->near && has_room(nfs, nfs->near, size, &allocated, &why))
		return 0;
	*out = NULL;
	for (size_t i = 0; i < nfs->count; i++) {
		struct place *place = &nfs->places[i];

		if (!has_room(nfs, place, size, &allocated, &why) || allocated >= least)
			continue;
		least = allocated;
		*out = place;
	}
	if (*out)
		return 0;
	return error_set(err, ERR_NO_SPACE,
		"no share of backend '%s' has room for %.1f GiB%s%s",
		nfs->settings->name, (double)size / GIB, why.code ? ": " : "",
		why.code ? why.text : "");
}
