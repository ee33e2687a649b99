-- SPDX-License-Identifier: Apache-2.0
-- Connections that the API tier asks for, and who waits for which answer.

alter table drover.export
	-- asked for by attachment_update: what the attachment gets when this is open
	add column connector text,
	add column attach_mode text,
	-- the attachment that is detached when this is closed
	add column detach_id varchar(36),
	-- the request that wanted it
	add column request_id text,
	-- what the caller in reply_id is told: what to connect to, the same in the form of
	-- an attachment, or that all that have his reply_id are closed
	add column reply_for text not null default 'connection'
		check (reply_for in ('connection', 'attachment', 'closed'));
create index export_detach on drover.export (detach_id)
	where closed_at is null and detach_id is not null;

-- These were made by "drover connect", attachment and all.
update drover.export set detach_id = attachment_id
	where attachment_id is not null and closed_at is null;

-- What became of a request to attach: one that comes twice is known, whatever happened to
-- its attachment since.
create table drover.attach_request (
	volume_id varchar(36) not null,
	request_id text not null check (length(request_id) between 1 and 255),
	-- the server, or the host where there is none
	who text not null,
	attachment_id varchar(36) not null,
	created_at timestamptz not null default now(),
	primary key (volume_id, request_id, who)
);

-- Connections that were handed out without a server of ours and without an attachment
-- (initialize_connection of a share): who has one may be writing.
create table drover.connection (
	id bigint generated always as identity primary key,
	volume_id varchar(36) not null,
	peer text not null,
	request_id text not null,
	created_at timestamptz not null default now(),
	closed_at timestamptz
);
create index connection_volume on drover.connection (volume_id);

-- Objects that Drover did not make are looked at by a worker before somebody is told where
-- they are: the name in the rows may not be where their data is. One line for each volume
-- that is asked for; the connection waits.
create table drover.look (
	volume_id varchar(36) primary key,
	-- what the object's name is made from: after a migration it is another one
	name_id varchar(36) not null,
	found boolean not null default false,
	host text not null check (host ~ '^[^@#]+@[^@#]+$'),
	asked_at timestamptz not null default now(),
	error_code text,
	error text
);
create index look_work on drover.look (host) where error is null and not found;
