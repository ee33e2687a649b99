-- SPDX-License-Identifier: Apache-2.0
-- How fast a migration may go, as operators want it. Whoever copies reads it again and again.

alter table drover.migration
	-- bytes per second; 0: none; null: what the source's backend is configured with
	add column rate_limit bigint check (rate_limit >= 0),
	-- nothing is copied, and no switch made, until it is continued
	add column paused boolean not null default false,
	-- when one of both was changed last
	add column pace_at timestamptz;

-- The limit of a migration that was asked for, until it is admitted or refused: it has no row
-- before that.
create table drover.wish (
	volume_id varchar(36) primary key,
	request_id text not null check (length(request_id) between 1 and 255),
	rate_limit bigint not null check (rate_limit >= 0),
	created_at timestamptz not null default now()
);
