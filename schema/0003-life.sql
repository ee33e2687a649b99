-- SPDX-License-Identifier: Apache-2.0
-- The life of a volume: snapshots, volumes made from others, growing.

alter table drover.operation
	drop constraint operation_kind_check,
	add constraint operation_kind_check check (kind in
		('create_volume', 'delete_volume', 'migrate_volume', 'create_snapshot',
		'delete_snapshot', 'extend_volume')),
	-- of create_snapshot and delete_snapshot; volume_id is the volume it is of
	add column snapshot_id varchar(36),
	add constraint operation_snapshot_check check ((snapshot_id is not null) =
		(kind in ('create_snapshot', 'delete_snapshot')));

-- Snapshots only read their volume: several may be under way.
drop index drover.operation_one_for_a_volume;
create unique index operation_one_for_a_volume on drover.operation (volume_id)
	where finished_at is null and phase <> 'settling' and kind <> 'create_snapshot';
create unique index operation_one_for_a_snapshot on drover.operation (snapshot_id)
	where finished_at is null;

-- What a new object is filled from. Until its operation has ended nothing may change the
-- source's size or place, or remove it.
create table drover.source (
	operation_id uuid primary key references drover.operation,
	-- one of both
	volume_id varchar(36),
	snapshot_id varchar(36),
	-- the storage could not clone, the bytes are copied: nobody may write the source
	copies boolean not null default false,
	-- all below it is durable in the new object and was read back; the digest up to there
	checkpoint bigint not null default 0 check (checkpoint >= 0),
	digest text,
	check ((volume_id is null) <> (snapshot_id is null))
);
create index source_volume on drover.source (volume_id);
create index source_snapshot on drover.source (snapshot_id);

-- What extend_volume knows beyond its operation.
create table drover.growth (
	operation_id uuid primary key references drover.operation,
	-- GiB
	old_size int not null,
	new_size int not null check (new_size > old_size),
	-- ids of what the API tier has reserved for it in public.reservations
	reservations text[] not null
);

create index object_volume on drover.object (volume_id);
