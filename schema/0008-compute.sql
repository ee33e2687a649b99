-- SPDX-License-Identifier: Apache-2.0
-- Attached volumes: Compute is asked to copy, and to let the guest go on with the copy.

-- Whom the backend's manager asks for that. The schedulers and the command line, which may
-- have another configuration, look it up here.
alter table drover.manager add column compute_api text not null default 'none'
	check (compute_api in ('none', 'nova', 'rpc'));

-- What a migration of route compute knows beyond that: the guest, and what became of the
-- question.
create table drover.swap (
	operation_id uuid primary key references drover.operation,
	-- the attachment that the volume had, and whose it was
	attachment_id varchar(36) not null,
	server_id varchar(36) not null,
	attach_mode text,
	-- written before Compute is asked, each time
	asks int not null default 0 check (asks >= 0),
	asked_at timestamptz,
	-- it said yes, or was seen to have begun
	accepted_at timestamptz,
	-- migrate_volume_completion came; failed: what it said
	completed_at timestamptz,
	failed boolean not null default false,
	-- what the attachments looked like last, and since when
	seen text,
	seen_at timestamptz,
	check ((asks > 0) = (asked_at is not null)),
	check (accepted_at is null or asked_at is not null),
	check (not failed or completed_at is not null)
);

-- Nobody can tell whether it is in use: it is neither renamed nor removed until an operator
-- says so.
alter table drover.garbage add column quarantined boolean not null default false;
