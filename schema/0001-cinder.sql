-- SPDX-License-Identifier: Apache-2.0
-- The tables of OpenStack Block Storage (Cinder 21) as its own tools make them in an
-- empty PostgreSQL database: names, types, order of columns, keys, indexes, first rows.
-- After this file "cinder-manage db sync" finds nothing to do.
--
-- Most tables begin with the same four columns. A row is deleted by "deleted = true":
-- nothing is ever removed but by cinder-manage db purge. Times are UTC without a zone.
-- One column a line: the list of columns that a complete Cinder database must have is
-- made from this file.

-- What state the tables are in: the head of cinder/db/migrations.
create table public.alembic_version (
	version_num varchar(32) not null constraint alembic_version_pkc primary key
);

-- The processes: one row for each binary and host (host@backend for cinder-volume).
create table public.services (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	host varchar(255),
	"binary" varchar(255),
	topic varchar(255),
	report_count int not null,
	disabled boolean,
	availability_zone varchar(255),
	disabled_reason varchar(255),
	modified_at timestamp,
	rpc_current_version varchar(36),
	object_current_version varchar(36),
	replication_status varchar(36),
	frozen boolean,
	active_backend_id varchar(255),
	cluster_name varchar(255),
	uuid varchar(36)
);
create unique index services_uuid_idx on public.services (uuid);

-- Several cinder-volume that serve the same storage.
create table public.clusters (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	name varchar(255) not null,
	"binary" varchar(255) not null,
	disabled boolean,
	disabled_reason varchar(255),
	race_preventer int not null,
	replication_status varchar(36),
	active_backend_id varchar(255),
	frozen boolean not null default false,
	unique (name, "binary", race_preventer)
);

-- Which service works on which resource: to clean up after a dead one.
create table public.workers (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	resource_type varchar(40) not null,
	resource_id varchar(36) not null,
	status varchar(255) not null,
	service_id int references public.services (id),
	race_preventer int not null default 0,
	unique (resource_type, resource_id)
);
create index ix_workers_service_id on public.workers (service_id);

-- Quality of service: a row without specs_id is the set, the others are its values.
create table public.quality_of_service_specs (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	specs_id varchar(36) references public.quality_of_service_specs (id),
	key varchar(255),
	value varchar(255)
);
create index ix_quality_of_service_specs_specs_id
	on public.quality_of_service_specs (specs_id);

create table public.volume_types (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	name varchar(255),
	qos_specs_id varchar(36) references public.quality_of_service_specs (id),
	is_public boolean,
	description varchar(255)
);
create index ix_volume_types_qos_specs_id on public.volume_types (qos_specs_id);

-- What the scheduler compares with the capabilities of a pool.
create table public.volume_type_extra_specs (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	volume_type_id varchar(36) not null
		constraint volume_type_extra_specs_ibfk_1
		references public.volume_types (id),
	key varchar(255),
	value varchar(255)
);
create index ix_volume_type_extra_specs_volume_type_id
	on public.volume_type_extra_specs (volume_type_id);

-- Who may use a type that is not public.
create table public.volume_type_projects (
	id serial primary key,
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	volume_type_id varchar(36) references public.volume_types (id),
	project_id varchar(255),
	deleted int,
	unique (volume_type_id, project_id, deleted)
);

-- The type that a project's volumes get when none is named.
create table public.default_volume_types (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	volume_type_id varchar(36) references public.volume_types (id),
	project_id varchar(255) primary key,
	deleted boolean
);
create index ix_default_volume_types_volume_type_id
	on public.default_volume_types (volume_type_id);

create table public.encryption (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	cipher varchar(255),
	control_location varchar(255) not null,
	key_size int,
	provider varchar(255) not null,
	volume_type_id varchar(36) not null,
	encryption_id varchar(36) primary key
);

-- Consistency groups, which groups have replaced.
create table public.consistencygroups (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	user_id varchar(255),
	project_id varchar(255),
	host varchar(255),
	availability_zone varchar(255),
	name varchar(255),
	description varchar(255),
	volume_type_id varchar(255),
	status varchar(255),
	cgsnapshot_id varchar(36),
	source_cgid varchar(36),
	cluster_name varchar(255)
);

create table public.cgsnapshots (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	consistencygroup_id varchar(36) not null
		references public.consistencygroups (id),
	user_id varchar(255),
	project_id varchar(255),
	name varchar(255),
	description varchar(255),
	status varchar(255)
);
create index ix_cgsnapshots_consistencygroup_id
	on public.cgsnapshots (consistencygroup_id);

create table public.group_types (
	id varchar(36) primary key,
	name varchar(255) not null,
	description varchar(255),
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	is_public boolean
);

create table public.group_type_specs (
	id serial primary key,
	key varchar(255),
	value varchar(255),
	group_type_id varchar(36) not null references public.group_types (id),
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean
);
create index ix_group_type_specs_group_type_id
	on public.group_type_specs (group_type_id);

create table public.group_type_projects (
	id serial primary key,
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	group_type_id varchar(36) references public.group_types (id),
	project_id varchar(255),
	deleted boolean,
	unique (group_type_id, project_id, deleted)
);

-- Volumes that are snapshotted or replicated together.
create table public.groups (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	user_id varchar(255),
	project_id varchar(255),
	cluster_name varchar(255),
	host varchar(255),
	availability_zone varchar(255),
	name varchar(255),
	description varchar(255),
	group_type_id varchar(36),
	status varchar(255),
	group_snapshot_id varchar(36),
	source_group_id varchar(36),
	replication_status varchar(255)
);

create table public.group_snapshots (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	group_id varchar(36) not null references public.groups (id),
	user_id varchar(255),
	project_id varchar(255),
	name varchar(255),
	description varchar(255),
	status varchar(255),
	group_type_id varchar(36)
);
create index ix_group_snapshots_group_id on public.group_snapshots (group_id);

create table public.group_volume_type_mapping (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	volume_type_id varchar(36) not null references public.volume_types (id),
	group_id varchar(36) not null references public.groups (id)
);
create index ix_group_volume_type_mapping_volume_type_id
	on public.group_volume_type_mapping (volume_type_id);
create index ix_group_volume_type_mapping_group_id
	on public.group_volume_type_mapping (group_id);

-- A volume: host is host@backend#pool; its name on the backend is made from _name_id,
-- from id while that is null; size is in GiB.
create table public.volumes (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	ec2_id varchar(255),
	user_id varchar(255),
	project_id varchar(255),
	host varchar(255),
	size int,
	availability_zone varchar(255),
	status varchar(255),
	attach_status varchar(255),
	scheduled_at timestamp,
	launched_at timestamp,
	terminated_at timestamp,
	display_name varchar(255),
	display_description varchar(255),
	provider_location varchar(256),
	provider_auth varchar(256),
	snapshot_id varchar(36),
	volume_type_id varchar(36) not null,
	source_volid varchar(36),
	bootable boolean,
	provider_geometry varchar(255),
	_name_id varchar(36),
	encryption_key_id varchar(36),
	migration_status varchar(255),
	replication_status varchar(255),
	replication_extended_status varchar(255),
	replication_driver_data varchar(255),
	consistencygroup_id varchar(36) references public.consistencygroups (id),
	provider_id varchar(255),
	multiattach boolean,
	previous_status varchar(255),
	cluster_name varchar(255),
	group_id varchar(36) references public.groups (id),
	service_uuid varchar(36) references public.services (uuid),
	shared_targets boolean,
	use_quota boolean
);
create index ix_volumes_consistencygroup_id on public.volumes (consistencygroup_id);
create index ix_volumes_group_id on public.volumes (group_id);
create index volumes_service_uuid_idx on public.volumes (service_uuid, deleted);

create table public.volume_metadata (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	volume_id varchar(36) not null references public.volumes (id),
	key varchar(255),
	value varchar(255)
);
create index ix_volume_metadata_volume_id on public.volume_metadata (volume_id);

-- Metadata that users do not see: readonly, attached_mode, format.
create table public.volume_admin_metadata (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	volume_id varchar(36) not null references public.volumes (id),
	key varchar(255),
	value varchar(255)
);
create index ix_volume_admin_metadata_volume_id
	on public.volume_admin_metadata (volume_id);

create table public.volume_attachment (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	volume_id varchar(36) not null references public.volumes (id),
	attached_host varchar(255),
	instance_uuid varchar(36),
	mountpoint varchar(255),
	attach_time timestamp,
	detach_time timestamp,
	attach_mode varchar(36),
	attach_status varchar(255),
	connection_info text,
	connector text
);
create index ix_volume_attachment_volume_id on public.volume_attachment (volume_id);

create table public.attachment_specs (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	attachment_id varchar(36) not null references public.volume_attachment (id),
	key varchar(255),
	value varchar(255)
);
create index ix_attachment_specs_attachment_id
	on public.attachment_specs (attachment_id);

create table public.snapshots (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	volume_id varchar(36) not null references public.volumes (id),
	user_id varchar(255),
	project_id varchar(255),
	status varchar(255),
	progress varchar(255),
	volume_size int,
	scheduled_at timestamp,
	display_name varchar(255),
	display_description varchar(255),
	provider_location varchar(255),
	encryption_key_id varchar(36),
	volume_type_id varchar(36) not null,
	cgsnapshot_id varchar(36) references public.cgsnapshots (id),
	provider_id varchar(255),
	provider_auth varchar(255),
	group_snapshot_id varchar(36) references public.group_snapshots (id),
	use_quota boolean
);
create index ix_snapshots_volume_id on public.snapshots (volume_id);
create index ix_snapshots_cgsnapshot_id on public.snapshots (cgsnapshot_id);
create index ix_snapshots_group_snapshot_id on public.snapshots (group_snapshot_id);

create table public.snapshot_metadata (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	snapshot_id varchar(36) not null references public.snapshots (id),
	key varchar(255),
	value varchar(255)
);
create index ix_snapshot_metadata_snapshot_id
	on public.snapshot_metadata (snapshot_id);

-- What an image said about the volume or snapshot that was made from it.
create table public.volume_glance_metadata (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	volume_id varchar(36) references public.volumes (id),
	snapshot_id varchar(36) references public.snapshots (id),
	key varchar(255),
	value text
);
create index ix_volume_glance_metadata_volume_id
	on public.volume_glance_metadata (volume_id);
create index ix_volume_glance_metadata_snapshot_id
	on public.volume_glance_metadata (snapshot_id);

-- Volumes kept to clone further volumes of the same image from.
create table public.image_volume_cache_entries (
	image_updated_at timestamp,
	id serial primary key,
	host varchar(255) not null,
	image_id varchar(36) not null,
	volume_id varchar(36) not null,
	size int not null,
	last_used timestamp not null,
	cluster_name varchar(255)
);
create index ix_image_volume_cache_entries_host
	on public.image_volume_cache_entries (host);
create index ix_image_volume_cache_entries_image_id
	on public.image_volume_cache_entries (image_id);

create table public.backups (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	volume_id varchar(36) not null,
	user_id varchar(255),
	project_id varchar(255),
	host varchar(255),
	availability_zone varchar(255),
	display_name varchar(255),
	display_description varchar(255),
	container varchar(255),
	status varchar(255),
	fail_reason varchar(255),
	service_metadata varchar(255),
	service varchar(255),
	size int,
	object_count int,
	parent_id varchar(36),
	temp_volume_id varchar(36),
	temp_snapshot_id varchar(36),
	num_dependent_backups int,
	snapshot_id varchar(36),
	data_timestamp timestamp,
	restore_volume_id varchar(36),
	encryption_key_id varchar(36)
);

create table public.backup_metadata (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	backup_id varchar(36) not null references public.backups (id),
	key varchar(255),
	value varchar(255)
);
create index ix_backup_metadata_backup_id on public.backup_metadata (backup_id);

-- A volume on its way from one project to another.
create table public.transfers (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id varchar(36) primary key,
	volume_id varchar(36) not null references public.volumes (id),
	display_name varchar(255),
	salt varchar(255),
	crypt_hash varchar(255),
	expires_at timestamp,
	no_snapshots boolean,
	source_project_id varchar(255),
	destination_project_id varchar(255),
	accepted boolean
);
create index ix_transfers_volume_id on public.transfers (volume_id);

-- What some drivers remember about initiators.
create table public.driver_initiator_data (
	created_at timestamp,
	updated_at timestamp,
	id serial primary key,
	initiator varchar(255) not null,
	namespace varchar(255) not null,
	key varchar(255) not null,
	value varchar(255),
	unique (initiator, namespace, key)
);
create index ix_driver_initiator_data_initiator
	on public.driver_initiator_data (initiator);

-- Failures told to users ("cinder message-list").
create table public.messages (
	id varchar(36) primary key,
	project_id varchar(255) not null,
	request_id varchar(255),
	resource_type varchar(36),
	resource_uuid varchar(255),
	event_id varchar(255) not null,
	message_level varchar(255) not null,
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	expires_at timestamp,
	detail_id varchar(10),
	action_id varchar(10)
);
create index ix_messages_expires_at on public.messages (expires_at);

-- Limits of a project; of all others by class "default".
create table public.quotas (
	id serial primary key,
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	project_id varchar(255),
	resource varchar(255) not null,
	hard_limit int,
	allocated int
);

create table public.quota_classes (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	class_name varchar(255),
	resource varchar(255),
	hard_limit int
);
create index ix_quota_classes_class_name on public.quota_classes (class_name);

-- What a project uses: race_preventer is true or null, so that the key holds for the
-- rows that are not deleted.
create table public.quota_usages (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	project_id varchar(255),
	resource varchar(300),
	in_use int not null,
	reserved int not null,
	until_refresh int,
	race_preventer boolean,
	unique (project_id, resource, race_preventer)
);
create index ix_quota_usages_project_id on public.quota_usages (project_id);
create index quota_usage_project_resource_idx
	on public.quota_usages (project_id, resource);

-- Quota set aside for a request under way: committed or rolled back by uuid.
create table public.reservations (
	created_at timestamp,
	updated_at timestamp,
	deleted_at timestamp,
	deleted boolean,
	id serial primary key,
	uuid varchar(36) not null,
	usage_id int references public.quota_usages (id),
	project_id varchar(255),
	resource varchar(255),
	delta int not null,
	expire timestamp,
	allocated_id int references public.quotas (id)
);
create index ix_reservations_project_id on public.reservations (project_id);
create index ix_reservations_usage_id on public.reservations (usage_id);
create index ix_reservations_allocated_id on public.reservations (allocated_id);
create index reservations_deleted_expire_idx
	on public.reservations (deleted, expire);
create index reservations_deleted_uuid_idx on public.reservations (deleted, uuid);

-- The rows that cinder-manage puts into a new database.

insert into public.alembic_version (version_num) values ('c92a3e68beed');

insert into public.quota_classes (created_at, deleted, class_name, resource, hard_limit)
	select now() at time zone 'UTC', false, 'default', resource, hard_limit
	from (values
		('volumes', 10),
		('snapshots', 10),
		('gigabytes', 1000),
		('consistencygroups', 10),
		('per_volume_gigabytes', -1),
		('groups', 10)) as limits (resource, hard_limit);

-- Its microseconds tell Cinder that the database keeps them.
insert into public.workers (created_at, updated_at, deleted, resource_type, resource_id,
		status)
	select at, at, false, 'SENTINEL', 'SUB-SECOND', 'OK'
	from (select date_trunc('second', now() at time zone 'UTC')
		+ interval '123 microseconds') as clock (at);

with default_group_type as (
	insert into public.group_types (id, name, description, created_at, updated_at,
			deleted, is_public)
		values (gen_random_uuid(), 'default_cgsnapshot_type',
			'Default group type for migrating cgsnapshot',
			now() at time zone 'UTC', now() at time zone 'UTC', false, true)
		returning id, created_at)
insert into public.group_type_specs (key, value, group_type_id, created_at, updated_at,
		deleted)
	select 'consistent_group_snapshot_enabled', '<is> True', id, created_at,
		created_at, false
	from default_group_type;

insert into public.volume_types (id, name, description, created_at, updated_at, deleted,
		is_public)
	values (gen_random_uuid(), '__DEFAULT__', 'Default Volume Type',
		now() at time zone 'UTC', now() at time zone 'UTC', false, true);
