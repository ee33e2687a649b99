/* SPDX-License-Identifier: Apache-2.0 */
/* Shares as Cinder's configuration names them; mount points as os-brick names them. */
#include "tests/unit/scratch.h"

#include "common/log.h"
#include "common/md5.h"
#include "common/nfs_shares.h"
#include "common/text.h"
#include "volume-manager/drivers/mountinfo.h"

struct fixture {
	struct scratch scratch;
	struct backend_settings settings;
	struct nfs_shares shares;
	struct error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->scratch);
	f->settings.name = (char *)"nfs-1";
	f->settings.nfs_mount_point_base = f->scratch.path;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	nfs_shares_clear(&f->shares);
	scratch_remove(&f->scratch);
	free(f);
	return 0;
}

static void parse(struct fixture *f, const char *text, size_t length)
{
	nfs_shares_clear(&f->shares);
	if (nfs_shares_parse("F", text, length, &f->shares, &f->err) < 0)
		fail_msg("%s", f->err.text);
}

static void parse_text(struct fixture *f, const char *text)
{
	parse(f, text, strlen(text));
}

static void assert_share(
	const struct fixture *f, size_t i, const char *name, const char *options)
{
	assert_true(i < f->shares.count);
	assert_string_equal(f->shares.list[i].name, name);
	assert_string_equal(f->shares.list[i].options, options);
}

static void md5_is_that_of_the_rfc(void **state)
{
	static const struct {
		const char *text, *digest;
	} known[] = {
		{ "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ "a", "0cc175b9c0f1b6a831c399e269772661" },
		{ "abc", "900150983cd24fb0d6963f7d28e17f72" },
		{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ "12345678901234567890123456789012345678901234567890123456789012345678"
		  "901234567890",
			"57edf4a22be3c955ac49da2e2107b67a" },
		/* 55 to 57 and 64 bytes: where the padding begins a block of its own. */
		{ "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			"04364420e25c512fd958a70738aa8f72" },
		{ "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			"668a72d5ba17f08e62dabcafad6db14b" },
		{ "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			"c1bb4f81d892b2d57947682aeb252456" },
	};
	char digest[MD5_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		md5_text(known[i].text, strlen(known[i].text), digest);
		assert_string_equal(digest, known[i].digest);
	}
}

static void shares_stand_one_a_line(void **state)
{
	struct fixture *f = *state;

	parse_text(f,
		"# shares of this host\n"
		"\n"
		"   \t \n"
		"127.0.0.1:/export1\n"
		"nas.example.org:/volumes/a\\040b -o vers=4.2,rw --verbose\r\n"
		"[fe80::1%eth0]:/six   -o ro  \n"
		"10.0.0.7:/last -o nolock");
	assert_int_equal(f->shares.count, 4);
	assert_share(f, 0, "127.0.0.1:/export1", "");
	assert_share(f, 1, "nas.example.org:/volumes/a b", "-o vers=4.2,rw --verbose");
	assert_share(f, 2, "[fe80::1%eth0]:/six", "-o ro");
	assert_share(f, 3, "10.0.0.7:/last", "-o nolock");
	assert_ptr_equal(
		nfs_shares_find(&f->shares, "10.0.0.7:/last"), &f->shares.list[3]);
	assert_null(nfs_shares_find(&f->shares, "10.0.0.7:/las"));
}

static void the_last_line_of_a_share_counts(void **state)
{
	struct fixture *f = *state;

	parse_text(f, "a:/x -o ro\nb:/y\na:/x -o rw\n");
	assert_int_equal(f->shares.count, 2);
	assert_share(f, 0, "a:/x", "-o rw");
	assert_share(f, 1, "b:/y", "");
}

/* As Cinder: such lines are passed over, the others count. */
static void lines_that_name_no_share_are_passed_over(void **state)
{
	static const char *const bad[] = { "/export", "server:export", ":/export",
		"server:/", "-o:/export", "--bind:/etc", " server:/leading",
		"server\t:/tab", "server:/a\tb", "server:/\x01", "server:/\x7f",
		"server:/\xff\xfe", "server:/\xc3", "a:/b\r\x1b[31mc" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO(free) char *text = text_format("%s\ngood:/one\n", bad[i]);

		parse_text(f, text);
		if (f->shares.count != 1)
			fail_msg("'%s' was taken", bad[i]);
		assert_share(f, 0, "good:/one", "");
		/* A space may be in a name, but not be its beginning in the file. */
		assert_true(bad[i][0] == ' ' || !nfs_share_is_safe(bad[i]));
	}
	assert_true(nfs_share_is_safe("a:b:/c"));
	assert_true(nfs_share_is_safe("s\xc3\xa9rver:/\xc3\xa9"));
}

static void lengths_are_bounded(void **state)
{
	struct fixture *f = *state;
	AUTO(free) char *text = calloc(1, 400000);
	char *end = text;

	/* A name of 255 characters fits provider_location, one of 256 does not. */
	end += sprintf(end, "s:/%0*d\ns:/%0*d\n", 252, 0, 253, 0);
	/* Options that are too long are no reason to mount without them. */
	end += sprintf(end, "t:/x -o %0*d\n", NFS_OPTIONS_SIZE, 0);
	parse(f, text, (size_t)(end - text));
	assert_int_equal(f->shares.count, 1);
	assert_int_equal(strlen(f->shares.list[0].name), NFS_SHARE_SIZE - 1);

	end = text;
	for (int i = 0; i <= NFS_SHARES_MAX; i++)
		end += sprintf(end, "s:/%d\n", i);
	nfs_shares_clear(&f->shares);
	assert_int_equal(
		nfs_shares_parse("F", text, (size_t)(end - text), &f->shares, &f->err),
		-1);
	assert_string_equal(f->err.text, "F: more than 1000 shares");
	assert_int_equal(f->err.code, ERR_CONFIG);
}

static void a_nul_ends_nothing_early(void **state)
{
	static const char text[] = "a:/x\0:/y\nb:/y\0\nc:/z -o r\0w\nd:/w\n";
	struct fixture *f = *state;

	parse(f, text, sizeof(text) - 1);
	assert_int_equal(f->shares.count, 1);
	assert_share(f, 0, "d:/w", "");
}

/* Whatever is in the file, what comes out can be an argument and a row. */
static void any_bytes_give_safe_shares(void **state)
{
	static const char alphabet[] = "ab:/ \\04#-o,\t\r\n\n\xc3\xa9\xff\0\x1b";
	struct fixture *f = *state;
	uint32_t random = 1;
	char text[600];

	for (int round = 0; round < 20000; round++) {
		size_t length = 0;

		for (; length < (size_t)(round % sizeof(text)); length++) {
			random = random * 1664525 + 1013904223;
			text[length] =
				alphabet[(random >> 16) % (sizeof(alphabet) - 1)];
		}
		parse(f, text, length);
		for (size_t i = 0; i < f->shares.count; i++) {
			assert_true(nfs_share_is_safe(f->shares.list[i].name));
			assert_true(
				strlen(f->shares.list[i].options) < NFS_OPTIONS_SIZE);
			assert_null(strpbrk(f->shares.list[i].name, "\t\r\n\x1b"));
		}
	}
}

static void mount_points_are_where_os_brick_has_them(void **state)
{
	struct fixture *f = *state;
	char point[PATH_MAX], expected[PATH_MAX], link[PATH_MAX], base[PATH_MAX];

	/* hashlib.md5(b"127.0.0.1:/export1") */
	snprintf(expected, sizeof(expected), "%.200s/%s", f->scratch.path,
		"9fcfd73eb2c62aadf3d0b0aa2f3921b7");
	assert_int_equal(
		nfs_mount_point(&f->settings, "127.0.0.1:/export1", point, &f->err), 0);
	assert_string_equal(point, expected);
	/* Links are followed, as Cinder does; what does not exist stays as it is. */
	snprintf(link, sizeof(link), "%.200s/link", f->scratch.path);
	assert_int_equal(symlink(".", link), 0);
	f->settings.nfs_mount_point_base = link;
	assert_int_equal(
		nfs_mount_point(&f->settings, "127.0.0.1:/export1", point, &f->err), 0);
	assert_string_equal(point, expected);
	f->settings.nfs_mount_point_base = (char *)"/nowhere/at/all//";
	assert_int_equal(nfs_mount_base(&f->settings, base, &f->err), 0);
	assert_string_equal(base, "/nowhere/at/all");
	f->settings.nfs_mount_point_base = (char *)"mnt";
	assert_int_equal(nfs_mount_base(&f->settings, base, &f->err), -1);
	assert_int_equal(f->err.code, ERR_CONFIG);
}

static void options_of_backend_and_share_are_one_list(void **state)
{
	static const struct {
		const char *nfs, *nas, *share, *expected; /* NULL: refused */
	} cases[] = {
		{ NULL, NULL, "", "" },
		{ "vers=4.2", NULL, "", "vers=4.2" },
		{ "vers=4.2,", NULL, "-o rw,nolock", "vers=4.2,rw,nolock" },
		{ "vers=4.2", "vers=3", "-o rw", "vers=3,rw" },
		{ "vers=4.2", "", "", "" },
		{ "-o vers=3 -o soft", NULL, "-orw --options nolock --options=ac",
			"vers=3,soft,rw,nolock,ac" },
		{ NULL, NULL, "rw,nolock", "rw,nolock" },
		{ NULL, NULL, "-o", "" },
		{ NULL, NULL, "--bind", NULL },
		{ NULL, NULL, "-o rw --verbose", NULL },
		{ NULL, NULL, "-o -t", NULL },
		{ "rw nolock", NULL, "", NULL },
		{ "-t tmpfs", NULL, "", NULL },
	};
	struct fixture *f = *state;
	struct nfs_share share = { "a:/b", "" };
	char out[2 * NFS_OPTIONS_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc;

		f->settings.nfs_mount_options = (char *)cases[i].nfs;
		f->settings.nas_mount_options = (char *)cases[i].nas;
		snprintf(share.options, sizeof(share.options), "%s", cases[i].share);
		rc = nfs_mount_options(&f->settings, &share, out, &f->err);
		if (rc != (cases[i].expected ? 0 : -1))
			fail_msg("case %zu: %s", i, rc ? f->err.text : out);
		if (cases[i].expected)
			assert_string_equal(out, cases[i].expected);
		else
			assert_int_equal(f->err.code, ERR_CONFIG);
	}
}

static void write_file(const char *path, const char *text)
{
	AUTO(fclose) FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
}

static void shares_come_from_the_file_or_from_nas_host(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.200s/shares", f->scratch.path);
	write_file(path, "a:/x\nb:/y -o ro\n");
	f->settings.nfs_shares_config = path;
	f->settings.nas_host = (char *)"";
	f->settings.nas_share_path = (char *)"/only";
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), 0);
	assert_int_equal(f->shares.count, 2);
	nfs_shares_clear(&f->shares);
	/* Only both count. */
	f->settings.nas_host = (char *)"nas";
	f->settings.nas_mount_options = (char *)"vers=3";
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), 0);
	assert_int_equal(f->shares.count, 1);
	assert_share(f, 0, "nas:/only", "vers=3");
	nfs_shares_clear(&f->shares);

	f->settings.nas_share_path = (char *)"only";
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), -1);
	assert_int_equal(f->err.code, ERR_CONFIG);
	f->settings.nas_host = NULL;
	write_file(path, "# none\n");
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), -1);
	assert_non_null(strstr(f->err.text, "there is no share in"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), -1);
	assert_non_null(strstr(f->err.text, "No such file"));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), -1);
	assert_int_equal(f->err.code, ERR_CONFIG);
	f->settings.nfs_shares_config = NULL;
	assert_int_equal(nfs_shares_load(&f->settings, &f->shares, &f->err), -1);
	assert_non_null(strstr(f->err.text, "needs nfs_shares_config"));
}

/* ---- what is mounted ---- */

static const char mounts[] =
	"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
	"41 22 0:45 / /var/lib/cinder/mnt/84c7 rw,relatime shared:9 master:2 - nfs4"
	" 10.0.0.1:/export1 rw,vers=4.2\n"
	"42 22 0:46 /sub /a\\040b\\134c rw - nfs srv:/v\\011x rw\n"
	"43 22 254:0 /exports/1 /mnt/x rw,relatime - ext4 /dev/vda rw\n"
	"44 22 0:47 / /mnt/y rw -\n"
	"45 22 0:48";

static void a_mount_is_found_by_its_number(void **state)
{
	struct mountinfo mount;

	(void)state;
	assert_int_equal(mountinfo_parse(mounts, sizeof(mounts) - 1, 41, &mount), 1);
	assert_string_equal(mount.point, "/var/lib/cinder/mnt/84c7");
	assert_string_equal(mount.type, "nfs4");
	assert_string_equal(mount.source, "10.0.0.1:/export1");
	assert_int_equal(mountinfo_parse(mounts, sizeof(mounts) - 1, 42, &mount), 1);
	assert_string_equal(mount.point, "/a b\\c");
	assert_string_equal(mount.source, "srv:/v\tx");
	assert_int_equal(mountinfo_parse(mounts, sizeof(mounts) - 1, 4, &mount), 0);
	assert_int_equal(mountinfo_parse(mounts, sizeof(mounts) - 1, 44, &mount), 0);
	assert_int_equal(mountinfo_parse(mounts, sizeof(mounts) - 1, 45, &mount), 0);
	/* Cut anywhere, nothing is read behind the end. */
	for (size_t length = 0; length < sizeof(mounts); length++) {
		AUTO(free) char *copy = malloc(length + 1);

		memcpy(copy, mounts, length);
		mountinfo_parse(copy, length, 42, &mount);
	}
}

static void a_mount_of_another_share_is_told(void **state)
{
	static const struct {
		const char *type, *source, *share;
		bool is;
	} cases[] = {
		{ "nfs4", "a:/x", "a:/x", true },
		{ "nfs", "a:/x/", "a:/x", true },
		{ "nfs4", "a:/x", "a://x///", true },
		{ "nfs4", "a:/x", "a:/y", false },
		{ "nfs4", "a:/x", "a:/x/y", false },
		{ "nfs4", "b:/x", "a:/x", false },
		{ "nfs", "", "a:/x", false },
		/* Bind mounts: the mount point says which share. */
		{ "ext4", "/dev/vda", "a:/x", true },
		{ "nfsd", "nfsd", "a:/x", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mountinfo mount;

		snprintf(mount.type, sizeof(mount.type), "%s", cases[i].type);
		snprintf(mount.source, sizeof(mount.source), "%s", cases[i].source);
		if (mountinfo_is_share(&mount, cases[i].share) != cases[i].is)
			fail_msg("case %zu", i);
	}
}

static void a_directory_is_no_mount_point(void **state)
{
	struct fixture *f = *state;
	struct mountinfo mount;
	AUTO(fd) int root = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(fd) int plain = open(f->scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(mountinfo_of(root, "/proc", &mount, &f->err), 1);
	assert_string_equal(mount.type, "proc");
	assert_int_equal(mountinfo_of(plain, f->scratch.path, &mount, &f->err), 0);
}

#define with_fixture(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(md5_is_that_of_the_rfc),
		with_fixture(shares_stand_one_a_line),
		with_fixture(the_last_line_of_a_share_counts),
		with_fixture(lines_that_name_no_share_are_passed_over),
		with_fixture(lengths_are_bounded),
		with_fixture(a_nul_ends_nothing_early),
		with_fixture(any_bytes_give_safe_shares),
		with_fixture(mount_points_are_where_os_brick_has_them),
		with_fixture(options_of_backend_and_share_are_one_list),
		with_fixture(shares_come_from_the_file_or_from_nas_host),
		cmocka_unit_test(a_mount_is_found_by_its_number),
		cmocka_unit_test(a_mount_of_another_share_is_told),
		with_fixture(a_directory_is_no_mount_point),
	};

	log_open("test_nfs_shares", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
