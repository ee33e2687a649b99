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
#define WORKED_S 1.0

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
	if (d->failures)
		log_info("broker is back for=%s broker=%s", d->purpose,
			broker_name(broker));
	if (!d->good_since)
		d->good_since = clock_seconds();
	d->failures = 0;
	d->not_before = 0;
	d->reason[0] = '\0';
	d->told_count = 0;
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

static bool was_told(struct dialer *d, const char *text)
{
	unsigned long hash = 5381;

	for (const char *p = text; *p; p++)
		hash = hash * 33 + (unsigned char)*p;
	for (size_t i = 0; i < d->told_count; i++)
		if (d->told[i] == hash)
			return true;
	if (d->told_count < ARRAY_SIZE(d->told))
		d->told[d->told_count++] = hash;
	return false;
}

void dialer_bad(struct dialer *d, const struct error *reason)
{
	double now = clock_seconds();
	bool had_worked = d->good_since && now - d->good_since > WORKED_S;

	d->failures++;
	d->good_since = 0;
	d->not_before = now + (had_worked ? 0 : pause_after(d));
	snprintf(d->reason, sizeof(d->reason), "%s", reason->text);
	if (was_told(d, reason->text))
		return;
	log_warning("broker is away, trying again for=%s reason='%s'", d->purpose,
		reason->text);
}
