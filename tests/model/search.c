/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (1u << 21)

static const struct search_model *model;
static unsigned char *queue;
static uint32_t *slots, *parents; /* each state is reached from its parent */
static uint32_t count, here;
static unsigned rules;

static const void *state_at(uint32_t at)
{
	return queue + (size_t)at * model->size;
}

static uint32_t hash(const void *state)
{
	const unsigned char *p = state;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < model->size; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

bool search_rule(unsigned bit)
{
	return rules & (1u << bit);
}

void search_found(const void *state)
{
	uint32_t at = hash(state) & (SLOTS - 1);

	while (slots[at]) {
		if (memcmp(state_at(slots[at] - 1), state, model->size) == 0)
			return;
		at = (at + 1) & (SLOTS - 1);
	}
	if (count == SLOTS / 2) {
		fprintf(stderr, "%s: too many states\n", model->name);
		exit(2);
	}
	parents[count] = here;
	memcpy(queue + (size_t)count * model->size, state, model->size);
	slots[at] = ++count;
}

/* How it came to the state that is wrong. */
static void show(uint32_t at)
{
	if (at)
		show(parents[at]);
	model->show(state_at(at));
}

static const char *explore(unsigned with)
{
	const char *broken = NULL;

	rules = with;
	count = here = 0;
	memset(slots, 0, SLOTS * sizeof(*slots));
	search_found(model->first);
	for (uint32_t i = 0; i < count && !broken; i++) {
		here = i;
		broken = model->check(state_at(i));
		if (!broken)
			model->step(state_at(i));
	}
	return broken;
}

static int run(void)
{
	unsigned all = 0;
	const char *why;
	int failed;

	while (model->rules[all])
		all++;
	why = explore((1u << all) - 1);
	printf("%s - %u states of %s%s%s\n", why ? "not ok" : "ok", count, model->name,
		why ? ": " : "", why ? why : "");
	if (why)
		show(here);
	failed = why != NULL;
	for (unsigned bit = 0; bit < all; bit++) {
		why = explore(((1u << all) - 1) & ~(1u << bit));
		printf("%s - needed: %s%s%s\n", why ? "ok" : "not ok",
			model->rules[bit], why ? "; else " : "", why ? why : "");
		failed += why == NULL;
	}
	return failed;
}

int search_run(const struct search_model *what)
{
	int failed = 2;

	model = what;
	queue = calloc(SLOTS / 2, model->size);
	slots = calloc(SLOTS, sizeof(*slots));
	parents = calloc(SLOTS / 2, sizeof(*parents));
	if (queue && slots && parents)
		failed = run();
	free(queue);
	free(slots);
	free(parents);
	return failed;
}
