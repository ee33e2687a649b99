#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run by 'make check' in the build directory; srcdir comes from automake.
if ! /usr/bin/python3 -c 'import oslo_config' 2>/dev/null; then
	echo "skipped, because Python's oslo.config is missing (python3-oslo.config)"
	exit 77
fi
PYTHONUTF8=1 exec /usr/bin/python3 "${srcdir:-.}/tests/unit/compare_oslo_config.py" \
	./tests/unit/conf_print
