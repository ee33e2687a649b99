#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# embed.sh FILE... - the schema files as C, on standard output.
#
# Makes schema_files[] (number, name and text of each file, in the order given) and,
# from the "create table" blocks of 0001-cinder.sql, schema_cinder_columns:
# "table.column" of every column, one a line.
set -eu

# Lines to the lines of a C string.
quote() {
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/	  "/' -e 's/$/\\n"/'
}

# A column is a line of a block that begins with a tab and a name; what a longer column
# or a key of the table continues with is indented deeper or begins with a known word.
columns() {
	awk '
		/^create table public\./ {
			table = $3
			sub(/^public\./, "", table)
			next
		}
		/^\);/ { table = "" }
		table == "" || !/^\t[a-z_"]/ { next }
		$1 ~ /^(primary|unique|foreign|constraint|check)$/ { next }
		{
			column = $1
			gsub(/"/, "", column)
			print table "." column
		}' "$1"
}

cat <<'END'
/* Made by schema/embed.sh: change the SQL files instead. */
#include "common/store/schema.h"

const struct schema_file schema_files[] = {
END
cinder=
last=0
for file; do
	name=${file##*/}
	name=${name%.sql}
	# Leading zeros would make it octal.
	number=$(expr "${name%%-*}" + 0)
	if [ "$number" -le "$last" ]; then
		echo "embed.sh: $file is out of order" >&2
		exit 1
	fi
	last=$number
	[ "$number" -ne 1 ] || cinder=$file
	printf '\t{ %d, "%s",\n' "$number" "$name"
	quote <"$file"
	printf '\t},\n'
done
printf '};\n\nconst unsigned schema_file_count = %d;\n' $#
printf '\nconst char schema_cinder_columns[] =\n'
columns "$cinder" | quote
printf '\t  "";\n'
