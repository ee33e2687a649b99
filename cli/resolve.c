/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: an operator has looked where the guest of a held migration is */
#include "cli/verbs.h"

#include <stdio.h>

#include "common/hypervisor.h"
#include "common/store/compute.h"

/* Who sees the guest knows better. */
static int check_answer(const struct swap_status *status, const struct guest *guest,
	bool moved, struct error *err)
{
	bool other = moved ? status->source && !status->target : status->target;

	/* Without a swap the disk's serial number proves nothing. */
	if (status->state == SWAP_NONE)
		return 0;
	if (moved)
		other = other || status->state == SWAP_FAILED ||
			status->state == SWAP_CANCELLED;
	else
		other = other || status->state == SWAP_MOVED;
	if (other || (!moved && status->state == SWAP_PIVOTING))
		return error_set(err, ERR_INVALID_VOLUME,
			"its hypervisor says that instance '%s' is on the %s volume "
			"(state '%s')",
			guest->server_id, moved ? "old" : "temporary",
			swap_state_name(status->state));
	return 0;
}

/* It was decided so before, when the hypervisor did not answer. */
static bool is_decided(enum phase phase, bool moved)
{
	return moved ? phase == PHASE_SETTLING || phase == PHASE_DONE
		     : phase == PHASE_FAILED || phase == PHASE_CANCELLED;
}

/* 1: it was waiting for that. */
static int ask_hypervisor(struct cli *cli, const struct migration *m,
	const struct swap *swap, bool moved, struct error *err)
{
	const struct hypervisor_swap what = { .host = swap->hypervisor,
		.instance_id = swap->guest.server_id,
		.volume_id = m->op.volume_id,
		.target_id = m->temporary_id };
	struct swap_status status;
	enum swap_state was;
	int done;

	if (cli_broker(cli, err) < 0)
		return -1;
	/* One that copies still is ended first. */
	done = moved ? hypervisor_swap_status(cli->rpc, &what, &status, err)
		     : hypervisor_swap_cancel(cli->rpc, &what, &status, err);
	if (done < 0 || check_answer(&status, &swap->guest, moved, err) < 0)
		return -1;
	was = status.state;
	if (hypervisor_swap_resolve(cli->rpc, &what, moved, &status, err) < 0)
		return -1;
	return was == SWAP_HELD;
}

/* The hypervisor makes the guest's definition one that starts again. Where nobody is, it is
 * the operator's to do. 1: only that was left to be done. */
static int tell_hypervisor(
	struct cli *cli, const char *volume_id, bool moved, struct error *err)
{
	struct migration m;
	struct swap swap;
	int found = store_migration_last(cli->db, volume_id, &m, err);

	if (found <= 0 ||
		(m.op.phase != PHASE_HELD && m.op.phase != PHASE_SWAPPING &&
			!is_decided(m.op.phase, moved)))
		return found < 0 ? -1 : 0;
	found = store_swap_read(cli->db, &m, &swap, err);
	if (found <= 0 || !swap.rpc || !swap.asked)
		return found < 0 ? -1 : 0;
	found = ask_hypervisor(cli, &m, &swap, moved, err);
	if (found >= 0)
		return found && is_decided(m.op.phase, moved);
	if (is_decided(m.op.phase, moved))
		return 0; /* refused below */
	if (!hypervisor_unheard(err))
		return -1;
	fprintf(stderr,
		"drover: %s; see to it that instance '%s' is defined with the disk of "
		"volume '%s' as it is %s\n",
		err->text, swap.guest.server_id, volume_id, moved ? "now" : "again");
	return 0;
}

int verb_resolve(struct cli *cli, struct error *err)
{
	const bool moved = cli_has(cli, OPT_MOVED);
	struct volume volume;
	int told;

	if (moved == cli_has(cli, OPT_NOT_MOVED))
		return error_set(err, ERR_USAGE,
			"where does the guest write to? --moved: to the temporary volume; "
			"--not-moved: to the volume as it was");
	if (cli_volume(cli, cli->words[0], &volume, err) < 0)
		return -1;
	told = tell_hypervisor(cli, volume.id, moved, err);
	if (told < 0)
		return -1;
	if (told) {
		cli_say("the hypervisor of volume '%s' knows it now",
			volume_label(&volume));
		return 0;
	}
	if (store_swap_resolve(cli->db, volume.id, moved,
		    cli->settings->migration_result_keep, cli->settings->source_keep,
		    err) < 0)
		return -1;
	if (moved)
		cli_say("volume '%s' is where its guest is now", volume_label(&volume));
	else
		cli_say("volume '%s' is where it was; what was to be its place is "
			"quarantined: 'drover garbage list' shows it",
			volume_label(&volume));
	return 0;
}
