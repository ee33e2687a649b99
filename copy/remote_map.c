/* SPDX-License-Identifier: Apache-2.0 */
/* What an NBD server told of holes. */
#include <stdlib.h>

#include "copy/remote.h"

void remote_map_clear(struct remote_map *map)
{
	free(map->extents);
	*map = (struct remote_map) { 0 };
}

void remote_map_begin(struct remote_map *map, uint64_t offset)
{
	map->from = map->to = offset;
	map->used = map->next = 0;
}

static bool grow(struct remote_map *map)
{
	size_t room = map->room ? map->room * 2 : 64;
	void *more = reallocarray(map->extents, room, sizeof(*map->extents));

	if (!more)
		return false;
	map->extents = more;
	map->room = room;
	return true;
}

bool remote_map_add(struct remote_map *map, uint64_t length, bool zero)
{
	if (length == 0 || length > UINT64_MAX - map->to)
		return false;
	if (map->used > 0 && map->extents[map->used - 1].zero == zero) {
		map->to = map->extents[map->used - 1].end = map->to + length;
		return true;
	}
	if (map->used == REMOTE_MAP_EXTENTS || (map->used == map->room && !grow(map)))
		return false;
	map->to += length;
	map->extents[map->used++] = (struct remote_extent) {
		.end = map->to,
		.zero = zero,
	};
	return true;
}

bool remote_map_at(struct remote_map *map, uint64_t offset, uint64_t *until, bool *zero)
{
	if (offset < map->from || offset >= map->to)
		return false;
	if (map->next > 0 && map->extents[map->next - 1].end > offset)
		map->next = 0;
	while (map->extents[map->next].end <= offset)
		map->next++;
	*until = map->extents[map->next].end;
	*zero = map->extents[map->next].zero;
	return true;
}
