/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: an operator has looked where the guest of a held migration is */
#include "cli/verbs.h"

#include "common/store/compute.h"

int verb_resolve(struct cli *cli, struct error *err)
{
	const bool moved = cli_has(cli, OPT_MOVED);
	struct volume volume;

	if (moved == cli_has(cli, OPT_NOT_MOVED))
		return error_set(err, ERR_USAGE,
			"where does the guest write to? --moved: to the temporary volume; "
			"--not-moved: to the volume as it was");
	if (cli_volume(cli, cli->words[0], &volume, err) < 0)
		return -1;
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
