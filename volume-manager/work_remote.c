/* SPDX-License-Identifier: Apache-2.0 */
/* The target is on another host: T is made, exported and read back by its manager, asked
 * for by rows; the bytes go there over NBD. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/remote.h"
#include "volume-manager/work_job.h"

/* Copies that are begun again without a checkpoint in between after an error of the
 * target's disk; a connection that is lost is made anew for as long as anybody waits. */
#define COPY_TRIES 5
#define LONGEST_NAP_MS 1000
#define ASK_SECONDS 1.0
#define KEY_BYTES 32

/* Waiting for the target: bounded by the silence of its manager, and by a manager that is
 * there and does not do it; ended by a stop. Silence counts from the end of the lease. */
struct patience {
	struct job *job;
	double began, alive_at, until, look_at;
};

static void patience_init(struct patience *p, struct job *job)
{
	double now = clock_seconds();

	*p = (struct patience) { job, now, now, now + job->work->settings->peer_timeout,
		0 };
}

/* What it has had no time for does not count. ERR_TIMEOUT when it has been enough. */
static int patience_looked(struct patience *p, double now, int alive, bool released,
	const char *for_what, struct error *err)
{
	const struct settings *settings = p->job->work->settings;
	const double seconds = settings->peer_timeout;
	const double silence = settings_silence(settings, released);

	p->look_at = now + 0.5;
	if (alive)
		p->alive_at = now;
	else
		p->until = now + seconds;
	if (now - p->alive_at > silence)
		return error_set(err, ERR_TIMEOUT,
			"target: the manager of '%s' has been silent for more than "
			"%.0f s, %s",
			p->job->m.target, silence, for_what);
	if (now > p->until)
		return error_set(err, ERR_TIMEOUT,
			"target: the manager of '%s' has not done it in %.0f s: %s",
			p->job->m.target, seconds, for_what);
	return 0;
}

static int look(struct patience *p, double now, const char *for_what, struct error *err)
{
	struct work *work = p->job->work;
	bool released;
	int alive = work_sure(work,
		store_remote_alive(work->db, p->job->m.target, &released, err), err);

	if (alive < 0 ||
		work_sure(work, store_migration_wanted(work->db, &p->job->m, err),
			err) < 0)
		return -1;
	return patience_looked(p, now, alive, released, for_what, err);
}

static int patience_wait(struct patience *p, const char *for_what, struct error *err)
{
	double now = clock_seconds();

	if (work_stopping(p->job->work))
		return work_stop_error(err);
	if (now >= p->look_at && look(p, now, for_what, err) < 0)
		return -1;
	work_nap_ms(work_poll_ms(now - p->began));
	return 0;
}

int remote_make_target(struct job *job, struct error *err)
{
	struct work *work = job->work;
	struct patience patience;
	double ask_at = 0;
	int made;

	patience_init(&patience, job);
	for (;;) {
		/* Asked again: a fail-over of the database may have forgotten it. */
		if (clock_seconds() >= ask_at) {
			if (work_sure(work, store_remote_create(work->db, &job->m, err),
				    err) < 0)
				return -1;
			ask_at = clock_seconds() + ASK_SECONDS;
		}
		made = work_sure(
			work, store_remote_created(work->db, &job->m, err), err);
		if (made != 0)
			return made < 0 ? -1 : 0;
		if (patience_wait(
			    &patience, "the temporary volume is to be made", err) < 0)
			return -1;
	}
}

/* ---- the export ---- */

static int make_key(char hex[2 * KEY_BYTES + 1], struct error *err)
{
	unsigned char bytes[KEY_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return error_set_errno(err, ERR_IO, "cannot make a key");
	for (unsigned i = 0; i < KEY_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* Asked for when there is none of this epoch; else only looked at. 1 open, 0 not yet. */
static int ask_for_export(
	struct job *job, const char *key, struct export *export, struct error *err)
{
	struct work *work = job->work;
	int found = 0;

	if (export->id[0])
		found = work_sure(
			work, store_export_get(work->db, export->id, export, err), err);
	if (found == 0 || (found > 0 && strcmp(export->state, "closed") == 0))
		found = work_sure(work,
			store_remote_export(work->db, &job->m, work->settings->host,
				key, export, err),
			err);
	if (found == 0)
		export->id[0] = '\0';
	return found <= 0 ? found : strcmp(export->state, "open") == 0;
}

static int wait_for_export(struct job *job, struct export *export, struct error *err)
{
	char key[2 * KEY_BYTES + 1] = "";
	struct patience patience;
	int open;

	memset(export, 0, sizeof(*export));
	if (job->work->settings->nbd_tls && make_key(key, err) < 0)
		return -1;
	patience_init(&patience, job);
	while ((open = ask_for_export(job, key, export, err)) == 0)
		if (patience_wait(&patience, "the temporary volume is to be exported",
			    err) < 0)
			return -1;
	return open < 0 ? -1 : 0;
}

static int endpoint_of_export(struct job *job, const struct export *export,
	struct endpoint *out, struct error *err)
{
	memset(out, 0, sizeof(*out));
	text_copy(out->nbd.host, sizeof(out->nbd.host), export->address);
	text_copy(out->nbd.export, sizeof(out->nbd.export), export->id);
	out->nbd.port = (uint16_t) export->port;
	out->zero_when_new = true;
	if (!export->tls_key[0])
		return 0;
	text_copy(out->nbd.username, sizeof(out->nbd.username), EXPORT_PSK_USER);
	snprintf(out->nbd.psk_path, sizeof(out->nbd.psk_path), "%s/operations/%s.psk",
		job->work->settings->state_path, job->m.op.id);
	return work_write_psk(out->nbd.psk_path, export->tls_key, err);
}

/* ---- reading back ---- */

/* In a thread of the copy. It shares the worker's connection to the database with the
 * copy's callbacks, one statement or transaction at a time. */
struct asker {
	struct job *job;
	pthread_mutex_t db;
	volatile bool stop;
};

void job_db_lock(struct job *job)
{
	if (job->asker)
		pthread_mutex_lock(&job->asker->db);
}

void job_db_unlock(struct job *job)
{
	if (job->asker)
		pthread_mutex_unlock(&job->asker->db);
}

static void on_read_back_stop(void *arg)
{
	struct job *job = arg;

	job->asker->stop = true;
}

static bool may_come_again(const struct asker *asker, const struct error *err)
{
	return (err->code == ERR_DB_UNAVAILABLE || err->code == ERR_DB_UNKNOWN ||
		       err->code == ERR_DB_RETRY) &&
		!asker->stop && !work_stopping(asker->job->work);
}

static int ask(
	struct asker *asker, uint64_t from, uint64_t to, int64_t *id, struct error *err)
{
	struct job *job = asker->job;
	int asked;

	job_db_lock(job);
	asked = store_read_back_ask(
		job->work->db, &job->m, (int64_t)from, (int64_t)to, id, err);
	job_db_unlock(job);
	return asked;
}

/* 1 and the answer, 0 not yet. The patience looks at the target now and then. */
static int look_for_answer(struct asker *asker, int64_t id, char **text,
	struct patience *patience, struct error *err)
{
	const double now = clock_seconds();
	struct job *job = asker->job;
	struct db *db = job->work->db;
	bool released = false;
	int answered, alive = -1;

	job_db_lock(job);
	answered = store_read_back_take(db, id, text, err);
	if (answered == 0 && now >= patience->look_at)
		alive = store_remote_alive(db, job->m.target, &released, err);
	job_db_unlock(job);
	if (answered != 0 || alive < 0)
		return answered;
	return patience_looked(
		patience, now, alive, released, "it is to read back", err);
}

static int answer_of(struct asker *asker, int64_t id, char **text,
	struct patience *patience, struct error *err)
{
	double began = clock_seconds();

	for (;;) {
		int answered = look_for_answer(asker, id, text, patience, err);

		if (answered > 0 || (answered < 0 && !may_come_again(asker, err)))
			return answered;
		if (asker->stop || work_stopping(asker->job->work))
			return work_stop_error(err);
		work_nap_ms(answered < 0 ? 200 : work_poll_ms(clock_seconds() - began));
	}
}

/* A question may get lost: the database failed over, and had not got it yet. */
static int on_read_back(void *arg, uint64_t from, uint64_t to,
	struct copy_digest *digests, size_t count, struct error *err)
{
	struct job *job = arg;
	AUTO(free) char *text = NULL;
	struct patience patience;
	int answered;
	int64_t id;

	patience_init(&patience, job);
	do {
		while (ask(job->asker, from, to, &id, err) < 0) {
			if (!may_come_again(job->asker, err))
				return -1;
			work_nap_ms(200);
		}
		answered = answer_of(job->asker, id, &text, &patience, err);
	} while (answered < 0 && err->code == ERR_NOT_FOUND);
	if (answered < 0)
		return -1;
	return copy_digests_from_text(text, digests, count, err);
}

/* ---- the copy ---- */

struct retry {
	int64_t checkpoint;
	double lost_at; /* first since the checkpoint; waiting for an export is not counted */
	unsigned tries;
};

static int copy_once(struct job *job, const struct endpoint *source,
	struct copy_options *options, struct retry *retry, struct copy_result *result,
	struct error *err)
{
	const double began = clock_seconds();
	struct asker asker = { .job = job };
	struct endpoint target;
	struct export export;
	int done;

	if (wait_for_export(job, &export, err) < 0 ||
		endpoint_of_export(job, &export, &target, err) < 0)
		return -1;
	retry->lost_at += clock_seconds() - began;
	pthread_mutex_init(&asker.db, NULL);
	options->start = (uint64_t)job->m.checkpoint;
	snprintf(options->chain_start, sizeof(options->chain_start), "%s",
		job->m.digest);
	job->asker = &asker;
	options->read_back = on_read_back;
	options->read_back_stop = on_read_back_stop;
	done = copy_run(source, &target, options, result, err);
	job->asker = NULL;
	pthread_mutex_destroy(&asker.db);
	if (target.nbd.psk_path[0])
		unlink(target.nbd.psk_path);
	return done;
}

/* The connection, the export or the other manager may come back; a disk that failed may
 * do so too, but is not waited for as long. */
static bool may_come_back(const struct error *err)
{
	return strncmp(err->text, "source", 6) != 0 &&
		(err->code == ERR_IO || err->code == ERR_TIMEOUT ||
			err->code == ERR_LOST);
}

static bool is_lost_connection(const struct error *err)
{
	static const int of_disks[] = { EIO, EROFS, EPERM, EINVAL, EFBIG, ENOMEM };

	for (unsigned i = 0; i < ARRAY_SIZE(of_disks); i++)
		if (err->errnum == of_disks[i])
			return false;
	return true;
}

/* Is it worth another try? Each checkpoint makes the count begin anew. */
static bool try_again(struct job *job, struct retry *retry, const struct error *err)
{
	const double seconds = job->work->settings->peer_timeout;

	if (work_stopping(job->work) || !may_come_back(err))
		return false;
	if (job->m.checkpoint > retry->checkpoint)
		*retry = (struct retry) { .checkpoint = job->m.checkpoint };
	if (retry->tries++ == 0)
		retry->lost_at = clock_seconds();
	return is_lost_connection(err) ? clock_seconds() - retry->lost_at < seconds
				       : retry->tries < COPY_TRIES;
}

int remote_copy(struct job *job, const struct endpoint *source,
	struct copy_options *options, struct copy_result *result, struct error *err)
{
	struct retry retry = { .checkpoint = job->m.checkpoint };
	struct work *work = job->work;
	struct error ignored;
	unsigned nap;

	while (copy_once(job, source, options, &retry, result, err) < 0) {
		if (!try_again(job, &retry, err))
			return -1;
		log_warning("the copy begins again at offset %lld: %s",
			(long long)job->m.checkpoint, err->text);
		options->target_is_new = false;
		if (store_remote_unexport(work->db, &job->m, &ignored) < 0)
			log_debug("%s", ignored.text);
		nap = 250 * retry.tries;
		work_nap_ms(nap < LONGEST_NAP_MS ? nap : LONGEST_NAP_MS);
		if (work_sure(work, store_migration_wanted(work->db, &job->m, err),
			    err) < 0)
			return -1;
	}
	return 0;
}

int remote_wait_closed(struct job *job, struct error *err)
{
	struct work *work = job->work;
	struct patience patience;
	int closed;

	patience_init(&patience, job);
	while ((closed = work_sure(work,
			store_migration_exports_closed(work->db, &job->m, err), err)) ==
		0)
		if (patience_wait(&patience, "the export is to be closed", err) < 0)
			return -1;
	return closed < 0 ? -1 : 0;
}
