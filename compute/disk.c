/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <libxml/parser.h>

#include "common/text.h"

#define MOST_DEVICES 676 /* vda to vdzz, nearly */

static void auto_text(xmlChar **text)
{
	if (*text)
		xmlFree(*text);
}

static inline const xmlChar *X(const char *text)
{
	return (const xmlChar *)text;
}

/* ---- reading ---- */

int disk_parse(const char *xml, xmlDocPtr *out, struct error *err)
{
	xmlDocPtr doc = xmlReadMemory(xml, (int)strlen(xml), "domain.xml", NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);

	if (!doc || !xmlDocGetRootElement(doc)) {
		xmlFreeDoc(doc);
		return error_set(err, ERR_COMPUTE, "libvirt's XML cannot be read");
	}
	*out = doc;
	return 0;
}

static bool is_named(xmlNodePtr node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, X(name));
}

static xmlNodePtr child(xmlNodePtr parent, const char *name)
{
	for (xmlNodePtr n = parent ? parent->children : NULL; n; n = n->next)
		if (is_named(n, name))
			return n;
	return NULL;
}

static void attribute(xmlNodePtr node, const char *name, char *out, size_t size)
{
	AUTO(text) xmlChar *value = node ? xmlGetProp(node, X(name)) : NULL;

	out[0] = '\0';
	if (value && strlen((const char *)value) < size)
		snprintf(out, size, "%s", (const char *)value);
}

static bool attribute_is(xmlNodePtr node, const char *name, const char *value)
{
	AUTO(text) xmlChar *is = node ? xmlGetProp(node, X(name)) : NULL;

	return is && xmlStrEqual(is, X(value));
}

static xmlNodePtr first_disk(xmlDocPtr doc)
{
	xmlNodePtr devices = doc ? child(xmlDocGetRootElement(doc), "devices") : NULL;

	return child(devices, "disk");
}

static xmlNodePtr next_disk(xmlNodePtr disk)
{
	for (disk = disk->next; disk; disk = disk->next)
		if (is_named(disk, "disk"))
			return disk;
	return NULL;
}

xmlNodePtr disk_of_volume(xmlDocPtr doc, const char *volume_id)
{
	for (xmlNodePtr disk = first_disk(doc); disk; disk = next_disk(disk)) {
		xmlNodePtr serial = child(disk, "serial");
		AUTO(text) xmlChar *is = serial ? xmlNodeGetContent(serial) : NULL;

		if (is && xmlStrcasecmp(is, X(volume_id)) == 0)
			return disk;
	}
	return NULL;
}

void disk_device(xmlNodePtr disk, char out[DISK_DEVICE_SIZE])
{
	attribute(child(disk, "target"), "dev", out, DISK_DEVICE_SIZE);
}

bool disk_is_read_only(xmlNodePtr disk)
{
	return child(disk, "readonly") != NULL;
}

static void nbd_location(xmlNodePtr source, struct location *out)
{
	xmlNodePtr host = child(source, "host");

	if (!attribute_is(source, "protocol", "nbd") || !host ||
		attribute_is(host, "transport", "unix"))
		return;
	out->kind = LOCATION_NBD;
	attribute(source, "name", out->export, sizeof(out->export));
	attribute(host, "name", out->host, sizeof(out->host));
	attribute(host, "port", out->port, sizeof(out->port));
	out->tls = attribute_is(source, "tls", "yes");
}

/* holder: an element with a type and a source: disk or mirror. */
static void read_location(xmlNodePtr holder, struct location *out)
{
	xmlNodePtr source = child(holder, "source");

	*out = (struct location) { .kind = LOCATION_OTHER };
	if (!source)
		return;
	if (attribute_is(holder, "type", "file")) {
		out->kind = LOCATION_FILE;
		attribute(source, "file", out->path, sizeof(out->path));
	} else if (attribute_is(holder, "type", "block")) {
		out->kind = LOCATION_BLOCK;
		attribute(source, "dev", out->path, sizeof(out->path));
	} else if (attribute_is(holder, "type", "network")) {
		nbd_location(source, out);
	}
}

void disk_location(xmlNodePtr disk, struct location *out)
{
	read_location(disk, out);
}

bool disk_mirror(xmlNodePtr disk, struct mirror *out)
{
	xmlNodePtr mirror = child(disk, "mirror");
	char ready[16];

	*out = (struct mirror) { 0 };
	if (!mirror)
		return false;
	attribute(mirror, "ready", ready, sizeof(ready));
	out->is_copy = attribute_is(mirror, "job", "copy");
	out->is_ready = strcmp(ready, "yes") == 0;
	out->is_ending = strcmp(ready, "pivot") == 0 || strcmp(ready, "abort") == 0;
	read_location(mirror, &out->to);
	return true;
}

const char *disk_obstacle(xmlNodePtr disk)
{
	xmlNodePtr backing = child(disk, "backingStore");

	if (!attribute_is(child(disk, "driver"), "type", "raw"))
		return "its format is not raw";
	if (child(disk, "encryption") || child(child(disk, "source"), "encryption"))
		return "it is encrypted";
	if (backing && child(backing, "source"))
		return "it is backed by another file";
	if (child(child(disk, "source"), "reservations"))
		return "it has persistent reservations";
	return NULL;
}

/* ---- names of devices ---- */

static bool has_device(xmlDocPtr doc, const char *device)
{
	char name[DISK_DEVICE_SIZE];

	for (xmlNodePtr disk = first_disk(doc); disk; disk = next_disk(disk)) {
		disk_device(disk, name);
		if (strcmp(name, device) == 0)
			return true;
	}
	return false;
}

int disk_free_device(
	xmlDocPtr live, xmlDocPtr config, char out[DISK_DEVICE_SIZE], struct error *err)
{
	for (int i = 0; i < MOST_DEVICES; i++) {
		if (i < 26)
			snprintf(out, DISK_DEVICE_SIZE, "vd%c", 'a' + i);
		else
			snprintf(out, DISK_DEVICE_SIZE, "vd%c%c", 'a' + i / 26 - 1,
				'a' + i % 26);
		if (!has_device(live, out) && !has_device(config, out))
			return 0;
	}
	return error_set(err, ERR_COMPUTE, "the instance has too many disks");
}

/* ---- writing ---- */

static char *node_text(xmlNodePtr node)
{
	xmlBufferPtr buffer = xmlBufferCreate();
	char *text = NULL;

	if (buffer && xmlNodeDump(buffer, node->doc, node, 0, 0) >= 0)
		text = strdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return text;
}

char *disk_text(xmlNodePtr disk)
{
	return node_text(disk);
}

static const char *type_name(const struct location *location)
{
	switch (location->kind) {
	case LOCATION_BLOCK:
		return "block";
	case LOCATION_NBD:
		return "network";
	default:
		return "file";
	}
}

static void set(xmlNodePtr node, const char *name, const char *value)
{
	xmlSetProp(node, X(name), X(value));
}

static void fill_source(xmlNodePtr source, const struct location *location)
{
	xmlNodePtr host;

	if (location->kind == LOCATION_BLOCK) {
		set(source, "dev", location->path);
	} else if (location->kind == LOCATION_NBD) {
		set(source, "protocol", "nbd");
		set(source, "name", location->export);
		/* Whatever qemu.conf has as its default. */
		set(source, "tls", location->tls ? "yes" : "no");
		host = xmlNewChild(source, NULL, X("host"), NULL);
		set(host, "name", location->host);
		set(host, "port", location->port);
		/* A server that comes back within that time was never away, for a libvirt
		 * that knows of it; that of Debian 12 passes it over. */
		set(xmlNewChild(source, NULL, X("reconnect"), NULL), "delay", "30");
	} else {
		set(source, "file", location->path);
	}
}

static bool takes_direct_io(const struct location *location)
{
	AUTO(fd) int fd = -1;

	if (location->kind != LOCATION_FILE)
		return true;
	fd = open(location->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	return fd >= 0;
}

static xmlDocPtr new_disk(const struct location *location)
{
	xmlDocPtr doc = xmlNewDoc(X("1.0"));
	xmlNodePtr disk = xmlNewDocNode(doc, NULL, X("disk"), NULL), driver;

	xmlDocSetRootElement(doc, disk);
	set(disk, "type", type_name(location));
	set(disk, "device", "disk");
	driver = xmlNewChild(disk, NULL, X("driver"), NULL);
	set(driver, "name", "qemu");
	set(driver, "type", "raw");
	fill_source(xmlNewChild(disk, NULL, X("source"), NULL), location);
	return doc;
}

char *disk_new_text(const struct location *location, const char *device,
	const char *volume_id, bool read_only)
{
	AUTO(xmlFreeDoc) xmlDocPtr doc = new_disk(location);
	xmlNodePtr disk = xmlDocGetRootElement(doc), target;
	xmlNodePtr driver = child(disk, "driver");

	set(driver, "cache", takes_direct_io(location) ? "none" : "writeback");
	set(driver, "discard", "unmap");
	target = xmlNewChild(disk, NULL, X("target"), NULL);
	set(target, "dev", device);
	set(target, "bus", "virtio");
	if (read_only)
		xmlNewChild(disk, NULL, X("readonly"), NULL);
	xmlNewTextChild(disk, NULL, X("serial"), X(volume_id));
	return node_text(disk);
}

char *disk_copy_text(const struct location *location)
{
	AUTO(xmlFreeDoc) xmlDocPtr doc = new_disk(location);

	return node_text(xmlDocGetRootElement(doc));
}

static void remove_children(xmlNodePtr node, const char *name)
{
	for (xmlNodePtr n = child(node, name); n; n = child(node, name)) {
		xmlUnlinkNode(n);
		xmlFreeNode(n);
	}
}

char *disk_moved_text(xmlNodePtr disk, const struct location *location)
{
	AUTO(xmlFreeDoc) xmlDocPtr doc = xmlNewDoc(X("1.0"));
	xmlNodePtr copy = xmlDocCopyNode(disk, doc, 1), driver, source;

	xmlDocSetRootElement(doc, copy);
	remove_children(copy, "source");
	remove_children(copy, "backingStore");
	remove_children(copy, "mirror");
	remove_children(copy, "alias");
	set(copy, "type", type_name(location));
	source = xmlNewDocNode(doc, NULL, X("source"), NULL);
	fill_source(source, location);
	driver = child(copy, "driver");
	if (driver)
		xmlAddNextSibling(driver, source);
	else
		xmlAddChild(copy, source);
	/* Direct I/O where the new place cannot do it would keep the domain from starting. */
	if (!takes_direct_io(location) && attribute_is(driver, "cache", "none") &&
		access(location->path, F_OK) == 0)
		set(driver, "cache", "writeback");
	return node_text(copy);
}

void disk_nowhere(const char *volume_id, struct location *out)
{
	*out = (struct location) { .kind = LOCATION_FILE };
	snprintf(out->path, sizeof(out->path), "/dev/null/drover-is-moving-volume-%s",
		volume_id);
}
