/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dialer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/broker.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/text.h"

#define FIRST_PAUSE_S 0.2
#define LONGEST_PAUSE_S 10.0

void dialer_init(
	struct dialer *d, const struct rpc_options *options, const char *purpose)
{
	memset(d, 0, sizeof(*d));
	d->options = options;
	d->purpose = purpose;
}

double dialer_wait(const struct dialer *d)
{
	double left = d->not_before - clock_seconds();

	return left > 0 ? left : 0;
}

int dialer_dial(struct dialer *d, double timeout_s, double stall_s, struct broker **out,
	struct error *err)
{
	size_t host = d->next_host;

	d->next_host = (host + 1) % d->options->url.host_count;
	return broker_open(d->options, host, timeout_s, stall_s, out, err);
}

void dialer_good(struct dialer *d, const struct broker *broker)
{
	if (d->failures || d->told[0])
		log_info("broker is back for=%s broker=%s", d->purpose,
			broker_name(broker));
	d->failures = 0;
	d->not_before = 0;
	d->told[0] = '\0';
}

/* Between 0.5 and 1, so that many daemons do not come back at the same moment. */
static double jitter(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 0.5 + (double)((now.tv_nsec / 100) % 1000) / 2000;
}

static double pause_after(const struct dialer *d)
{
	size_t hosts = d->options->url.host_count;
	double pause = FIRST_PAUSE_S;

	if (d->failures % hosts)
		return 0.02; /* the next host is tried at once */
	for (size_t round = d->failures / hosts; round > 1 && pause < LONGEST_PAUSE_S;
		round--)
		pause *= 2;
	return (pause < LONGEST_PAUSE_S ? pause : LONGEST_PAUSE_S) * jitter();
}

void dialer_bad(struct dialer *d, const struct error *reason)
{
	d->failures++;
	d->not_before = clock_seconds() + pause_after(d);
	if (strcmp(d->told, reason->text) == 0)
		return;
	snprintf(d->told, sizeof(d->told), "%s", reason->text);
	log_warning("broker is away, trying again for=%s reason='%s'", d->purpose,
		reason->text);
}
