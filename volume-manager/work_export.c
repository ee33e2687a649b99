/* SPDX-License-Identifier: Apache-2.0 */
/* An export: this process listens, writes that down, and becomes nbdkit. It is not tied
 * to the manager's life: who has a volume connected does not notice a restart. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/exports.h"
#include "volume-manager/process.h"
#include "volume-manager/work_job.h"

DEFINE_AUTO(struct addrinfo *, freeaddrinfo)

/* Attachments are for this host; what other hosts connect to listens on my_ip. */
#define LISTEN_ADDRESS "127.0.0.1"

static bool is_migration(const struct export *export)
{
	return strcmp(export->kind, "migration") == 0;
}

/* port 0: any. The port of an export that is started again is kept, so that its clients
 * find it. */
static int listen_on(const char *host, int64_t port, int *out, struct export *export,
	struct error *err)
{
	char service[24];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	AUTO(freeaddrinfo) struct addrinfo *address = NULL;
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	int yes = 1, rc;
	AUTO(fd) int fd = -1;

	snprintf(service, sizeof(service), "%lld", (long long)port);
	rc = getaddrinfo(host, service, &hints, &address);
	if (rc != 0)
		return error_set(err, ERR_CONFIG, "cannot listen on my_ip '%s': %s",
			host, gai_strerror(rc));
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
		bind(fd, address->ai_addr, address->ai_addrlen) < 0 ||
		listen(fd, 64) < 0 ||
		getsockname(fd, (struct sockaddr *)&bound, &length) < 0)
		return error_set_errno(err, ERR_IO, "cannot listen on %s port %lld",
			host, (long long)port);
	/* The port is at the same place for both families. */
	export->port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
	text_copy(export->address, sizeof(export->address), host);
	*out = steal_fd(&fd);
	return 0;
}

/* The address that packets to others leave from; nothing is sent. */
static void find_my_ip(char *out, size_t size)
{
	struct sockaddr_in other = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in mine;
	socklen_t length = sizeof(mine);
	AUTO(fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "192.0.2.1", &other.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&other, sizeof(other)) < 0 ||
		getsockname(fd, (struct sockaddr *)&mine, &length) < 0 ||
		!inet_ntop(AF_INET, &mine.sin_addr, out, (socklen_t)size))
		snprintf(out, size, LISTEN_ADDRESS);
}

static int open_socket(
	struct work *work, struct export *export, int *fd, struct error *err)
{
	char host[64] = LISTEN_ADDRESS;
	const bool far = is_migration(export) || export->certificates;

	if (far && work->settings->my_ip)
		text_copy(host, sizeof(host), work->settings->my_ip);
	else if (far)
		find_my_ip(host, sizeof(host));
	return listen_on(host, export->port, fd, export, err);
}

static int find_path(struct work *work, const struct export *export,
	struct endpoint *out, struct error *err)
{
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_row object;
	struct object_id id;
	struct volume volume;
	int found = work_sure(
		work, store_volume_get(work->db, export->volume_id, &volume, err), err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", export->volume_id);
	if (work_backend_open(work, export->host, &backend, err) < 0 ||
		work_find_object(work, backend, volume.name_id, &object, err) < 0)
		return -1;
	snprintf(id.text, sizeof(id.text), "%s", object.identity);
	return backend_endpoint(backend, object.name, &id, out, err);
}

int work_write_psk(const char *path, const char *key, struct error *err)
{
	AUTO(fd) int fd = -1;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%s:%s\n", EXPORT_PSK_USER, key) < 0)
		return error_set_errno(err, ERR_IO, "cannot write the key '%s'", path);
	return 0;
}

/* Only returns when exec failed. */
static int become_nbdkit(struct work *work, const struct export *export,
	const struct endpoint *endpoint, int fd, struct error *err)
{
	const char *nbdkit = work->settings->nbdkit;
	AUTO(free) char *file = text_format("file=%s", endpoint->path);
	AUTO(free) char *name = text_format("exportname=%s", export->id);
	char pid[24];
	AUTO(free)
	char *psk = text_format("--tls-psk=%s/operations/%s.psk",
		work->settings->state_path, export->id);
	AUTO(free)
	char *certificates = text_format("--tls-certificates=%s",
		work->settings->nbd_certificates ? work->settings->nbd_certificates
						 : "");
	const char *argv[16];
	unsigned n = 0;

	if (!file || !name || !psk || !certificates)
		return error_no_memory(err);
	if (export->certificates && !work->settings->nbd_for_guests)
		return error_set(err, ERR_CONFIG,
			"nbd_tls is not 'certificates' any more, and a guest of host '%s' "
			"is connected by them",
			export->peer);
	if (export->tls_key[0] &&
		work_write_psk(psk + strlen("--tls-psk="), export->tls_key, err) < 0)
		return -1;
	argv[n++] = nbdkit;
	argv[n++] = "--foreground";
	if (export->read_only)
		argv[n++] = "--readonly";
	if (is_migration(export))
		argv[n++] = "--exit-with-parent";
	if (export->tls_key[0]) {
		argv[n++] = "--tls=require";
		argv[n++] = psk;
	}
	if (export->certificates) {
		argv[n++] = "--tls=require";
		argv[n++] = certificates;
		argv[n++] = "--tls-verify-peer";
	}
	argv[n++] = "--filter=exportname";
	argv[n++] = "file";
	argv[n++] = file;
	argv[n++] = name;
	argv[n++] = "exportname-strict=true";
	argv[n++] = "exportname-list=empty";
	argv[n] = NULL;
	/* systemd's way to hand over a socket: sd_listen_fds(3). dup2 clears the
	 * close-on-exec flag, but not when both numbers are equal. */
	if (fd == WORK_FD || dup2(fd, WORK_FD) < 0)
		return error_set_errno(err, ERR_IO, "cannot pass the socket on");
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", pid, 1);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	execvp(nbdkit, (char *const *)(uintptr_t)argv);
	return error_set_errno(err, ERR_BACKEND, "cannot run '%s'", nbdkit);
}

/* The row may have changed while the lock was waited for. 1 go on, 0 not wanted. */
static int read_again(struct work *work, struct export *export, struct error *err)
{
	int found = work_sure(
		work, store_export_get(work->db, export->id, export, err), err);

	if (found <= 0)
		return found;
	if (strcmp(export->state, "wanted") != 0 && strcmp(export->state, "open") != 0)
		return 0;
	return !process_is((pid_t) export->pid, export->pid_start, export->boot_id);
}

/* For the manager: whose process holds the lock, whatever the row says. */
static int write_holder(
	const struct work *work, const struct export *export, struct error *err)
{
	if (ftruncate(work->lock.fd, 0) < 0 ||
		dprintf(work->lock.fd, "%lld %lld\n", (long long)export->pid,
			(long long)export->pid_start) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot write the lock '%s'", work->lock.path);
	return 0;
}

/* A server whose row a fail-over forgets would go on serving, and nobody would know it: the
 * standbys have the row with the process, and it is still so. 1 go on, 0 not wanted. */
static int is_known(struct work *work, const struct export *export, struct error *err)
{
	struct export row;
	int found;

	if (work_wait_for_standbys(work, NULL, work->settings->standby_timeout, err) <
		0)
		return -1;
	found = work_sure(work, store_export_get(work->db, export->id, &row, err), err);
	if (found <= 0)
		return found;
	return strcmp(row.state, "open") == 0 && row.pid == export->pid &&
		row.pid_start == export->pid_start;
}

/* In the process that stays. 0 when it is not wanted any more; else -1, or it becomes
 * nbdkit. The lock is held until that ends: there is one server for a row. */
static int serve(
	struct work *work, struct export *export, int report, struct error *err)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	pid_t parent = getppid();
	struct export read;
	struct endpoint endpoint;
	AUTO(fd) int fd = -1;
	int wanted;

	if (work_lock(work, export->id, &work->lock, err) < 0)
		return -1;
	wanted = read_again(work, export, err);
	if (wanted <= 0)
		return wanted;
	if (work_wait_for_standbys(work, NULL, work->settings->standby_timeout, err) <
		0)
		return -1;
	wanted = read_again(work, export, err);
	if (wanted <= 0)
		return wanted;
	read = *export;
	if (find_path(work, export, &endpoint, err) < 0 ||
		open_socket(work, export, &fd, err) < 0)
		return -1;
	export->pid = getpid();
	export->pid_start = process_start_time(getpid());
	text_copy(export->boot_id, sizeof(export->boot_id), process_boot_id());
	if (write_holder(work, export, err) < 0)
		return -1;
	wanted =
		work_sure(work, store_export_opened(work->db, export, &read, err), err);
	if (wanted > 0 && fault_point("export.opened", err) < 0)
		return -1;
	if (wanted > 0)
		wanted = is_known(work, export, err);
	if (wanted <= 0)
		return wanted;
	log_info("volume exported id=%s export=%s port=%lld peer=%s", export->volume_id,
		export->id, (long long)export->port, export->peer);
	/* nbdkit with a passed socket ends with the process that is its parent when it
	 * starts (seen with 1.32), so that one must be gone before. */
	if (write(report, "", 1) < 0)
		log_warning("the process that started this one is gone");
	close(report);
	while (!is_migration(export) && getppid() == parent)
		nanosleep(&nap, NULL);
	fcntl(work->lock.fd, F_SETFD, 0);
	return become_nbdkit(work, export, &endpoint, fd, err);
}

static int failed(struct work *work, struct export *export, const struct error *why)
{
	struct error ignored;

	log_error("cannot export volume '%s': %s", export->volume_id, why->text);
	/* A new one has failed, and one whose volume is gone; one that was open before is
	 * tried again by the manager. */
	if (!work_stopping(work) &&
		(strcmp(export->state, "wanted") == 0 ||
			why->code == ERR_VOLUME_NOT_FOUND) &&
		store_export_closed(work->db, export->id, why->text, &ignored) < 0)
		log_error("%s", ignored.text);
	return WORK_FAILED;
}

static int serve_migration(struct work *work, struct export *export, int report)
{
	struct error err;

	if (serve(work, export, report, &err) == 0)
		return WORK_DONE;
	return failed(work, export, &err);
}

static void __attribute__((noreturn))
stay(struct work *work, struct export *export, int report)
{
	struct error err;

	setsid();
	/* The process that waits for the report dies with the manager; this one does not. */
	signal(SIGPIPE, SIG_IGN);
	if (serve(work, export, report, &err) == 0)
		_exit(WORK_DONE);
	_exit(failed(work, export, &err));
}

/* Did the process that stays write that it is open? */
static bool is_reported(int report)
{
	ssize_t got;
	char byte;

	do
		got = read(report, &byte, 1);
	while (got < 0 && errno == EINTR);
	return got == 1;
}

int work_export(struct work *work, const char *id)
{
	struct export export;
	struct error err;
	int report[2];
	pid_t pid;
	int found =
		work_sure(work, store_export_get(work->db, id, &export, &err), &err);

	if (found < 0)
		return log_error("%s", err.text), WORK_FAILED;
	if (!found ||
		(strcmp(export.state, "wanted") != 0 &&
			strcmp(export.state, "open") != 0))
		return WORK_DONE;
	/* A migration's export ends with the manager. */
	if (is_migration(&export)) {
		AUTO(fd) int nobody = open("/dev/null", O_WRONLY | O_CLOEXEC);

		return serve_migration(work, &export, nobody);
	}
	if (pipe2(report, O_CLOEXEC) < 0)
		return log_error("cannot make a pipe: %s", strerror(errno)),
		       WORK_FAILED;
	/* The connection to the database goes with the child; this process only waits. */
	pid = fork();
	if (pid < 0)
		return log_error("cannot fork: %s", strerror(errno)), WORK_FAILED;
	if (pid == 0) {
		close(report[0]);
		stay(work, &export, report[1]);
	}
	close(report[1]);
	_exit(is_reported(report[0]) ? WORK_DONE : WORK_FAILED);
}
