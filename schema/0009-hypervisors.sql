-- SPDX-License-Identifier: Apache-2.0
-- Attached volumes of guests without Nova: drover-compute on their hypervisor is asked.

-- For a guest of another host: TLS, and both sides show certificates.
alter table drover.export add column certificates boolean not null default false;

alter table drover.swap
	-- who was asked for this one, whatever is configured since
	add column api text not null default 'nova' check (api in ('nova', 'rpc')),
	-- where the guest is, and by what it is to be attached to the temporary volume: written
	-- before anything is asked of the hypervisor
	add column hypervisor text,
	add column target_attachment_id varchar(36),
	-- what the hypervisor said last, and when it said something
	add column said text,
	add column said_at timestamptz,
	-- after its yes it knew nothing of it any more: what it began may go on
	add column forgotten boolean not null default false,
	-- the last look, by whatever way
	add column looked_at timestamptz,
	add check ((hypervisor is null) = (target_attachment_id is null)),
	add check ((said is null) = (said_at is null)),
	add check (api <> 'rpc' or asks = 0 or hypervisor is not null);
