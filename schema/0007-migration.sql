-- SPDX-License-Identifier: Apache-2.0
-- A migration that also changes the volume's type: the type is taken, and the reservations
-- of quota are committed, in the switch; on the way back they are rolled back.

alter table drover.migration
	add column new_type_id varchar(36),
	-- ids of public.reservations
	add column reservations varchar(36)[] not null default '{}';

-- The target is a backend of a Python cinder-volume, which makes and deletes the temporary
-- volume when it is asked to.
alter table drover.migration add column peer boolean not null default false;
