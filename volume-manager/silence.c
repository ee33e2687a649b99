/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are gone. Silence is measured by our own clock, while we have our lease and one
 * connection to the database: after an outage of that every host looks silent. */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/store/migrations.h"
#include "common/store/orphans.h"
#include "volume-manager/manager.h"
#include "volume-manager/process.h"

struct silence {
	struct silent silent;
	int64_t since_ms; /* by process_clock_ms() */
};

static bool is_leased(const struct manager *manager)
{
	bool leased = manager->count > 0;

	for (size_t i = 0; i < manager->count; i++)
		leased = leased && manager->managed[i].leased;
	return leased;
}

void silence_forget(struct manager *manager)
{
	free(manager->silences);
	manager->silences = NULL;
	manager->silence_count = 0;
}

static int64_t known_since(const struct manager *manager, const struct silent *silent)
{
	for (size_t i = 0; i < manager->silence_count; i++) {
		const struct silence *known = &manager->silences[i];

		if (strcmp(known->silent.host, silent->host) == 0 &&
			strcmp(known->silent.expired_at, silent->expired_at) == 0)
			return known->since_ms;
	}
	return process_clock_ms();
}

/* What is silent now takes the place of what was. */
static int remember(struct manager *manager, const struct silent *list, int count,
	struct error *err)
{
	const unsigned generation = db_generation(manager->db);
	struct silence *fresh = calloc((size_t)count + 1, sizeof(*fresh));

	if (!fresh)
		return error_no_memory(err);
	if (manager->silence_generation != generation)
		silence_forget(manager);
	for (int i = 0; i < count; i++) {
		fresh[i].silent = list[i];
		fresh[i].since_ms = known_since(manager, &list[i]);
	}
	silence_forget(manager);
	manager->silences = fresh;
	manager->silence_count = (size_t)count;
	manager->silence_generation = generation;
	return 0;
}

/* One that somebody has locked does not keep the others waiting. */
static int take_back(struct manager *manager, const struct silent *silent,
	double seconds, struct error *err)
{
	const bool keep = manager->settings->migration_result_keep;
	AUTO(free) struct orphan *list = NULL;
	int count = store_orphan_list(manager->db, silent, &list, err);

	for (int i = 0; i < count && db_is_connected(manager->db); i++) {
		int taken = store_orphan_take_back(
			manager->db, &list[i], silent, seconds, keep, err);

		if (taken < 0)
			log_warning("%s", err->text);
		if (taken > 0)
			log_warning("migration of a silent host was taken back id=%s "
				    "volume=%s host=%s",
				list[i].id, list[i].volume_id, silent->host);
	}
	if (count < 0)
		return -1;
	return store_migration_set_lost_back(
		manager->db, silent->host, seconds, keep, err);
}

static int look(struct manager *manager, struct error *err)
{
	AUTO(free) struct silent *list = NULL;
	int count = store_silent_list(manager->db, &list, err);

	if (count < 0 || remember(manager, list, count, err) < 0)
		return -1;
	for (size_t i = 0; i < manager->silence_count; i++) {
		const struct silence *silence = &manager->silences[i];
		double seconds =
			settings_silence(manager->settings, silence->silent.released);

		if ((double)(process_clock_ms() - silence->since_ms) / 1e3 < seconds)
			continue;
		if (take_back(manager, &silence->silent, seconds, err) < 0)
			return -1;
	}
	return 0;
}

void silence_look(struct manager *manager)
{
	struct error err;

	if (!is_leased(manager))
		silence_forget(manager);
	else if (look(manager, &err) < 0)
		log_warning("looking for hosts that are gone failed: %s", err.text);
}
