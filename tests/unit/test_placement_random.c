/* SPDX-License-Identifier: Apache-2.0 */
/* Random clouds and requests, judged by scheduler/ and by a second, slow and obvious
 * implementation: its pools are plain numbers, and its sizes whole ones (1/4 GiB and
 * hundredths), so that nothing is rounded but what is said to be. */
#include <stdio.h>
#include <stdlib.h>

#include "scheduler/placement.h"
#include "tests/unit/reports.h"

#define CLOUDS 3000
#define BACKENDS 4
#define POOLS 3 /* of one backend, at most */
#define ANY (-1)

enum kind { KNOWN, INFINITE, UNKNOWN };

/* Amounts are in quarters of a GiB. */
struct plain_pool {
	int backend, index; /* its name is "pINDEX" */
	enum kind kind;
	int64_t total, free, provisioned, allocated;
	int reserved_percent;
	int ratio4; /* of over-subscription, in quarters */
	bool thin, down;
	int speed, tier; /* capabilities; tier 0: not reported */
	int online; /* online_extend_support: 0 false, 1 true, 2 not reported */
	int64_t placed, promised; /* since the report; in migrations */
	int64_t load, volumes; /* as the rows say */
};

struct plain_backend {
	bool up, disabled, frozen, drover;
	int zone;
};

struct place {
	int backend, pool; /* ANY */
};

struct plain_request {
	int64_t size_gib;
	struct place target, exclude, exists_on, attempted;
	bool managed, attached_grows, thick;
	int zones; /* a set of bits; 0: any */
	int tier; /* 0: any */
	int speed; /* at least; 0: any */
};

struct cloud {
	struct plain_backend backends[BACKENDS];
	struct plain_pool pools[BACKENDS * POOLS];
	int count;
	bool filters[FILTER_COUNT], weighers[WEIGHER_COUNT];
	int multipliers[WEIGHER_COUNT];
	struct plain_request request;
};

static uint64_t seed = 19700101;

static int below(int limit)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (int)((seed >> 33) % (uint64_t)limit);
}

static bool seldom(int one_in)
{
	return below(one_in) == 0;
}

/* ---- making them up ---- */

static struct plain_pool random_pool(int backend, int index)
{
	int64_t total = seldom(10) ? 0 : 4 * below(200) + below(4);

	return (struct plain_pool) {
		.backend = backend,
		.index = index,
		.kind = seldom(6) ? (seldom(2) ? INFINITE : UNKNOWN) : KNOWN,
		.total = total,
		.free = seldom(8) ? 0 : below((int)total + 1),
		.provisioned = below(2 * (int)total + 1),
		.allocated = below((int)total + 1),
		.reserved_percent = seldom(3) ? below(101) : 0,
		.ratio4 = seldom(8) ? below(4) : 4 + below(40),
		.thin = below(2),
		.down = seldom(12),
		.speed = below(4),
		.tier = below(3),
		.online = below(3),
		.placed = seldom(3) ? 4 * below(50) : 0,
		.promised = seldom(3) ? 4 * below(50) : 0,
		.load = seldom(3) ? 4 * below(400) : 0,
		.volumes = below(6),
	};
}

static struct place random_place(const struct cloud *c, int none_in)
{
	const struct plain_pool *pool = &c->pools[below(c->count)];

	if (!seldom(none_in))
		return (struct place) { ANY, ANY };
	return (struct place) { pool->backend, below(2) ? pool->index : ANY };
}

static void random_cloud(struct cloud *c)
{
	*c = (struct cloud) { .count = 0 };
	for (int b = 0; b < BACKENDS; b++) {
		c->backends[b] = (struct plain_backend) { !seldom(12), seldom(12),
			seldom(12), below(3) > 0, below(2) };
		for (int i = below(POOLS); i >= 0; i--)
			c->pools[c->count++] = random_pool(b, i);
	}
	for (int f = 0; f < FILTER_COUNT; f++)
		c->filters[f] = !seldom(6);
	for (int w = 0; w < WEIGHER_COUNT; w++) {
		c->weighers[w] = below(2);
		c->multipliers[w] = below(7) - 3;
	}
	c->request = (struct plain_request) {
		.size_gib = seldom(20) ? 0 : 1 + below(60),
		.target = random_place(c, 2),
		.exclude = random_place(c, 3),
		.exists_on = random_place(c, 3),
		.attempted = random_place(c, 3),
		.managed = seldom(3),
		.attached_grows = seldom(4),
		.thick = seldom(3),
		.zones = seldom(2) ? 1 + below(3) : 0,
		.tier = seldom(3) ? 1 + below(2) : 0,
		.speed = seldom(3) ? 1 + below(3) : 0,
	};
	if (c->request.attempted.backend != ANY && c->request.attempted.pool == ANY)
		c->request.attempted.pool = 0;
}

/* ---- the second implementation ---- */

/* Hundredths of a GiB of amount / 16 of them, half to even. */
static int64_t hundredths(int64_t sixteenths)
{
	int64_t scaled = sixteenths * 100, whole = scaled / 16, rest = scaled % 16;

	if (rest < 0) {
		rest += 16;
		whole--;
	}
	return whole + (rest > 8 || (rest == 8 && whole % 2 != 0));
}

static int64_t taken(const struct plain_pool *p)
{
	int64_t newer = p->load - p->provisioned - p->placed;

	return p->placed + (newer > p->promised ? newer : p->promised);
}

/* What can still be handed out, in hundredths of a GiB. */
static int64_t plain_room(const struct plain_pool *p, bool thick)
{
	int64_t reserved = p->total * p->reserved_percent / 400 * 4; /* whole GiB */
	int64_t available = p->total - reserved;
	int64_t provisioned = p->provisioned + taken(p);

	if (p->thin && !thick)
		return hundredths(available * p->ratio4 - provisioned * 4);
	if (p->free - taken(p) < available - provisioned)
		return hundredths((p->free - taken(p)) * 4);
	return hundredths((available - provisioned) * 4);
}

static bool has_room(const struct plain_pool *p, int64_t size_gib, bool thick)
{
	if (size_gib == 0 || p->kind != KNOWN)
		return true;
	if (p->total == 0)
		return false;
	if (p->thin && !thick && (p->ratio4 < 4 || p->free == 0))
		return false;
	return plain_room(p, thick) >= size_gib * 100;
}

static bool is_at(struct place place, const struct plain_pool *p)
{
	return place.backend == p->backend &&
		(place.pool == ANY || place.pool == p->index);
}

static bool is_wanted(const struct plain_request *r, const struct plain_pool *p)
{
	bool is_own_backend = r->exclude.backend != ANY &&
		r->target.backend == r->exclude.backend &&
		(r->target.pool == ANY || r->exclude.pool == ANY ||
			r->target.pool == r->exclude.pool);

	return (r->target.backend == ANY || is_at(r->target, p)) &&
		!is_at(r->exclude, p) && !is_own_backend;
}

static bool plain_passes(const struct cloud *c, const struct plain_pool *p)
{
	const struct plain_backend *b = &c->backends[p->backend];
	const struct plain_request *r = &c->request;

	if (!is_wanted(r, p) || !b->up || b->disabled || b->frozen || p->down)
		return false;
	if (r->managed && !b->drover)
		return false;
	if (c->filters[FILTER_ZONE] && r->zones && !(r->zones & 1 << b->zone))
		return false;
	if (c->filters[FILTER_ATTEMPTED] && is_at(r->attempted, p))
		return false;
	if (c->filters[FILTER_CAPABILITIES] &&
		((r->attached_grows && p->online == 0) ||
			(r->tier && p->tier != r->tier) || p->speed < r->speed))
		return false;
	return !c->filters[FILTER_CAPACITY] || is_at(r->exists_on, p) ||
		has_room(p, r->size_gib, r->thick);
}

/* What a weigher says of a pool. */
static long double plain_weight(
	const struct cloud *c, const struct plain_pool *p, enum weigher weigher)
{
	if (weigher == WEIGHER_NUMBER)
		return p->volumes;
	if (weigher == WEIGHER_ALLOCATED)
		return (long double)(p->allocated + taken(p)) / 4;
	if (p->kind == KNOWN)
		return (long double)plain_room(p, c->request.thick) / 100;
	return -1;
}

static long double score(const struct cloud *c, const int *passed, int count, int of)
{
	long double sum = 0;

	for (int w = 0; w < WEIGHER_COUNT; w++) {
		bool little_first = w == WEIGHER_CAPACITY && c->multipliers[w] <= 0;
		long double min = 0, max = 0, at = 0;
		int known = 0;

		for (int i = 0; i < count; i++) {
			const struct plain_pool *p = &c->pools[passed[i]];
			long double weight = plain_weight(c, p, (enum weigher)w);

			if (little_first && p->kind != KNOWN)
				continue;
			min = known == 0 || weight < min ? weight : min;
			max = known == 0 || weight > max ? weight : max;
			known++;
		}
		at = plain_weight(c, &c->pools[of], (enum weigher)w);
		if (little_first && known > 0 && known < count) {
			long double most =
				max > min ? max + (max - min) * 100 : max + 10000;

			if (c->pools[of].kind != KNOWN)
				at = most;
			max = most;
		}
		if (c->weighers[w] && max > min)
			sum += c->multipliers[w] * (at - min) / (max - min);
	}
	return sum;
}

/* ---- the same for scheduler/ ---- */

struct texts {
	char target[32], exclude[32], exists_on[32], attempted[32];
	const char *zones[3], *attempts[2];
};

static const char *place_text(struct place place, char out[32])
{
	if (place.backend == ANY)
		return NULL;
	snprintf(out, 32, "h@b%d", place.backend);
	if (place.pool != ANY)
		snprintf(out + 4, 28, "#p%d", place.pool);
	return out;
}

static struct json_object *specs_of(const struct plain_request *r)
{
	struct json_object *specs = json_object_new_object();
	char text[32];

	json_add_string(specs, "vendor:nothing", "x");
	if (r->thick)
		json_add_string(specs, "provisioning:type", "thick");
	if (r->tier)
		json_add_string(
			specs, "tier", r->tier == 1 ? "one" : "<or> x <or> two");
	snprintf(text, sizeof(text), ">= %d", r->speed);
	if (r->speed)
		json_add_string(specs, "capabilities:of:speed", text);
	return specs;
}

static struct placement placement_of(
	const struct plain_request *r, struct texts *t, struct json_object *specs)
{
	static const char *const zones[] = { "zone0", "zone1" };
	size_t n = 0;

	for (int z = 0; z < 2; z++)
		if (r->zones & 1 << z)
			t->zones[n++] = zones[z];
	t->zones[n] = NULL;
	t->attempts[0] = place_text(r->attempted, t->attempted);
	t->attempts[1] = NULL;
	return (struct placement) {
		.size_gib = r->size_gib,
		.target = place_text(r->target, t->target),
		.exclude = place_text(r->exclude, t->exclude),
		.exists_on = place_text(r->exists_on, t->exists_on),
		.managed = r->managed,
		.attached_grows = r->attached_grows,
		.zones = r->zones ? t->zones : NULL,
		.attempted = t->attempts,
		.specs = specs,
	};
}

static void add_amount(
	struct json_object *o, const char *key, enum kind kind, int64_t quarters)
{
	if (kind == KNOWN)
		json_add_double(o, key, (double)quarters / 4);
	else
		json_add_string(o, key, kind == INFINITE ? "infinite" : "unknown");
}

static struct json_object *pool_report(const struct plain_pool *p)
{
	struct json_object *o = json_object_new_object();
	struct json_object *of = json_object_new_object();
	char name[16];

	snprintf(name, sizeof(name), "p%d", p->index);
	json_add_string(o, "pool_name", name);
	json_add_double(o, "total_capacity_gb", (double)p->total / 4);
	add_amount(o, "free_capacity_gb", p->kind, p->free);
	json_add_double(o, "provisioned_capacity_gb", (double)p->provisioned / 4);
	json_add_double(o, "allocated_capacity_gb", (double)p->allocated / 4);
	json_add_int(o, "reserved_percentage", p->reserved_percent);
	json_add_double(o, "max_over_subscription_ratio", (double)p->ratio4 / 4);
	json_add_bool(o, "thin_provisioning_support", p->thin);
	json_add_string(o, "backend_state", p->down ? "down" : "up");
	if (p->tier)
		json_add_string(o, "tier", p->tier == 1 ? "one" : "two");
	if (p->online < 2)
		json_add_bool(o, "online_extend_support", p->online);
	json_add_int(of, "speed", p->speed);
	json_add(o, "of", of);
	return o;
}

static void report_backend(struct pools *pools, const struct cloud *c, int backend)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *capabilities = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct error err;
	char host[16];

	snprintf(host, sizeof(host), "h@b%d", backend);
	for (int i = 0; i < c->count; i++)
		if (c->pools[i].backend == backend)
			json_object_array_add(list, pool_report(&c->pools[i]));
	json_add(capabilities, "pools", list);
	json_add_string(args, "service_name", "volume");
	json_add_string(args, "host", host);
	json_add(args, "capabilities", capabilities);
	if (pools_report(pools, args, 20, 1, &err) != 1)
		fail_msg("%s", err.text);
}

struct world {
	struct pools pools;
	struct service services[BACKENDS];
	struct pool_load load[BACKENDS * POOLS];
	struct reservation reservations[BACKENDS * POOLS];
	struct policy policy;
	struct view view;
};

static void build_pool(struct world *w, const struct cloud *c, int i)
{
	const struct plain_pool *p = &c->pools[i];
	char address[32];

	place_text((struct place) { p->backend, p->index }, address);
	pools_find(&w->pools, address)->capacity.placed = (double)p->placed / 4;
	snprintf(w->load[i].pool, sizeof(w->load[i].pool), "%s", address);
	w->load[i].size_gib = p->load / 4;
	w->load[i].volumes = p->volumes;
	snprintf(w->reservations[i].target, sizeof(w->reservations[i].target), "%s",
		address);
	w->reservations[i].size_gib = p->promised / 4;
}

static void build_world(struct world *w, const struct cloud *c)
{
	memset(w, 0, sizeof(*w));
	for (int b = 0; b < BACKENDS; b++) {
		struct service *s = &w->services[b];

		report_backend(&w->pools, c, b);
		snprintf(s->host, sizeof(s->host), "h@b%d", b);
		snprintf(s->binary, sizeof(s->binary), VOLUME_BINARY);
		snprintf(s->availability_zone, sizeof(s->availability_zone), "zone%d",
			c->backends[b].zone);
		s->up = c->backends[b].up;
		s->disabled = c->backends[b].disabled;
		s->frozen = c->backends[b].frozen;
		s->drover = c->backends[b].drover;
	}
	for (int i = 0; i < c->count; i++)
		build_pool(w, c, i);
	memcpy(w->policy.filters, c->filters, sizeof(c->filters));
	memcpy(w->policy.weighers, c->weighers, sizeof(c->weighers));
	for (int i = 0; i < WEIGHER_COUNT; i++)
		w->policy.multipliers[i] = c->multipliers[i];
	w->view = (struct view) {
		.pools = &w->pools,
		.services = w->services,
		.service_count = BACKENDS,
		.load = w->load,
		.load_count = (size_t)c->count,
		.reservations = w->reservations,
		.reservation_count = (size_t)c->count,
		.policy = &w->policy,
	};
}

/* ---- both ---- */

static int index_of(const struct cloud *c, const char *address)
{
	char text[32];

	for (int i = 0; i < c->count; i++) {
		place_text((struct place) { c->pools[i].backend, c->pools[i].index },
			text);
		if (strcmp(text, address) == 0)
			return i;
	}
	fail_msg("there is no pool '%s'", address);
	return ANY;
}

/* Do all weighers say the same of both? */
static bool is_alike(const struct cloud *c, int a, int b)
{
	const struct plain_pool *p = &c->pools[a], *q = &c->pools[b];
	bool alike = (p->kind == KNOWN) == (q->kind == KNOWN);

	for (int w = 0; w < WEIGHER_COUNT; w++)
		alike = alike &&
			(!c->weighers[w] ||
				plain_weight(c, p, (enum weigher)w) ==
					plain_weight(c, q, (enum weigher)w));
	return alike;
}

static void check_choice(
	const struct cloud *c, const int *passed, int count, int chosen)
{
	long double own = score(c, passed, count, chosen);
	bool is_among = false;

	for (int i = 0; i < count; i++) {
		long double other = score(c, passed, count, passed[i]);

		is_among = is_among || passed[i] == chosen;
		if (!is_among && is_alike(c, passed[i], chosen))
			fail_msg("pool %d is like %d, and comes first", passed[i],
				chosen);
		if (other > own + 1e-9L)
			fail_msg("pool %d has %Lf, but %d with %Lf was chosen",
				passed[i], other, chosen, own);
	}
	assert_true(is_among);
}

static bool compare(const struct cloud *c)
{
	AUTO(json_object_put) struct json_object *specs = specs_of(&c->request);
	int passed[BACKENDS * POOLS], count = 0, rc;
	const struct service *service;
	struct world world;
	struct texts texts;
	struct placement request = placement_of(&c->request, &texts, specs);
	struct pool *pool;
	struct error err;

	for (int i = 0; i < c->count; i++)
		if (plain_passes(c, &c->pools[i]))
			passed[count++] = i;
	build_world(&world, c);
	rc = placement_choose(&world.view, &request, &pool, &service, &err);
	if ((rc == 0) != (count > 0))
		fail_msg("%d pools pass, but: %s", count,
			rc == 0 ? pool->address : err.text);
	if (rc == 0)
		check_choice(c, passed, count, index_of(c, pool->address));
	else
		assert_int_equal(err.code,
			request.target ? ERR_INVALID_HOST : ERR_NO_VALID_BACKEND);
	pools_clear(&world.pools);
	return rc == 0;
}

static void random_clouds_are_judged_alike(void **state)
{
	unsigned chosen = 0;
	struct cloud cloud;

	for (unsigned i = 0; i < CLOUDS; i++) {
		random_cloud(&cloud);
		chosen += compare(&cloud);
	}
	/* The generator makes both kinds. */
	assert_in_range(chosen, CLOUDS / 5, CLOUDS * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_clouds_are_judged_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
