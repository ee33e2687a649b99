/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/swaps.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/log.h"

#define LOCKS 64
#define LOCK_SECONDS 5 /* threads that wait are missing elsewhere */
#define FIRST_PATIENCE_S 1.0
#define LONGEST_PATIENCE_S 60.0

struct entry {
	struct swap swap;
	double due[2]; /* by need */
	bool taken[2];
	double patience_s;
	struct entry *next;
};

struct swaps {
	char *directory;
	pthread_mutex_t lock; /* of the list and what is in it */
	struct entry *first;
	pthread_mutex_t volumes[LOCKS];
};

DEFINE_AUTO(DIR *, closedir)

/* ---- the list; called with its lock ---- */

static bool is_same(const struct swap *a, const char *instance, const char *volume,
	const char *target)
{
	return strcmp(a->instance, instance) == 0 && strcmp(a->volume, volume) == 0 &&
		strcmp(a->target, target) == 0;
}

static struct entry *find(struct swaps *swaps, const struct swap *swap)
{
	for (struct entry *e = swaps->first; e; e = e->next)
		if (is_same(&e->swap, swap->instance, swap->volume, swap->target))
			return e;
	return NULL;
}

static struct entry *add(struct swaps *swaps, const struct swap *swap)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->swap = *swap;
	e->next = swaps->first;
	swaps->first = e;
	return e;
}

/* ---- life ---- */

/* "INSTANCE.VOLUME.TARGET". */
static bool is_file_name(const char *name)
{
	return strlen(name) == 3 * (UUID_TEXT_SIZE - 1) + 2 && name[36] == '.' &&
		name[73] == '.';
}

static int load_one(struct swaps *swaps, const char *name, struct error *err)
{
	AUTO(free) char *path = text_format("%s/%s", swaps->directory, name);
	struct swap swap;

	if (!path)
		return error_no_memory(err);
	if (swap_file_load(path, &swap, err) < 0)
		return -1;
	if (!add(swaps, &swap))
		return error_no_memory(err);
	if (!swap_is_over(&swap))
		log_info("swap goes on at %s instance=%s volume=%s target=%s",
			swap_step_name(swap.step), swap.instance, swap.volume,
			swap.target);
	return 0;
}

static int load_all(struct swaps *swaps, struct error *err)
{
	AUTO(closedir) DIR *dir = NULL;
	const struct dirent *file;

	if (mkdir(swaps->directory, 0700) < 0 && errno != EEXIST)
		return error_set_errno(
			err, ERR_IO, "cannot make directory '%s'", swaps->directory);
	dir = opendir(swaps->directory);
	if (!dir)
		return error_set_errno(
			err, ERR_IO, "cannot open directory '%s'", swaps->directory);
	while ((errno = 0, file = readdir(dir)))
		if (is_file_name(file->d_name) &&
			load_one(swaps, file->d_name, err) < 0)
			return -1;
	if (errno)
		return error_set_errno(
			err, ERR_IO, "cannot read directory '%s'", swaps->directory);
	return 0;
}

int swaps_load(const char *directory, struct swaps **out, struct error *err)
{
	AUTO(swaps_free) struct swaps *swaps = calloc(1, sizeof(*swaps));

	if (!swaps)
		return error_no_memory(err);
	pthread_mutex_init(&swaps->lock, NULL);
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&swaps->volumes[i], NULL);
	swaps->directory = strdup(directory);
	if (!swaps->directory)
		return error_no_memory(err);
	if (load_all(swaps, err) < 0)
		return -1;
	*out = steal(swaps);
	return 0;
}

void swaps_free(struct swaps *swaps)
{
	struct entry *next;

	if (!swaps)
		return;
	for (struct entry *e = swaps->first; e; e = next) {
		next = e->next;
		free(e);
	}
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&swaps->volumes[i]);
	pthread_mutex_destroy(&swaps->lock);
	free(swaps->directory);
	free(swaps);
}

/* ---- any thread ---- */

static pthread_mutex_t *lock_of(struct swaps *swaps, const char *volume)
{
	unsigned hash = 5381;

	for (; *volume; volume++)
		hash = hash * 33 + (unsigned char)*volume;
	return &swaps->volumes[hash % LOCKS];
}

int swaps_lock(struct swaps *swaps, const char *volume, struct error *err)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOCK_SECONDS;
	if (pthread_mutex_timedlock(lock_of(swaps, volume), &until) == 0)
		return 0;
	return error_set(err, ERR_TIMEOUT,
		"something else is being done with volume '%s', and takes its time",
		volume);
}

void swaps_unlock(struct swaps *swaps, const char *volume)
{
	pthread_mutex_unlock(lock_of(swaps, volume));
}

bool swaps_find(struct swaps *swaps, const char *instance, const char *volume,
	const char *target, struct swap *out)
{
	bool found = false;

	pthread_mutex_lock(&swaps->lock);
	for (struct entry *e = swaps->first; e && !found; e = e->next) {
		found = is_same(&e->swap, instance, volume, target);
		if (found)
			*out = e->swap;
	}
	pthread_mutex_unlock(&swaps->lock);
	return found;
}

bool swaps_find_active(
	struct swaps *swaps, const char *instance, const char *volume, struct swap *out)
{
	bool found = false;

	pthread_mutex_lock(&swaps->lock);
	for (struct entry *e = swaps->first; e && !found; e = e->next) {
		found = strcmp(e->swap.instance, instance) == 0 &&
			strcmp(e->swap.volume, volume) == 0 && !swap_is_over(&e->swap);
		if (found)
			*out = e->swap;
	}
	pthread_mutex_unlock(&swaps->lock);
	return found;
}

int swaps_save(struct swaps *swaps, const struct swap *swap, struct error *err)
{
	struct entry *e;

	if (swap_file_save(swaps->directory, swap, err) < 0)
		return -1;
	pthread_mutex_lock(&swaps->lock);
	e = find(swaps, swap);
	if (e)
		e->swap = *swap;
	else
		e = add(swaps, swap);
	pthread_mutex_unlock(&swaps->lock);
	return e ? 0 : error_no_memory(err);
}

void swaps_note(struct swaps *swaps, const struct swap *swap)
{
	struct entry *e;

	pthread_mutex_lock(&swaps->lock);
	e = find(swaps, swap);
	if (e) {
		e->swap.done = swap->done;
		e->swap.total = swap->total;
	}
	pthread_mutex_unlock(&swaps->lock);
}

/* ---- in the loop ---- */

static bool needs(const struct entry *e, enum swap_need need)
{
	return need == SWAP_NEEDS_LOOK ? !swap_is_over(&e->swap)
				       : swap_is_due_answer(&e->swap);
}

bool swaps_take(struct swaps *swaps, double now, enum swap_need need, struct swap *out)
{
	bool found = false;

	pthread_mutex_lock(&swaps->lock);
	for (struct entry *e = swaps->first; e && !found; e = e->next) {
		found = needs(e, need) && !e->taken[need] && e->due[need] <= now;
		if (!found)
			continue;
		e->taken[need] = true;
		*out = e->swap;
	}
	pthread_mutex_unlock(&swaps->lock);
	return found;
}

bool swaps_are_idle(struct swaps *swaps)
{
	bool idle = true;

	pthread_mutex_lock(&swaps->lock);
	for (struct entry *e = swaps->first; e && idle; e = e->next)
		idle = !needs(e, SWAP_NEEDS_LOOK) && !needs(e, SWAP_NEEDS_ANSWER);
	pthread_mutex_unlock(&swaps->lock);
	return idle;
}

void swaps_put_back(
	struct swaps *swaps, const struct swap *swap, enum swap_need need, double again)
{
	struct entry *e;

	pthread_mutex_lock(&swaps->lock);
	e = find(swaps, swap);
	if (e) {
		e->taken[need] = false;
		e->due[need] = again;
	}
	pthread_mutex_unlock(&swaps->lock);
}

void swaps_hurry(struct swaps *swaps, const struct swap *swap)
{
	struct entry *e;

	pthread_mutex_lock(&swaps->lock);
	e = find(swaps, swap);
	if (e)
		e->due[SWAP_NEEDS_LOOK] = 0;
	pthread_mutex_unlock(&swaps->lock);
}

double swaps_patience(struct swaps *swaps, const struct swap *swap)
{
	double patience = FIRST_PATIENCE_S;
	struct entry *e;

	pthread_mutex_lock(&swaps->lock);
	e = find(swaps, swap);
	if (e && e->patience_s > 0)
		patience = 2 * e->patience_s;
	if (patience > LONGEST_PATIENCE_S)
		patience = LONGEST_PATIENCE_S;
	if (e)
		e->patience_s = patience;
	pthread_mutex_unlock(&swaps->lock);
	return patience;
}

void swaps_expire(struct swaps *swaps, int64_t seconds)
{
	int64_t now = time(NULL);
	struct error err;

	pthread_mutex_lock(&swaps->lock);
	for (struct entry **at = &swaps->first; *at;) {
		struct entry *e = *at;

		if (!swap_is_over(&e->swap) || swap_is_due_answer(&e->swap) ||
			e->taken[0] || e->taken[1] ||
			now - e->swap.ended_at < seconds) {
			at = &e->next;
			continue;
		}
		if (swap_file_remove(swaps->directory, &e->swap, &err) < 0) {
			log_warning("%s", err.text);
			at = &e->next;
			continue;
		}
		*at = e->next;
		free(e);
	}
	pthread_mutex_unlock(&swaps->lock);
}
