-- SPDX-License-Identifier: Apache-2.0
-- Drover's own tables: the PostgreSQL schema "drover" beside Cinder's tables. No foreign
-- keys or triggers reach into those. Times are timestamptz of the database's clock.

create schema drover;

create table drover.schema_version (
	number int primary key,
	name text not null,
	applied_at timestamptz not null default now()
);

-- The lease of a manager on one backend: who runs it and until when that counts.
create table drover.manager (
	host text primary key check (host ~ '^[^@#]+@[^@#]+$'),
	owner uuid not null,
	pid int not null,
	started_at timestamptz not null default now(),
	renewed_at timestamptz not null default now(),
	expires_at timestamptz not null
);

-- A piece of work that touches storage. Written before the request is acknowledged;
-- run by a worker of the backend in host; never run by two: claiming raises epoch.
create table drover.operation (
	id uuid primary key,
	kind text not null check (kind in
		('create_volume', 'delete_volume', 'migrate_volume')),
	volume_id varchar(36) not null,
	host text not null check (host ~ '^[^@#]+@[^@#]+$'),
	request_id text not null check (length(request_id) between 1 and 255),
	phase text not null default 'queued',
	-- the number of the claim and 32 random bits
	epoch bigint not null default 0 check (epoch >= 0),
	-- the status the volume gets back when the operation ends
	saved_status text,
	cancel boolean not null default false,
	-- claims without progress since the last change of phase or checkpoint
	attempts int not null default 0 check (attempts >= 0),
	not_before timestamptz not null default now(),
	error_code text,
	reason text,
	-- transactions that workers committed for it, and the seconds these took
	commits bigint not null default 0,
	commit_seconds double precision not null default 0,
	created_at timestamptz not null default clock_timestamp(),
	claimed_at timestamptz,
	updated_at timestamptz not null default clock_timestamp(),
	finished_at timestamptz,
	check (phase in ('queued', 'working', 'preparing', 'copying', 'swapping',
		'sealing', 'settling', 'held', 'done', 'failed', 'cancelled')),
	check ((finished_at is not null) = (phase in ('done', 'failed', 'cancelled'))),
	check (phase <> 'working' or kind <> 'migrate_volume'),
	check (kind = 'migrate_volume' or
		phase in ('queued', 'working', 'done', 'failed', 'cancelled')),
	check (phase not in ('failed', 'cancelled') or reason is not null)
);

-- One at a time for each volume. In settling the switch is made and the volume is free.
create unique index operation_one_for_a_volume on drover.operation (volume_id)
	where finished_at is null and phase <> 'settling';
-- A request is known for ever.
create unique index operation_request on drover.operation (volume_id, kind, request_id);
create index operation_work on drover.operation (host) where finished_at is null;
create index operation_history on drover.operation (created_at);

-- What a migration knows beyond its operation.
create table drover.migration (
	operation_id uuid primary key references drover.operation,
	-- host@backend#pool; a refused request may name anything
	source text,
	target text,
	-- the id that the source object's name is based on
	source_name_id varchar(36),
	route text check (route in ('driver', 'copy', 'compute')),
	force_host_copy boolean not null default false,
	lock_volume boolean not null default false,
	-- T: written before its row or its object exist
	temporary_id varchar(36),
	size_bytes bigint not null default 0 check (size_bytes >= 0),
	-- all below it is durable on the target and was read back
	checkpoint bigint not null default 0,
	-- the digest up to the checkpoint, and in the end the receipt
	digest text,
	-- progress: may be behind and is never relied on
	position bigint not null default 0,
	copied bigint not null default 0,
	skipped bigint not null default 0,
	rate double precision not null default 0,
	progress_at timestamptz,
	copy_started_at timestamptz,
	copy_finished_at timestamptz,
	check (checkpoint between 0 and size_bytes)
);
create index migration_target on drover.migration (target);

-- Every change of phase.
create table drover.transition (
	id bigint generated always as identity primary key,
	operation_id uuid not null references drover.operation,
	at timestamptz not null default clock_timestamp(),
	epoch bigint not null,
	from_phase text not null,
	to_phase text not null,
	why text not null
);
create index transition_operation on drover.transition (operation_id);

-- An object that Drover made or was about to make. Written before it exists; identity is
-- filled in before it gets its name.
create table drover.object (
	host text not null check (host ~ '^[^@#]+@[^@#]+$'),
	name text not null,
	volume_id varchar(36) not null,
	identity text,
	created_at timestamptz not null default now(),
	primary key (host, name)
);

-- What is left over and goes away: first renamed to trash_name, later removed.
create table drover.garbage (
	id uuid primary key default gen_random_uuid(),
	host text not null check (host ~ '^[^@#]+@[^@#]+$'),
	name text not null,
	trash_name text not null,
	-- null: the object never got its name, there is only what an unfinished create left
	identity text,
	-- made by somebody else, so that no identity was written down: it is looked for by
	-- the name of this volume, once, and its identity noted before anything is done
	by_name boolean not null default false,
	-- the id that the object's name is based on
	volume_id varchar(36) not null,
	operation_id uuid references drover.operation,
	reason text not null,
	state text not null default 'waiting'
		check (state in ('waiting', 'renamed', 'removed')),
	epoch bigint not null default 0,
	not_before timestamptz not null default now(),
	-- the earliest removal: source_keep after it was put here
	remove_after timestamptz not null default now(),
	attempts int not null default 0,
	last_error text,
	created_at timestamptz not null default now(),
	removed_at timestamptz,
	check ((state = 'removed') = (removed_at is not null))
);
create unique index garbage_object on drover.garbage (host, name)
	where removed_at is null;
create index garbage_work on drover.garbage (host) where removed_at is null;

-- A volume served to somebody: wanted and closed here, by anybody; opened and reaped by
-- the backend's manager alone.
create table drover.export (
	id uuid primary key,
	volume_id varchar(36) not null,
	host text not null check (host ~ '^[^@#]+@[^@#]+$'),
	kind text not null check (kind in ('attachment', 'migration')),
	attachment_id varchar(36),
	peer text not null,
	-- of a migration's export: whose, and for which epoch of it
	operation_id uuid references drover.operation,
	epoch bigint,
	-- the key of TLS-PSK, hex digits; null: no TLS
	tls_key text,
	read_only boolean not null default false,
	state text not null default 'wanted'
		check (state in ('wanted', 'open', 'closing', 'closed')),
	-- the server process: its start time makes the pid unmistakable
	pid int,
	pid_start bigint,
	boot_id text,
	-- started again after it ended by itself: how often in a row, and not before when
	restarts int not null default 0,
	not_before timestamptz not null default now(),
	address text,
	port int check (port between 1 and 65535),
	error text,
	reply_queue text,
	reply_id text,
	created_at timestamptz not null default now(),
	opened_at timestamptz,
	closed_at timestamptz,
	check ((state = 'closed') = (closed_at is not null)),
	check (state <> 'open' or (pid is not null and port is not null))
);
create index export_work on drover.export (host) where closed_at is null;
create index export_volume on drover.export (volume_id) where closed_at is null;
create index export_unanswered on drover.export (host) where reply_id is not null;
create unique index export_attachment on drover.export (attachment_id)
	where closed_at is null and attachment_id is not null;

-- A question of a migration's worker to the host of its target: what does your disk hold in
-- this range? Answered with digests; the worker removes it.
create table drover.read_back (
	id bigint generated always as identity primary key,
	operation_id uuid not null references drover.operation,
	epoch bigint not null,
	volume_id varchar(36) not null,
	host text not null check (host ~ '^[^@#]+@[^@#]+$'),
	from_offset bigint not null check (from_offset >= 0),
	to_offset bigint not null check (to_offset > from_offset),
	digests text,
	reason text,
	created_at timestamptz not null default now(),
	answered_at timestamptz
);
create index read_back_work on drover.read_back (host) where answered_at is null;
create index read_back_operation on drover.read_back (operation_id);
