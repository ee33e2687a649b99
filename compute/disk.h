/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h - disks in libvirt's XML. No libvirt call is made here.
 *
 * Disks are found and changed as elements, never by looking for text.
 */
#ifndef COMPUTE_DISK_H
#define COMPUTE_DISK_H

#include <stdbool.h>

#include <libxml/tree.h>

#include "common/auto.h"
#include "common/error.h"
#include "compute/location.h"

#define DISK_DEVICE_SIZE 32

DEFINE_AUTO(xmlDocPtr, xmlFreeDoc)

/* The copy of a disk that libvirt's block job makes. */
struct mirror {
	bool is_copy; /* job='copy' */
	bool is_ready; /* it equals the disk, and goes on doing so */
	bool is_ending; /* the pivot, or the end, is under way */
	struct location to;
};

/* A whole domain; without entities and network access. */
int disk_parse(const char *xml, xmlDocPtr *out, struct error *err);

/* The disk with this serial number; NULL: there is none. doc NULL: none. */
xmlNodePtr disk_of_volume(xmlDocPtr doc, const char *volume_id);

/* "vdb"; empty when the element has none. */
void disk_device(xmlNodePtr disk, char out[DISK_DEVICE_SIZE]);
/* Of its source; kind LOCATION_OTHER for what we do not know. */
void disk_location(xmlNodePtr disk, struct location *out);
bool disk_is_read_only(xmlNodePtr disk);
/* Why it cannot be swapped: not raw, encrypted, backed by another file. NULL: it can. */
const char *disk_obstacle(xmlNodePtr disk);
/* False: no copy is being made of it. */
bool disk_mirror(xmlNodePtr disk, struct mirror *out);

/* The first name vda, vdb, ... that no disk of both has; either may be NULL. */
int disk_free_device(xmlDocPtr live, xmlDocPtr config, char out[DISK_DEVICE_SIZE],
	struct error *err);

/* ---- new XML, malloc'd ---- */

/* The element as it is. */
char *disk_text(xmlNodePtr disk);
/* A disk to be attached. */
char *disk_new_text(const struct location *location, const char *device,
	const char *volume_id, bool read_only);
/* What a block copy goes to. */
char *disk_copy_text(const struct location *location);
/* The same disk at another place. */
char *disk_moved_text(xmlNodePtr disk, const struct location *location);
/* A place that never exists: a disk there keeps its domain from being started. */
void disk_nowhere(const char *volume_id, struct location *out);

#endif
