#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run by 'make check' in the build directory; srcdir comes from automake.
if ! /usr/bin/python3 -c 'import cinder.scheduler.filters' 2>/dev/null; then
	echo "skipped, because Cinder's scheduler is missing (python3-cinder)"
	exit 77
fi
PYTHONUTF8=1 exec /usr/bin/python3 "${srcdir:-.}/tests/unit/compare_extra_specs.py" \
	./tests/unit/specs_print
