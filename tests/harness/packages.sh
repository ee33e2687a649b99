# SPDX-License-Identifier: Apache-2.0
# Sourced by check, demo and what is in bench: what must be installed.

build_packages="autoconf automake gcc libc6-dev make pkg-config librabbitmq-dev
	libjson-c-dev libpq-dev uuid-dev libev-dev libxxhash-dev libnbd-dev
	liburing-dev libcurl4-openssl-dev libvirt-dev libxml2-dev"
server_packages="postgresql-15 rabbitmq-server python3 python3-psycopg2 nbdkit libnbd-bin
	gnutls-bin e2fsprogs"
test_packages="clang clang-format git openssl libcmocka-dev python3-pytest python3-pika
	python3-libnbd python3-oslo.messaging python3-oslo.config cinder-common qemu-utils
	xfsprogs iproute2 nftables fuse3 mount"
cinder_packages="cinder-api cinder-scheduler cinder-volume sudo dmidecode python3-cinderclient uwsgi-core uwsgi-plugin-python3 rsync"
compute_packages="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients
	qemu-system-x86 kmod"
bench_packages="fio qemu-utils xfsprogs"

# need_packages NAME...: install what is missing as root, otherwise say it and fail.
need_packages() {
	local name missing="" policy="" status
	for name in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null |
			grep -qx installed || missing="$missing $name"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "these Debian packages are missing:$missing" >&2
		echo "hint: sudo apt-get install$missing" >&2
		return 1
	fi
	echo "installing$missing"
	# The servers that come with it shall not be started: ours are private.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		policy=/usr/sbin/policy-rc.d
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	status=0
	{
		apt-get update -qq &&
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
				-o DPkg::Lock::Timeout=300 --no-install-recommends $missing
	} >"${TMPDIR:-/tmp}/drover-apt.$$" 2>&1 || status=1
	if [ -n "$policy" ]; then
		rm -f "$policy"
		trap - EXIT
	fi
	[ $status = 0 ] || tail -n 20 "${TMPDIR:-/tmp}/drover-apt.$$" >&2
	rm -f "${TMPDIR:-/tmp}/drover-apt.$$"
	return $status
}

# build_in DIR LOG CONFIGURE-ARGUMENT... : configure once, then make all.
build_in() {
	local dir=$1 log=$2
	shift 2
	[ -x "$srcdir/configure" ] && [ "$srcdir/configure" -nt "$srcdir/configure.ac" ] ||
		(cd "$srcdir" && autoreconf -fi) >"$log" 2>&1 || return 1
	mkdir -p "$dir"
	(
		cd "$dir" || exit 1
		if [ ! -f config.status ] || [ "$(cat arguments 2>/dev/null)" != "$*" ]; then
			"$srcdir/configure" -q "$@" && echo "$*" >arguments || exit 1
		fi
		make -s -j"$(nproc)" all
	) >>"$log" 2>&1
}
