/* SPDX-License-Identifier: Apache-2.0 */
/* Disks in libvirt's XML, and the files of swaps: what is read, what is written, what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "compute/disk.h"
#include "compute/swap.h"

#define S "11111111-1111-4111-8111-111111111111"
#define T "22222222-2222-4222-8222-222222222222"
#define I "33333333-3333-4333-8333-333333333333"

static const char running[] =
	"<domain><devices>"
	"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
	"<source file='/images/root'/><target dev='vda' bus='virtio'/></disk>"
	"<disk type='file' device='disk'>"
	"<driver name='qemu' type='raw' cache='none' discard='unmap'/>"
	"<source file='/images/a&amp;b' index='1'><seclabel model='dac' relabel='no'/></source>"
	"<backingStore/>"
	"<mirror type='network' job='copy' ready='yes'><format type='raw'/>"
	"<source protocol='nbd' name='" T "' tls='no' index='2'>"
	"<host name='127.0.0.1' port='10809'/></source></mirror>"
	"<target dev='vdb' bus='virtio'/><readonly/><serial>" S "</serial>"
	"<alias name='virtio-disk1'/><address type='pci' slot='0x03'/></disk>"
	"</devices></domain>";

static xmlDocPtr parse(const char *xml)
{
	struct error err = { 0 };
	xmlDocPtr doc = NULL;

	if (disk_parse(xml, &doc, &err) < 0)
		fail_msg("%s", err.text);
	return doc;
}

static void a_disk_is_found_by_its_volume(void **state)
{
	AUTO(xmlFreeDoc) xmlDocPtr doc = parse(running);
	xmlNodePtr disk = disk_of_volume(doc, S);
	char device[DISK_DEVICE_SIZE];
	struct location at;
	struct mirror mirror;

	assert_non_null(disk);
	assert_null(disk_of_volume(doc, T));
	assert_null(disk_of_volume(NULL, S));
	disk_device(disk, device);
	assert_string_equal(device, "vdb");
	disk_location(disk, &at);
	assert_int_equal(at.kind, LOCATION_FILE);
	assert_string_equal(at.path, "/images/a&b");
	assert_true(disk_is_read_only(disk));
	assert_null(disk_obstacle(disk));
	assert_true(disk_mirror(disk, &mirror));
	assert_true(mirror.is_copy && mirror.is_ready && !mirror.is_ending);
	assert_int_equal(mirror.to.kind, LOCATION_NBD);
	assert_string_equal(mirror.to.export, T);
	assert_string_equal(mirror.to.port, "10809");
}

static void a_moved_disk_keeps_all_but_its_place(void **state)
{
	AUTO(xmlFreeDoc) xmlDocPtr doc = parse(running);
	AUTO(xmlFreeDoc) xmlDocPtr again = NULL;
	AUTO(free) char *text = NULL;
	AUTO(free) char *whole = NULL;
	struct location nowhere, at;
	struct mirror mirror;
	struct stat st;
	xmlNodePtr disk;

	disk_nowhere(S, &nowhere);
	assert_int_not_equal(stat(nowhere.path, &st), 0);
	text = disk_moved_text(disk_of_volume(doc, S), &nowhere);
	assert_non_null(text);
	assert_null(strstr(text, "a&amp;b"));
	assert_non_null(strstr(text, "slot=\"0x03\""));
	whole = text_format("<domain><devices>%s</devices></domain>", text);
	again = parse(whole);
	disk = disk_of_volume(again, S);
	assert_non_null(disk);
	disk_location(disk, &at);
	assert_true(location_equal(&at, &nowhere));
	assert_false(disk_mirror(disk, &mirror));
	assert_true(disk_is_read_only(disk));
	/* What it was made from is as it was. */
	disk_location(disk_of_volume(doc, S), &at);
	assert_string_equal(at.path, "/images/a&b");
}

static void names_do_not_become_markup(void **state)
{
	const struct location evil = { .kind = LOCATION_FILE,
		.path = "/x'/><disk type=\"file\"><source file='/etc/shadow" };
	AUTO(free) char *text = disk_new_text(&evil, "vdc", S, true);
	AUTO(free) char *whole = NULL;
	AUTO(xmlFreeDoc) xmlDocPtr doc = NULL;
	struct location at;

	assert_non_null(text);
	whole = text_format("<domain><devices>%s</devices></domain>", text);
	doc = parse(whole);
	disk_location(disk_of_volume(doc, S), &at);
	assert_true(location_equal(&at, &evil));
}

static void what_cannot_be_swapped_has_a_reason(void **state)
{
	static const char *const disks[] = {
		"<driver type='qcow2'/><source file='/a'/>",
		"<source file='/a'/>",
		"<driver type='raw'/><source file='/a'><encryption format='luks'/></source>",
		"<driver type='raw'/><backingStore><source file='/b'/></backingStore>",
	};

	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		AUTO(free)
		char *xml =
			text_format("<domain><devices><disk type='file'>%s<serial>" S
				    "</serial></disk></devices></domain>",
				disks[i]);
		AUTO(xmlFreeDoc) xmlDocPtr doc = parse(xml);

		assert_non_null(disk_obstacle(disk_of_volume(doc, S)));
	}
}

static void a_free_name_is_free_in_both(void **state)
{
	AUTO(xmlFreeDoc) xmlDocPtr live = parse(running);
	AUTO(xmlFreeDoc)
	xmlDocPtr config = parse("<domain><devices><disk><target dev='vdc'/></disk>"
				 "</devices></domain>");
	char device[DISK_DEVICE_SIZE];
	struct error err;

	assert_int_equal(disk_free_device(live, config, device, &err), 0);
	assert_string_equal(device, "vdd");
	assert_int_equal(disk_free_device(NULL, config, device, &err), 0);
	assert_string_equal(device, "vda");
}

static void strange_xml_is_refused_or_harmless(void **state)
{
	static const char *const refused[] = { "", "<", "<domain>", "no xml",
		"<domain>&unknown;</domain>" };
	static const char *const empty[] = { "<domain/>", "<domain><devices/></domain>",
		"<other><disk/></other>",
		"<domain><devices><disk><serial/></disk></devices></domain>" };
	AUTO(xmlFreeDoc) xmlDocPtr bare = NULL;
	xmlDocPtr doc = NULL;
	struct location at;
	struct mirror mirror;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(disk_parse(refused[i], &doc, &err), -1);
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		AUTO(xmlFreeDoc) xmlDocPtr none = parse(empty[i]);

		assert_null(disk_of_volume(none, S));
	}
	bare = parse("<domain><devices><disk><mirror/><serial>" S
		     "</serial></disk></devices></domain>");
	disk_location(disk_of_volume(bare, S), &at);
	assert_int_equal(at.kind, LOCATION_OTHER);
	assert_true(disk_mirror(disk_of_volume(bare, S), &mirror));
	assert_false(
		mirror.is_copy || mirror.is_ready || location_equal(&at, &mirror.to));
}

/* ---- files ---- */

static const struct swap order = {
	.instance = I,
	.volume = S,
	.target = T,
	.answer_to = "server1@fast",
	.step = SWAP_PIVOTING,
	.reason = "a \"reason\"\n",
	.read_only = true,
	.rate = 1 << 20,
	.from = { .kind = LOCATION_FILE, .path = "/a" },
	.to = { .kind = LOCATION_NBD,
		.host = "h",
		.port = "1",
		.export = T,
		.tls = true },
	.domain_id = 7,
	.pivots = 2,
	.ended_at = 5,
};

static char *make_directory(void)
{
	char *path = strdup("/tmp/test_disk-XXXXXX");

	assert_non_null(mkdtemp(path));
	return path;
}

static void a_swap_is_read_as_it_was_written(void **state)
{
	AUTO(free) char *directory = make_directory();
	AUTO(free) char *path = text_format("%s/" I "." S "." T, directory);
	struct swap swap;
	struct error err = { 0 };

	assert_int_equal(swap_file_save(directory, &order, &err), 0);
	assert_int_equal(swap_file_save(directory, &order, &err), 0);
	assert_int_equal(swap_file_load(path, &swap, &err), 0);
	assert_memory_equal(&swap, &order, sizeof(swap));
	assert_int_equal(swap_file_remove(directory, &order, &err), 0);
	assert_int_equal(swap_file_remove(directory, &order, &err), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void damaged_files_are_refused(void **state)
{
	AUTO(free) char *directory = make_directory();
	AUTO(free) char *path = text_format("%s/" I "." S "." T, directory);
	static const char *const texts[] = { "", "{", "null", "[]", "{}",
		"{\"version\": 2}", "{\"version\": 1, \"instance\": \"x\"}" };
	struct swap swap;
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		FILE *out = fopen(path, "w");

		assert_non_null(out);
		fputs(texts[i], out);
		fclose(out);
		assert_int_equal(swap_file_load(path, &swap, &err), -1);
		assert_non_null(strstr(err.text, path));
	}
	unlink(path);
	assert_int_equal(swap_file_load(path, &swap, &err), -1);
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_is_found_by_its_volume),
		cmocka_unit_test(a_moved_disk_keeps_all_but_its_place),
		cmocka_unit_test(names_do_not_become_markup),
		cmocka_unit_test(what_cannot_be_swapped_has_a_reason),
		cmocka_unit_test(a_free_name_is_free_in_both),
		cmocka_unit_test(strange_xml_is_refused_or_harmless),
		cmocka_unit_test(a_swap_is_read_as_it_was_written),
		cmocka_unit_test(damaged_files_are_refused),
	};

	log_open("test_disk", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
