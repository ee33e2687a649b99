/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold. */
#include "tests/model/model.h"

static const char *const wrongs[] = {
	[WRONG_NOTHING] = NULL,
	[WRONG_CANCELLED] = "the switch was made after a cancel was committed",
	[WRONG_RESET] = "the switch was made after an admin's reset was committed",
	[WRONG_TWICE] = "one request led to two migrations",
	[WRONG_FOREIGN] = "somebody else's object was taken for T's",
	[WRONG_STEP] = "the operation made a step that common/phase.c does not have",
};

static bool has_old_writer(const struct state *s)
{
	for (unsigned i = 0; i < 2; i++)
		if (s->worker[i].alive && s->worker[i].connected &&
			(s->servers >> s->worker[i].slot & 1))
			return true;
	return false;
}

static const char *broken_on_new(const struct state *s)
{
	if (s->new_object == OBJECT_NONE)
		return "the object that S points to is gone";
	if (s->new_object != OBJECT_THERE)
		return "the object that S points to has lost its name";
	if (has_old_writer(s))
		return "a migration's writer can write to the object that S points to";
	/* What was written before S was put back by hand is the admin's to lose. */
	if ((s->seen_0 != s->truth && !s->adopted) || s->seen_1 != FIRST)
		return "S points to an object with stale data";
	return NULL;
}

static const char *broken_on_old(const struct state *s)
{
	if (s->old_object == OBJECT_NONE)
		return "the object that S points to is gone";
	/* By hand it was put on an object that was about to be renamed: not lost. */
	if (s->old_object != OBJECT_THERE && !s->adopted)
		return "the object that S points to has lost its name";
	if (s->old_content != s->truth)
		return "S points to an object with stale data";
	return NULL;
}

const char *model_broken(const struct state *s)
{
	if (s->wrong)
		return wrongs[s->wrong];
	if (s->db.s_deleted)
		return NULL;
	return s->db.s_on_new ? broken_on_new(s) : broken_on_old(s);
}

const char *model_broken_at_rest(const struct state *s)
{
	bool is_volume = !s->db.s_deleted;

	if (s->db.s_status != STATUS_NONE || has_exclusive_operation(&s->db))
		return "S is held for ever";
	if (s->a_dead || s->b == HOST_DEAD)
		return NULL;
	if (is_unfinished(&s->db))
		return "the operation never ends";
	if (s->new_object != OBJECT_NONE && !(is_volume && s->db.s_on_new))
		return "T's object is left over for ever";
	if (s->old_object != OBJECT_NONE && !s->purged &&
		!(is_volume && !s->db.s_on_new))
		return "the old object is left over for ever";
	if (s->servers)
		return "an export server is left over for ever";
	return NULL;
}

void model_print(const struct state *s, FILE *out)
{
	static const char *const status[] = { "none", "starting", "migrating",
		"completing" };
	static const char *const objects[] = { "none", "unnamed", "there", "trash" };
	static const char *const garbage[] = { "none", "waiting", "renamed" };
	static const char *const bytes[] = { "never", "first", "user-on-old",
		"user-on-new", "bad" };

	fprintf(out,
		"      S on %s%s status=%s phase=%s epoch=%u cancel=%u checkpoint=%u"
		" garbage=%s/%s\n"
		"      objects old=%s/%s new=%s/%s,%s stable=%s,%s exports=%03o "
		"servers=%u\n",
		s->db.s_on_new ? "B" : "A", s->db.s_deleted ? " (deleted)" : "",
		status[s->db.s_status],
		s->db.phase == NO_OPERATION ? "-" : phase_name((enum phase)s->db.phase),
		s->db.epoch, s->db.cancel, s->db.checkpoint, garbage[s->db.old_garbage],
		garbage[s->db.new_garbage], objects[s->old_object],
		bytes[s->old_content], objects[s->new_object], bytes[s->seen_0],
		bytes[s->seen_1], bytes[s->stable_0], bytes[s->stable_1], s->db.exports,
		s->servers);
}
