/* SPDX-License-Identifier: Apache-2.0 */
/* Driver nfs over bind mounts, in a mount namespace of its own, where /usr/sbin has a
 * mount.nfs that binds local directories. With DROVER_TEST_NFS=DIRECTORY some of them over
 * the kernel's NFS: 127.0.0.1 exports DIRECTORY with fsid=0, rw, no_root_squash. */
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <sys/statvfs.h>

#include "common/auto.h"
#include "common/log.h"
#include "common/md5.h"
#include "common/text.h"
#include "volume-manager/backend.h"
#include "volume-manager/drivers/mount.h"

#define MIB ((uint64_t)1 << 20)
#define ONE "127.0.0.1:/one"
#define TWO "127.0.0.1:/two"

static const struct backend_driver *const driver = &nfs_driver;
/* Why most tests here are skipped; NULL: they are not. */
static const char *skipped;
/* What the kernel's server exports; NULL: there are only bind mounts. */
static const char *real;

struct fixture {
	struct scratch scratch;
	char exports[256]; /* SERVER/PATH in it is the share "SERVER:/PATH" */
	char base[256];
	char shares[256];
	struct backend_settings settings;
	void *state;
	struct object_id recorded;
	struct error err;
};

static char *path_in(const char *directory, const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *out = path[next++ % 4];

	snprintf(out, PATH_MAX, "%.250s/%s", directory, name);
	return out;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	AUTO(fclose) FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* The file in the exported directory itself, whatever is mounted. */
static const char *exported(
	const struct fixture *f, const char *share, const char *name)
{
	char relative[PATH_MAX];
	const char *colon = strchr(share, ':');

	if (real)
		snprintf(relative, sizeof(relative), "%.200s/%s", colon + 2, name);
	else
		snprintf(relative, sizeof(relative), "%.*s%.200s/%s",
			(int)(colon - share), share, colon + 1, name);
	return path_in(f->exports, relative);
}

static const char *point_of(const struct fixture *f, const char *share)
{
	char digest[MD5_TEXT_SIZE];

	md5_text(share, strlen(share), digest);
	return path_in(f->base, digest);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void must_export(const struct fixture *f, const char *share)
{
	AUTO(free) char *path = strdup(exported(f, share, ""));

	assert_int_equal(mount_make_point(path, NULL), 0);
}

static void write_mount_nfs(const struct fixture *f, const char *directory)
{
	AUTO(free)
	char *script = text_format(
		"#!/bin/sh\n"
		"echo \"$@\" >>%s/mounts\n"
		"d=%s/$(echo \"$1\" | sed 's,:/,/,')\n"
		"[ -d \"$d\" ] || { echo \"mount.nfs: $1 is not exported\"; exit 32; }\n"
		"exec mount --bind \"$d\" \"$2\"\n",
		f->scratch.path, f->exports);

	write_file(path_in(directory, "mount.nfs"), script, 0755);
}

/* What mount.nfs was called with, a line each; empty: it was not. */
static char *mounts(const struct fixture *f)
{
	static char text[4096];
	AUTO(fclose) FILE *in = fopen(path_in(f->scratch.path, "mounts"), "r");

	memset(text, 0, sizeof(text));
	if (in)
		assert_true(fread(text, 1, sizeof(text) - 1, in) < sizeof(text));
	return text;
}

static void put_mount_nfs(const struct fixture *f)
{
	AUTO(free) char *lower = strdup(path_in(f->scratch.path, "sbin"));
	AUTO(free) char *options = text_format("lowerdir=%s:/usr/sbin", lower);

	assert_int_equal(mkdir(lower, 0755), 0);
	write_mount_nfs(f, lower);
	if (mount("overlay", "/usr/sbin", "overlay", 0, options) < 0)
		fail_msg("overlay over /usr/sbin: %s", strerror(errno));
}

/* What the tests before have left with the server. */
static void clear_export(const struct fixture *f, const char *share)
{
	AUTO(free) char *path = strdup(exported(f, share, ""));

	nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (skipped) {
		free(f);
		return 0;
	}
	scratch_make(&f->scratch);
	if (real)
		snprintf(f->exports, sizeof(f->exports), "%.200s", real);
	else
		snprintf(f->exports, sizeof(f->exports), "%.200s/exports",
			f->scratch.path);
	snprintf(f->base, sizeof(f->base), "%.200s/mnt", f->scratch.path);
	snprintf(f->shares, sizeof(f->shares), "%.200s/shares", f->scratch.path);
	if (!real)
		put_mount_nfs(f);
	must_export(f, ONE);
	must_export(f, TWO);
	write_file(f->shares, ONE "\n", 0644);
	f->settings = (struct backend_settings) {
		.name = (char *)"nfs-1",
		.nfs_shares_config = f->shares,
		.nfs_mount_point_base = f->base,
		.nfs_mount_attempts = 1,
		.nfs_sparsed_volumes = true,
		.nas_secure_file_permissions = (char *)"false",
		.max_over_subscription_ratio = (char *)"20.0",
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (skipped)
		return 0;
	assert_int_equal(seteuid(0), 0);
	if (f->state)
		driver->close(f->state);
	while (umount2(point_of(f, ONE), MNT_DETACH) == 0)
		;
	while (umount2(point_of(f, TWO), MNT_DETACH) == 0)
		;
	if (real) {
		clear_export(f, ONE);
		clear_export(f, TWO);
	} else {
		umount2("/usr/sbin", MNT_DETACH);
	}
	scratch_remove(&f->scratch);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	if (f->state)
		driver->close(f->state);
	f->state = NULL;
	if (driver->open(&f->settings, &f->state, &f->err) < 0)
		fail_msg("%s", f->err.text);
}

static int record(void *arg, const struct object_id *id, struct error *err)
{
	struct fixture *f = arg;

	(void)err;
	f->recorded = *id;
	return 0;
}

static int create(struct fixture *f, const char *name, struct object_id *id)
{
	error_clear(&f->err);
	return driver->create(f->state, name, MIB, record, f, id, &f->err);
}

static void must_create(struct fixture *f, const char *name, struct object_id *id)
{
	if (create(f, name, id) < 0)
		fail_msg("%s", f->err.text);
	assert_string_equal(f->recorded.text, id->text);
}

static void assert_error(
	const struct fixture *f, enum error_code code, const char *text)
{
	if (f->err.code != code || !strstr(f->err.text, text))
		fail_msg("%s: %s", error_code_name(f->err.code), f->err.text);
}

static void bind_share(const struct fixture *f, const char *share)
{
	AUTO(free) char *from = strdup(exported(f, share, ""));
	AUTO(free) char *to = strdup(point_of(f, share));

	assert_int_equal(mount_make_point(to, NULL), 0);
	assert_int_equal(mount(from, to, NULL, MS_BIND, NULL), 0);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- mounting ---- */

static void a_share_is_mounted_when_it_is_needed(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found;
	char location[256], digest[MD5_TEXT_SIZE];
	uint64_t size = 0;

	reopen(f);
	assert_string_equal(mounts(f), "");
	must_create(f, "volume-1", &id);
	assert_true(is_there(exported(f, ONE, "volume-1")));
	md5_text(ONE, strlen(ONE), digest);
	assert_memory_equal(id.text, digest, 32);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), 1);
	assert_string_equal(found.text, id.text);
	assert_int_equal(size, MIB);
	assert_int_equal(
		driver->location(f->state, &id, location, sizeof(location), &f->err),
		0);
	assert_string_equal(location, ONE);
	assert_int_equal(mode_of(exported(f, ONE, "volume-1")), 0666);
	if (real)
		return;
	/* As os-brick: 4.1 first, where nobody says which. */
	assert_int_equal(strncmp(mounts(f), ONE " ", strlen(ONE) + 1), 0);
	assert_non_null(strstr(mounts(f), "vers=4,minorversion=1"));
	/* Once. */
	reopen(f);
	must_create(f, "volume-2", &id);
	assert_ptr_equal(strchr(mounts(f), '\n') + 1, mounts(f) + strlen(mounts(f)));
}

static void options_reach_mount_as_one_list(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	write_file(f->shares, ONE " -o nolock,vers=3\n", 0644);
	f->settings.nfs_mount_options = (char *)"soft";
	reopen(f);
	must_create(f, "volume-1", &id);
	assert_non_null(strstr(mounts(f), "soft,nolock,vers=3"));
	assert_null(strstr(mounts(f), "minorversion"));
}

static void what_is_mounted_is_used(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	bind_share(f, ONE);
	reopen(f);
	must_create(f, "volume-1", &id);
	assert_string_equal(mounts(f), "");
	assert_true(is_there(exported(f, ONE, "volume-1")));
}

static void a_bare_mount_point_is_never_used(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found;
	uint64_t size;

	write_file(f->shares, "127.0.0.1:/gone\n", 0644);
	f->settings.nfs_mount_attempts = 2;
	reopen(f);
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_BACKEND, "mount share '127.0.0.1:/gone'");
	assert_error(f, ERR_BACKEND, "is not exported");
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), -1);
	assert_true(is_there(point_of(f, "127.0.0.1:/gone")));
	assert_int_equal(rmdir(point_of(f, "127.0.0.1:/gone")), 0);
}

static void a_share_that_is_unmounted_meanwhile_is_told(void **state)
{
	struct fixture *f = *state;
	struct object_id id, again;
	uint64_t size;

	reopen(f);
	must_create(f, "volume-1", &id);
	assert_int_equal(umount2(point_of(f, ONE), MNT_DETACH), 0);
	assert_int_equal(
		driver->find(f->state, "volume-1", &id, &again, &size, &f->err), -1);
	assert_error(f, ERR_BACKEND, "has vanished");
	/* The next worker mounts it. */
	reopen(f);
	assert_int_equal(
		driver->find(f->state, "volume-1", &id, &again, &size, &f->err), 1);
	assert_string_equal(again.text, id.text);
}

/* Only NFS tells its source. */
static void another_share_at_the_mount_point_is_refused(void **state)
{
	static const char *const argv[] = { "mount", "-t", "nfs", TWO, NULL, NULL };
	struct fixture *f = *state;
	AUTO(free) char *point = strdup(point_of(f, ONE));
	const char *other[ARRAY_SIZE(argv)];
	struct object_id id;

	memcpy(other, argv, sizeof(argv));
	other[4] = point;
	assert_int_equal(mount_make_point(point, &f->err), 0);
	if (mount_run(other, 60, &f->err) < 0)
		fail_msg("%s", f->err.text);
	reopen(f);
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_BACKEND, "there is '" TWO "', not share '" ONE "'");
}

static void without_root_it_is_said_what_to_do(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	assert_int_equal(mkdir(f->base, 0777), 0);
	assert_int_equal(chmod(f->base, 0777), 0);
	assert_int_equal(chmod(f->scratch.path, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	reopen(f);
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_BACKEND, "only root can do that");
	assert_error(f, ERR_BACKEND, "drover-mount");
	f->settings.mount_helper = (char *)"/bin/sh -c 'exit 3'";
	reopen(f);
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_BACKEND, "'/bin/sh' ended with status");
}

static void the_helper_gets_backend_and_share(void **state)
{
	struct fixture *f = *state;
	AUTO(free) char *helper = strdup(path_in(f->scratch.path, "helper"));
	AUTO(free) char *words = text_format("  %s  --config-file x", helper);
	struct object_id id;

	write_file(helper,
		"#!/bin/sh\n"
		"echo \"$# $*\"\n"
		"exit 1\n",
		0755);
	assert_int_equal(mkdir(f->base, 0755), 0);
	assert_int_equal(chmod(f->scratch.path, 0755), 0);
	f->settings.mount_helper = words;
	assert_int_equal(seteuid(65534), 0);
	reopen(f);
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_BACKEND, "5 --config-file x mount nfs-1 " ONE);
}

static void a_program_that_hangs_is_killed(void **state)
{
	static const char *const hang[] = { "sh", "-c", "echo at work; sleep 1000",
		NULL };
	/* It has ended, though its child keeps the pipe open. */
	static const char *const child[] = { "sh", "-c", "sleep 3 & exit 0", NULL };
	static const char *const missing[] = { "/nowhere/mount", NULL };
	struct fixture *f = *state;
	double began = clock_seconds();

	assert_int_equal(mount_run(hang, 0.2, &f->err), -1);
	assert_error(f, ERR_TIMEOUT, "'sh' did not end in 0 s");
	assert_int_equal(mount_run(child, 60, &f->err), 0);
	assert_int_equal(mount_run(missing, 60, &f->err), -1);
	assert_error(f, ERR_BACKEND, "cannot run '/nowhere/mount'");
	assert_true(clock_seconds() - began < 50);
}

/* ---- objects ---- */

static void objects_live_and_die_by_identity(void **state)
{
	struct fixture *f = *state;
	struct object_id id, other, found;
	struct endpoint end;
	uint64_t size;

	reopen(f);
	must_create(f, "volume-1", &id);
	assert_int_equal(create(f, "volume-1", &other), -1);
	assert_error(f, ERR_EXISTS, "volume-1");
	assert_int_equal(driver->endpoint(f->state, "volume-1", &id, &end, &f->err), 0);
	assert_int_equal(strncmp(end.path, point_of(f, ONE), strlen(f->base)), 0);
	assert_true(end.zero_when_new);
	assert_int_equal(
		driver->rename(f->state, "volume-1", &id, "trash-1", &f->err), 0);
	assert_int_equal(
		driver->find(f->state, "trash-1", &id, &found, &size, &f->err), 1);
	assert_string_equal(found.text, id.text);
	must_create(f, "volume-1", &other);
	assert_string_not_equal(other.text, id.text);
	assert_int_equal(driver->remove(f->state, "volume-1", &id, &f->err), -1);
	assert_int_equal(f->err.code, ERR_NOT_FOUND);
	assert_int_equal(driver->remove(f->state, "trash-1", &id, &f->err), 0);
	assert_false(is_there(exported(f, ONE, "trash-1")));
	assert_true(is_there(exported(f, ONE, "volume-1")));
}

static void strange_identities_are_refused(void **state)
{
	static const char *const bad[] = { "ino:5", ",ino:5", "84c7,ino:5",
		"../../../../../../../../../../../etc,ino:5",
		"84C7FA42FBD2D0F09AE4A4A2EC1BE15B,ino:5",
		"84c7fa42fbd2d0f09ae4a4a2ec1be15b", "84c7fa42fbd2d0f09ae4a4a2ec1be15b,",
		"84c7fa42fbd2d0f09ae4a4a2ec1be15b:ino:5" };
	struct fixture *f = *state;
	struct object_id id;

	reopen(f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(id.text, sizeof(id.text), "%s", bad[i]);
		assert_int_equal(
			driver->remove(f->state, "volume-1", &id, &f->err), -1);
		if (f->err.code != ERR_INVALID_INPUT)
			fail_msg("%s: %s", bad[i], f->err.text);
	}
	/* One of a share that is not mounted: that is what is said, not "not found". */
	snprintf(id.text, sizeof(id.text), "%s",
		"84c7fa42fbd2d0f09ae4a4a2ec1be15b,ino:5");
	assert_int_equal(driver->remove(f->state, "volume-1", &id, &f->err), -1);
	assert_error(f, ERR_BACKEND, "is not mounted");
	assert_string_equal(mounts(f), "");
}

static void modes_follow_the_option(void **state)
{
	struct fixture *f = *state;
	struct object_id id;
	const char *indicator = ".cinderSecureEnvIndicator";

	f->settings.nas_secure_file_permissions = (char *)"True";
	reopen(f);
	must_create(f, "volume-1", &id);
	assert_int_equal(mode_of(exported(f, ONE, "volume-1")), 0660);
	assert_false(is_there(exported(f, ONE, indicator)));
	/* With volumes but without Cinder's indicator it is an open share ... */
	f->settings.nas_secure_file_permissions = (char *)"auto";
	reopen(f);
	must_create(f, "volume-2", &id);
	assert_int_equal(mode_of(exported(f, ONE, "volume-2")), 0666);
	assert_false(is_there(exported(f, ONE, indicator)));
	/* ... with it a tight one. */
	write_file(exported(f, ONE, indicator), "", 0640);
	reopen(f);
	must_create(f, "volume-3", &id);
	assert_int_equal(mode_of(exported(f, ONE, "volume-3")), 0660);
	/* A new share becomes a tight one. */
	write_file(f->shares, TWO "\n", 0644);
	reopen(f);
	must_create(f, "volume-4", &id);
	assert_int_equal(mode_of(exported(f, TWO, "volume-4")), 0660);
	assert_int_equal(mode_of(exported(f, TWO, indicator)), 0640);
}

static void thick_volumes_have_their_blocks(void **state)
{
	struct fixture *f = *state;
	struct backend_stats stats;
	struct object_id id;
	struct stat st;

	reopen(f);
	must_create(f, "thin", &id);
	assert_int_equal(stat(exported(f, ONE, "thin"), &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < MIB);
	assert_int_equal(driver->stats(f->state, &stats, &f->err), 0);
	assert_true(stats.thin);
	f->settings.nfs_sparsed_volumes = false;
	reopen(f);
	must_create(f, "thick", &id);
	assert_int_equal(stat(exported(f, ONE, "thick"), &st), 0);
	assert_int_equal(st.st_size, MIB);
	assert_true((uint64_t)st.st_blocks * 512 >= MIB);
	assert_int_equal(driver->grow(f->state, "thick", &id, 2 * MIB, &f->err), 0);
	assert_int_equal(size_of(exported(f, ONE, "thick")), 2 * MIB);
	assert_int_equal(driver->stats(f->state, &stats, &f->err), 0);
	assert_false(stats.thin);
}

static void qcow2_is_refused(void **state)
{
	struct fixture *f = *state;
	struct object_id id;
	struct endpoint end;

	f->settings.nfs_qcow2_volumes = true;
	assert_int_equal(driver->open(&f->settings, &f->state, &f->err), -1);
	assert_error(f, ERR_CONFIG, "nfs_qcow2_volumes");
	f->settings.nfs_qcow2_volumes = false;
	reopen(f);
	must_create(f, "volume-1", &id);
	/* After Cinder's snapshots were removed this one is left. */
	write_file(
		exported(f, ONE, "volume-1.info"), "{\"active\": \"volume-1\"}", 0644);
	assert_int_equal(driver->endpoint(f->state, "volume-1", &id, &end, &f->err), 0);
	write_file(exported(f, ONE, "volume-1.info"),
		"{\"active\": \"volume-1.5af2\", \"5af2\": \"volume-1.5af2\"}", 0644);
	assert_int_equal(
		driver->endpoint(f->state, "volume-1", &id, &end, &f->err), -1);
	assert_error(f, ERR_INVALID_VOLUME, "volume-1.5af2");
	assert_int_equal(driver->grow(f->state, "volume-1", &id, 2 * MIB, &f->err), -1);
	assert_error(f, ERR_INVALID_VOLUME, "volume-1.5af2");
	assert_int_equal(size_of(exported(f, ONE, "volume-1")), MIB);
	write_file(exported(f, ONE, "volume-1.info"), "{\"active\": 7", 0644);
	assert_int_equal(
		driver->endpoint(f->state, "volume-1", &id, &end, &f->err), -1);
	assert_error(f, ERR_INVALID_INPUT, "volume-1.info");
}

/* ---- several shares ---- */

static void put(
	const struct fixture *f, const char *share, const char *name, off_t size)
{
	AUTO(free) char *path = strdup(exported(f, share, name));

	write_file(path, "", 0644);
	assert_int_equal(truncate(path, size), 0);
}

static void the_share_with_the_least_allocated_is_chosen(void **state)
{
	struct fixture *f = *state;
	struct object_id id;
	char location[256];

	write_file(f->shares, ONE "\n" TWO "\n", 0644);
	put(f, ONE, "volume-a", 3 * MIB);
	put(f, TWO, "volume-b", 2 * MIB);
	put(f, TWO, "volume-b.snapshot", 50 * MIB); /* not counted, as in Cinder */
	reopen(f);
	must_create(f, "volume-1", &id);
	assert_int_equal(
		driver->location(f->state, &id, location, sizeof(location), &f->err),
		0);
	assert_string_equal(location, TWO);
	assert_true(is_there(exported(f, TWO, "volume-1")));
	/* Where it can be cloned, though the first has no more. */
	driver->place_near(f->state, &id);
	must_create(f, "volume-clone", &id);
	assert_true(is_there(exported(f, TWO, "volume-clone")));
	assert_int_equal(unlink(exported(f, TWO, "volume-clone")), 0);
	reopen(f);
	/* Equal now: the first one. */
	must_create(f, "volume-2", &id);
	assert_true(is_there(exported(f, ONE, "volume-2")));
	/* What is in the other share counts, and so do leftovers there. */
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_EXISTS, "volume-1");
	put(f, TWO, ".drover-new-volume-3", 0);
	put(f, TWO, "volume-c", 2 * MIB);
	must_create(f, "volume-3", &id);
	assert_true(is_there(exported(f, ONE, "volume-3")));
	assert_false(is_there(exported(f, TWO, ".drover-new-volume-3")));
}

static void a_full_share_is_not_chosen(void **state)
{
	struct fixture *f = *state;
	struct object_id id, near;
	uint64_t size;

	write_file(f->shares, ONE "\n" TWO "\n", 0644);
	assert_int_equal(mount("none", exported(f, ONE, ""), "tmpfs", 0, "size=1m"), 0);
	put(f, TWO, "volume-b", 40 * MIB);
	put(f, ONE, "volume-a", 19 * MIB + 4096);
	reopen(f);
	/* 1 MiB twenty times over, less what is promised, has no room for another. */
	assert_int_equal(
		driver->find(f->state, "volume-a", NULL, &near, &size, &f->err), 1);
	driver->place_near(f->state, &near);
	must_create(f, "volume-1", &id);
	assert_true(is_there(exported(f, TWO, "volume-1")));
	assert_int_equal(umount2(point_of(f, ONE), MNT_DETACH), 0);
	assert_int_equal(umount2(exported(f, ONE, ""), MNT_DETACH), 0);
}

static void when_no_share_has_room_that_is_said(void **state)
{
	struct fixture *f = *state;
	struct object_id id;

	write_file(f->shares, "127.0.0.1:/gone\n127.0.0.1:/lost\n", 0644);
	reopen(f);
	assert_int_equal(create(f, "volume-1", &id), -1);
	assert_error(f, ERR_NO_SPACE, "no share of backend 'nfs-1' has room");
	assert_error(f, ERR_NO_SPACE, "127.0.0.1:/lost");
}

static void one_share_that_is_down_hinders_nothing_else(void **state)
{
	struct fixture *f = *state;
	AUTO(backend_close) struct backend *backend = NULL;
	struct backend_stats stats;
	struct object_id id, found;
	uint64_t size;

	write_file(f->shares, ONE "\n127.0.0.1:/gone\n", 0644);
	reopen(f);
	assert_int_equal(driver->stats(f->state, &stats, &f->err), 0);
	assert_true(stats.total_bytes > 0);
	must_create(f, "volume-1", &id);
	reopen(f);
	assert_int_equal(
		driver->find(f->state, "volume-1", &id, &found, &size, &f->err), 1);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), 1);
	/* What is on no share that can be seen may be on the other one. */
	assert_int_equal(
		driver->find(f->state, "volume-2", NULL, &found, &size, &f->err), -1);
	assert_error(f, ERR_BACKEND, "127.0.0.1:/gone");
	/* Unless its row says where it is. */
	assert_int_equal(driver->look_in(f->state, ONE, &f->err), 0);
	assert_int_equal(
		driver->find(f->state, "volume-2", NULL, &found, &size, &f->err), 0);
	assert_int_equal(driver->forget(f->state, "volume-1", &id, &f->err), 0);
	assert_int_equal(driver->forget(f->state, "volume-1", NULL, &f->err), -1);
	/* New ones can be made, through backend.c too. */
	f->settings.volume_driver = (char *)"nfs";
	assert_int_equal(backend_open(&f->settings, &backend, &f->err), 0);
	if (backend_create(backend, "volume-3", MIB, NULL, record, f, &found, &f->err) <
		0)
		fail_msg("%s", f->err.text);
	assert_int_equal(backend_create(backend, "volume-3", MIB, NULL, record, f,
				 &found, &f->err),
		-1);
	assert_error(f, ERR_EXISTS, "that is not this volume's");
	assert_int_equal(backend_create(backend, "volume-3", MIB, &found, record, f,
				 &found, &f->err),
		0);
	assert_int_equal(
		driver->rename(f->state, "volume-1", &id, "trash-1", &f->err), 0);
	assert_int_equal(driver->remove(f->state, "trash-1", &id, &f->err), 0);
}

static void a_name_in_two_shares_is_ambiguous(void **state)
{
	struct fixture *f = *state;
	struct object_id found;
	uint64_t size = 0;

	write_file(f->shares, ONE "\n" TWO "\n", 0644);
	put(f, ONE, "volume-1", 512);
	put(f, TWO, "volume-1", 1024);
	reopen(f);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), -1);
	assert_int_equal(f->err.code, ERR_AMBIGUOUS);
	assert_int_equal(driver->look_in(f->state, TWO, &f->err), 0);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), 1);
	assert_int_equal(size, 1024);
}

static void a_share_that_is_not_configured_any_more_is_used_if_mounted(void **state)
{
	struct fixture *f = *state;
	struct object_id id, found;
	uint64_t size;

	put(f, TWO, "volume-1", 512);
	reopen(f);
	assert_int_equal(driver->look_in(f->state, TWO, &f->err), 0);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &found, &size, &f->err), -1);
	assert_error(f, ERR_BACKEND, "share '" TWO "' is not mounted");
	assert_string_equal(mounts(f), "");
	bind_share(f, TWO);
	assert_int_equal(
		driver->find(f->state, "volume-1", NULL, &id, &size, &f->err), 1);
	reopen(f);
	assert_int_equal(
		driver->rename(f->state, "volume-1", &id, "trash-1", &f->err), 0);
	assert_true(is_there(exported(f, TWO, "trash-1")));
	assert_int_equal(driver->look_in(f->state, "-o:/x", &f->err), -1);
	assert_error(f, ERR_INVALID_INPUT, "is not a share");
}

static void a_file_system_is_counted_once(void **state)
{
	struct fixture *f = *state;
	struct backend_stats one, both;
	struct statvfs vfs;

	reopen(f);
	assert_int_equal(driver->stats(f->state, &one, &f->err), 0);
	assert_int_equal(statvfs(exported(f, ONE, ""), &vfs), 0);
	assert_int_equal(one.total_bytes, (uint64_t)vfs.f_blocks * vfs.f_frsize);
	write_file(f->shares, ONE "\n" TWO "\n", 0644);
	reopen(f);
	assert_int_equal(driver->stats(f->state, &both, &f->err), 0);
	assert_int_equal(both.total_bytes, one.total_bytes);
	assert_string_equal(both.location, one.location);
	/* Another one is added. */
	assert_int_equal(umount2(point_of(f, TWO), MNT_DETACH), 0);
	assert_int_equal(mount("none", point_of(f, TWO), "tmpfs", 0, "size=1m"), 0);
	reopen(f);
	assert_int_equal(driver->stats(f->state, &both, &f->err), 0);
	assert_int_equal(both.total_bytes, one.total_bytes + MIB);
	assert_string_not_equal(both.location, one.location);
	assert_int_equal(strncmp(both.location, "nfs:", 4), 0);
}

/* Two backends, each with its own share, on one file system that can: route driver. */
static void shares_of_one_file_system_clone(void **state)
{
	struct fixture *f = *state;
	struct backend_settings other;
	AUTO(free) char *shares = strdup(path_in(f->scratch.path, "other"));
	struct backend_stats one, two;
	struct endpoint source, target;
	struct scratch disk;
	struct object_id a, b;
	void *second = NULL;
	int cloned = -1;

	scratch_make(&disk);
	if (!scratch_xfs(&disk)) {
		scratch_remove(&disk);
		skip_because("cannot mount an XFS");
	}
	assert_int_equal(mount_make_point(f->exports, NULL), 0);
	assert_int_equal(mount(disk.path, f->exports, NULL, MS_BIND, NULL), 0);
	must_export(f, ONE);
	must_export(f, TWO);
	write_file(shares, TWO "\n", 0644);
	other = f->settings;
	other.name = (char *)"nfs-2";
	other.nfs_shares_config = shares;
	reopen(f);
	assert_int_equal(driver->open(&other, &second, &f->err), 0);
	must_create(f, "volume-1", &a);
	assert_int_equal(
		driver->create(second, "volume-2", MIB, NULL, NULL, &b, &f->err), 0);
	assert_int_equal(driver->stats(f->state, &one, &f->err), 0);
	assert_int_equal(driver->stats(second, &two, &f->err), 0);
	assert_int_equal(
		driver->endpoint(f->state, "volume-1", &a, &source, &f->err), 0);
	assert_int_equal(driver->endpoint(second, "volume-2", &b, &target, &f->err), 0);
	write_file(exported(f, ONE, "volume-1"), "cloned", 0666);
	assert_int_equal(truncate(exported(f, ONE, "volume-1"), MIB), 0);
	cloned = driver->clone(second, &source, &target, &f->err);
	driver->close(second);
	driver->close(f->state);
	f->state = NULL;
	umount2(point_of(f, ONE), MNT_DETACH);
	umount2(point_of(f, TWO), MNT_DETACH);
	{
		AUTO(fclose) FILE *in = fopen(exported(f, TWO, "volume-2"), "r");
		char text[7] = "";

		assert_non_null(in);
		assert_int_equal(fread(text, 1, 6, in), 6);
		assert_string_equal(text, "cloned");
	}
	umount2(f->exports, MNT_DETACH);
	scratch_remove(&disk);
	assert_string_equal(one.location, two.location);
	assert_int_equal(cloned, 1);
}

/* ---- the program for root ---- */

static int drover_mount(const struct fixture *f, const char *backend, const char *share)
{
	static const char program[] = "./volume-manager/drover-mount";
	const char *argv[] = { program, "--config-file",
		path_in(f->scratch.path, "conf"), "mount", backend, share, NULL };
	struct error err;

	if (access(program, X_OK) < 0)
		skip_because("drover-mount is not built");
	return mount_run(argv, 60, &err) == 0              ? 0
		: strstr(err.text, "only root may change") ? 1
		: strstr(err.text, "has no share")         ? 2
		: strstr(err.text, "usage")                ? 3
							   : 4;
}

static void write_conf(const struct fixture *f, const char *base)
{
	AUTO(free)
	char *text = text_format("[DEFAULT]\nenabled_backends = nfs-1\n"
				 "[database]\nconnection = postgresql://u@h/d\n"
				 "[nfs-1]\n"
				 "volume_driver = cinder.volume.drivers.nfs.NfsDriver\n"
				 "nfs_shares_config = %s\nnfs_mount_point_base = %s\n",
		f->shares, base);

	write_file(path_in(f->scratch.path, "conf"), text, 0644);
}

static void drover_mount_mounts_what_the_configuration_says(void **state)
{
	struct fixture *f = *state;
	int status[5];

	/* A place that only root may change, as /tmp is not. */
	assert_int_equal(mount("none", "/mnt", "tmpfs", 0, "size=1m,mode=755"), 0);
	write_conf(f, f->base);
	write_file(f->shares, ONE "\n", 0644);
	status[0] = drover_mount(f, "nfs-1", ONE);
	write_conf(f, "/mnt/base");
	status[1] = drover_mount(f, "nfs-1", TWO);
	status[2] = drover_mount(f, "nfs-2", ONE);
	status[3] = drover_mount(f, "nfs-1", NULL);
	status[4] = drover_mount(f, "nfs-1", ONE);
	f->settings.nfs_mount_point_base = (char *)"/mnt/base";
	snprintf(f->base, sizeof(f->base), "/mnt/base");
	assert_true(strlen(mounts(f)) > 0);
	assert_int_equal(umount2(point_of(f, ONE), MNT_DETACH), 0);
	/* All of them, by itself. */
	assert_int_equal(drover_mount(f, NULL, NULL), 0);
	assert_int_equal(umount2(point_of(f, ONE), MNT_DETACH), 0);
	umount2("/mnt", MNT_DETACH);
	assert_int_equal(status[0], 1);
	assert_int_equal(status[1], 2);
	assert_int_equal(status[2], 2);
	assert_int_equal(status[3], 3);
	assert_int_equal(status[4], 0);
}

/* ---- */

static void go_to_own_namespace(void)
{
	if (geteuid() != 0)
		skipped = "mounting needs root";
	else if (unshare(CLONE_NEWNS) < 0 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skipped = "there is no mount namespace to be had";
}

#define RUN(name) \
	static void run_##name(void **state) \
	{ \
		if (skipped) \
			skip_because(skipped); \
		name(state); \
	}
#define TESTS(X) \
	X(a_share_is_mounted_when_it_is_needed) \
	X(options_reach_mount_as_one_list) \
	X(what_is_mounted_is_used) \
	X(a_bare_mount_point_is_never_used) \
	X(a_share_that_is_unmounted_meanwhile_is_told) \
	X(without_root_it_is_said_what_to_do) \
	X(the_helper_gets_backend_and_share) \
	X(a_program_that_hangs_is_killed) \
	X(objects_live_and_die_by_identity) \
	X(strange_identities_are_refused) \
	X(modes_follow_the_option) \
	X(thick_volumes_have_their_blocks) \
	X(qcow2_is_refused) \
	X(the_share_with_the_least_allocated_is_chosen) \
	X(a_full_share_is_not_chosen) \
	X(when_no_share_has_room_that_is_said) \
	X(one_share_that_is_down_hinders_nothing_else) \
	X(a_name_in_two_shares_is_ambiguous) \
	X(a_share_that_is_not_configured_any_more_is_used_if_mounted) \
	X(a_file_system_is_counted_once) \
	X(shares_of_one_file_system_clone) \
	X(drover_mount_mounts_what_the_configuration_says)
/* Those that need no mount.nfs of ours. */
#define REAL_TESTS(X) \
	X(a_share_is_mounted_when_it_is_needed) \
	X(a_share_that_is_unmounted_meanwhile_is_told) \
	X(another_share_at_the_mount_point_is_refused) \
	X(objects_live_and_die_by_identity) \
	X(modes_follow_the_option) \
	X(thick_volumes_have_their_blocks) \
	X(qcow2_is_refused) \
	X(the_share_with_the_least_allocated_is_chosen) \
	X(one_share_that_is_down_hinders_nothing_else) \
	X(a_name_in_two_shares_is_ambiguous)
#define TEST(name) cmocka_unit_test_setup_teardown(run_##name, setup, teardown),

TESTS(RUN)
RUN(another_share_at_the_mount_point_is_refused)

int main(void)
{
	const struct CMUnitTest tests[] = { TESTS(TEST) };
	const struct CMUnitTest real_tests[] = { REAL_TESTS(TEST) };

	log_open("test_nfs_driver", LOG_LEVEL_ERROR);
	real = getenv("DROVER_TEST_NFS");
	go_to_own_namespace();
	return real ? cmocka_run_group_tests(real_tests, NULL, NULL)
		    : cmocka_run_group_tests(tests, NULL, NULL);
}
