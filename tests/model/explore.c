/* SPDX-License-Identifier: Apache-2.0 */
/* Breadth first through all states: the first broken one found is a nearest one. */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL /* nothing to link */
#include <xxhash.h>

#include "tests/model/model.h"

#define NOBODY UINT32_MAX
#define FIRST_ROOM (1u << 16)

struct search {
	struct state *states; /* in the order in which they were found */
	uint32_t *parents;
	uint32_t count, room;
	uint32_t *slots; /* index + 1 into states; open addressing */
	uint32_t slot_count; /* a power of two */
	uint32_t current;
	bool no_memory;
};

static void search_clear(struct search *search)
{
	free(search->states);
	free(search->parents);
	free(search->slots);
}

static uint32_t *find_slot(const struct search *search, const struct state *state)
{
	uint64_t hash = XXH3_64bits(state, sizeof(*state));
	uint32_t mask = search->slot_count - 1, i = (uint32_t)hash & mask;

	while (search->slots[i] &&
		memcmp(&search->states[search->slots[i] - 1], state, sizeof(*state)) !=
			0)
		i = (i + 1) & mask;
	return &search->slots[i];
}

static int grow_slots(struct search *search)
{
	uint32_t *slots = calloc((size_t)search->slot_count * 2, sizeof(*slots));

	if (!slots)
		return -1;
	free(search->slots);
	search->slots = slots;
	search->slot_count *= 2;
	for (uint32_t i = 0; i < search->count; i++)
		*find_slot(search, &search->states[i]) = i + 1;
	return 0;
}

static int grow_states(struct search *search)
{
	size_t room = (size_t)search->room * 2;
	struct state *states = realloc(search->states, room * sizeof(*states));
	uint32_t *parents =
		states ? realloc(search->parents, room * sizeof(*parents)) : NULL;

	if (states)
		search->states = states;
	if (!parents)
		return -1;
	search->parents = parents;
	search->room = (uint32_t)room;
	return 0;
}

static int search_init(struct search *search)
{
	*search = (struct search) { .room = FIRST_ROOM, .slot_count = FIRST_ROOM * 2 };
	search->states = malloc(search->room * sizeof(*search->states));
	search->parents = malloc(search->room * sizeof(*search->parents));
	search->slots = calloc(search->slot_count, sizeof(*search->slots));
	return search->states && search->parents && search->slots ? 0 : -1;
}

/* Returns whether the state is a new one. */
static bool add(struct search *search, const struct state *state, uint32_t parent)
{
	uint32_t *slot = find_slot(search, state);

	if (*slot || search->no_memory)
		return false;
	if (search->count == search->room && grow_states(search) < 0) {
		search->no_memory = true;
		return false;
	}
	search->states[search->count] = *state;
	search->parents[search->count++] = parent;
	*slot = search->count;
	if (search->count > search->slot_count / 2 && grow_slots(search) < 0)
		search->no_memory = true;
	return true;
}

static void on_step(
	struct turn *turn, const struct state *next, const char *who, const char *what)
{
	struct search *search = turn->arg;

	add(search, next, search->current);
}

/* ---- the way to a state, in words ---- */

struct telling {
	const struct state *wanted;
	FILE *out;
	unsigned number;
	bool told;
};

static void tell_step(
	struct turn *turn, const struct state *next, const char *who, const char *what)
{
	struct telling *telling = turn->arg;

	if (telling->told || memcmp(next, telling->wanted, sizeof(*next)) != 0)
		return;
	telling->told = true;
	fprintf(telling->out, "%4u. %s %s%s\n", telling->number, who, what,
		next->lagging && !turn->now->lagging ? " (the standby misses it)" : "");
}

static unsigned depth_of(const struct search *search, uint32_t index)
{
	unsigned depth = 0;

	for (; search->parents[index] != NOBODY; index = search->parents[index])
		depth++;
	return depth;
}

static void tell_way(const struct search *search, const struct limits *limits,
	uint32_t index, FILE *out)
{
	uint32_t parent = search->parents[index];
	struct telling telling = { &search->states[index], out, 0, false };
	struct turn turn = { .limits = limits, .take = tell_step, .arg = &telling };

	if (parent == NOBODY)
		return;
	tell_way(search, limits, parent, out);
	telling.number = depth_of(search, index);
	turn.now = &search->states[parent];
	model_turns(&turn);
}

/* ---- the search ---- */

static void found(const struct search *search, const struct limits *limits,
	uint32_t index, const char *broken, FILE *out, struct outcome *outcome)
{
	outcome->broken = broken;
	outcome->steps = depth_of(search, index);
	if (!out)
		return;
	tell_way(search, limits, index, out);
	fprintf(out, "      => %s\n", broken);
	model_print(&search->states[index], out);
}

static void run(struct search *search, const struct limits *limits, FILE *out,
	struct outcome *outcome)
{
	struct turn turn = { .limits = limits,
		.moves = outcome->moves,
		.take = on_step,
		.arg = search };

	for (uint32_t i = 0; i < search->count && !search->no_memory; i++) {
		struct state now = search->states[i];
		const char *broken = model_broken(&now);

		turn.now = &now;
		search->current = i;
		if (!broken)
			model_turns(&turn);
		if (!broken && !turn.fair) {
			broken = model_broken_at_rest(&now);
			outcome->at_rest = broken != NULL;
		}
		if (broken) {
			found(search, limits, i, broken, out, outcome);
			return;
		}
	}
}

/* ---- does it end? ---- */

struct ordering {
	const struct search *search;
	uint16_t *before; /* fair steps into each state that are still to come */
	uint32_t *order; /* states that no such step leads to */
	uint32_t ordered;
};

static uint32_t number_of(const struct ordering *ordering, const struct state *state)
{
	return *find_slot(ordering->search, state) - 1;
}

static void count_step(
	struct turn *turn, const struct state *next, const char *who, const char *what)
{
	struct ordering *ordering = turn->arg;

	if (turn->step_is_fair)
		ordering->before[number_of(ordering, next)]++;
}

static void undo_step(
	struct turn *turn, const struct state *next, const char *who, const char *what)
{
	struct ordering *ordering = turn->arg;
	uint32_t number = turn->step_is_fair ? number_of(ordering, next) : 0;

	if (turn->step_is_fair && --ordering->before[number] == 0)
		ordering->order[ordering->ordered++] = number;
}

/* States are put in an order that all fair steps follow; what remains is a circle. */
static bool put_in_order(struct ordering *ordering, const struct limits *limits)
{
	const struct search *search = ordering->search;
	struct turn turn = { .limits = limits, .take = count_step, .arg = ordering };

	for (uint32_t i = 0; i < search->count; i++) {
		turn.now = &search->states[i];
		model_turns(&turn);
	}
	for (uint32_t i = 0; i < search->count; i++)
		if (ordering->before[i] == 0)
			ordering->order[ordering->ordered++] = i;
	turn.take = undo_step;
	for (uint32_t i = 0; i < ordering->ordered; i++) {
		turn.now = &search->states[ordering->order[i]];
		model_turns(&turn);
	}
	return ordering->ordered == search->count;
}

static int look_for_circles(const struct search *search, const struct limits *limits,
	struct outcome *outcome)
{
	struct ordering ordering = { .search = search };

	ordering.before = calloc(search->count, sizeof(*ordering.before));
	ordering.order = calloc(search->count, sizeof(*ordering.order));
	if (ordering.before && ordering.order)
		outcome->endless = !put_in_order(&ordering, limits);
	free(ordering.before);
	free(ordering.order);
	return ordering.before && ordering.order ? 0 : -1;
}

int explore(const struct limits *limits, FILE *out, struct outcome *outcome)
{
	struct search search;
	int result = search_init(&search);

	*outcome = (struct outcome) { 0 };
	if (result == 0) {
		for (int foreign = 0; foreign < 2; foreign++) {
			struct state first = model_start(foreign);

			add(&search, &first, NOBODY);
		}
		run(&search, limits, out, outcome);
		outcome->states = search.count;
		result = search.no_memory ? -1 : 0;
	}
	if (result == 0 && !outcome->broken)
		result = look_for_circles(&search, limits, outcome);
	search_clear(&search);
	return result;
}
