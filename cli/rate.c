/* SPDX-License-Identifier: Apache-2.0 */
/* rate, pause, continue */
#include "cli/rate.h"

#include <string.h>

#include "cli/verbs.h"
#include "common/store/pace.h"

int rate_from_text(const char *text, int64_t *out, struct error *err)
{
	uint64_t rate = 0;

	if (strcmp(text, "none") != 0 && text_to_bytes(text, &rate, err) < 0)
		return -1;
	*out = (int64_t)rate;
	return 0;
}

static void say_rate(const char *name, int64_t rate)
{
	char size[SIZE_TEXT_SIZE];

	if (rate == RATE_OF_BACKEND)
		cli_say("the migration of '%s' goes as fast as volume_copy_bps_limit of "
			"the volume's backend says",
			name);
	else if (rate == 0)
		cli_say("the migration of '%s' goes as fast as it can", name);
	else
		cli_say("the migration of '%s' copies at most %s per second", name,
			text_size(size, (uint64_t)rate));
}

int verb_rate(struct cli *cli, struct error *err)
{
	int64_t rate = RATE_OF_BACKEND;
	struct volume volume;

	if (strcmp(cli->words[1], "default") != 0 &&
		rate_from_text(cli->words[1], &rate, err) < 0)
		return -1;
	if (cli_volume(cli, cli->words[0], &volume, err) < 0 ||
		store_pace_limit(cli->db, &volume, rate, err) < 0)
		return -1;
	say_rate(volume_label(&volume), rate);
	return 0;
}

int verb_pause(struct cli *cli, struct error *err)
{
	struct volume volume;

	if (cli_volume(cli, cli->words[0], &volume, err) < 0 ||
		store_pace_pause(cli->db, &volume, true, err) < 0)
		return -1;
	cli_say("the migration of '%s' is paused; 'drover continue %s' lets it go on",
		volume_label(&volume), volume_label(&volume));
	return 0;
}

int verb_continue(struct cli *cli, struct error *err)
{
	struct volume volume;

	if (cli_volume(cli, cli->words[0], &volume, err) < 0 ||
		store_pace_pause(cli->db, &volume, false, err) < 0)
		return -1;
	cli_say("the migration of '%s' goes on", volume_label(&volume));
	return 0;
}
