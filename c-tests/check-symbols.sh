#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: check-symbols.sh LIBRARY MAP HEADER SWEEP.c
#
# Checks that the exports of the shared library, the version map, the header
# and the NULL sweep have the same set of functions,
# and that the library is linked correctly. Prints TAP.

set -u
export LC_ALL=C
[ $# -eq 4 ] || { echo "usage: $0 LIBRARY MAP HEADER SWEEP.c" >&2; exit 2; }
lib=$1 map=$2 header=$3 sweep=$4
CC=${CC:-cc}
SONAME=libmdev.so.0

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# result STATUS TEXT [FILE WITH DETAILS]
result()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $((passed + failed)) - $2"
	[ $# -lt 3 ] || sed 's/^/#   /' "$3"
}

# empty TEXT FILE: holds when the file, a list of offenders, is empty
empty()
{
	test ! -s "$2"
	result $? "$1" "$2"
}

# same TEXT LIST LIST
same()
{
	diff "$2" "$3" >"$work/diff"
	result $? "$1" "$work/diff"
}

# Functions called or declared in preprocessed C source, which has no comments and macros. The name
# before (* is the type that a pointer to a function returns.
functions()
{
	grep -oE '\bmdev_[a-z0-9_]+ *\(([^*]|$)' | sed 's/ *(.*//' | sort -u
}

nm -D --defined-only "$lib" | awk '$2 != "A" { print $2, $3 }' >"$work/nm" || exit 1
sed 's/.* //; s/@.*//' "$work/nm" | sort -u >"$work/exported"
# Between global: and local:, without comments.
tr '\n' ' ' <"$map" | sed 's,/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/, ,g' >"$work/map"
grep -oE 'global:[^}]*' "$work/map" | sed 's/local:.*//; s/global://' | tr ';' '\n' | tr -d ' \t' | sed '/^$/d' |
	sort >"$work/mapped"
printf '#include "%s"\n' "$(realpath "$header")" | $CC -E -P - >"$work/header.i" || exit 1
functions <"$work/header.i" >"$work/declared"
# Without its include lines, the sweep is only its own text.
grep -v '^#include' "$sweep" | $CC -fpreprocessed -E -P -x c - 2>/dev/null | functions >"$work/swept"

test -s "$work/exported"
result $? "the library exports functions ($(wc -l <"$work/exported"))"
grep -v '^mdev_' "$work/exported" >"$work/foreign"
empty "only mdev_* is exported" "$work/foreign"
grep -v '^T ' "$work/nm" >"$work/data"
empty "only functions are exported, no data" "$work/data"
grep -vE '@@LIBMDEV_[0-9.]+$' "$work/nm" >"$work/plain"
empty "each function has a LIBMDEV version as its default" "$work/plain"
grep -E '[^a-z0-9_]' "$work/mapped" >"$work/wild"
empty "the map has names, no patterns" "$work/wild"
uniq -d "$work/mapped" >"$work/twice"
empty "no name is in the map twice" "$work/twice"
grep -qE 'local:[[:space:]]*\*;' "$work/map"
result $? "all other symbols are local"
same "the map lists exactly the exported functions" "$work/mapped" "$work/exported"
same "the header declares exactly the exported functions" "$work/declared" "$work/exported"
comm -13 "$work/swept" "$work/exported" >"$work/unswept"
empty "the NULL sweep calls each function" "$work/unswept"

readelf -dW "$lib" >"$work/dynamic" || exit 1
readelf -lW "$lib" >"$work/segments" || exit 1
grep -q "(SONAME).*\[$SONAME\]" "$work/dynamic"
result $? "the soname is $SONAME" "$work/dynamic"
grep -qE '\(FLAGS_1\).*NODELETE' "$work/dynamic"
result $? "the library stays mapped after dlclose" "$work/dynamic"
grep -E 'TEXTREL' "$work/dynamic" >"$work/textrel"
empty "no relocation in the text" "$work/textrel"
grep -E '\((RPATH|RUNPATH)\)' "$work/dynamic" >"$work/rpath"
empty "no RPATH or RUNPATH" "$work/rpath"
grep 'GNU_STACK' "$work/segments" | grep -qE ' RW +0x'
result $? "the stack is not executable" "$work/segments"
grep -q 'GNU_RELRO' "$work/segments"
result $? "relocated data becomes read-only" "$work/segments"
awk '$1 == "LOAD" && /RWE/' "$work/segments" >"$work/rwe"
empty "nothing is writable and executable" "$work/rwe"
# A new dependency must be added here on purpose.
sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' "$work/dynamic" |
	grep -vE '^(lib(c|m|dl|pthread|gcc_s)\.so\.[0-9]+|ld-.*\.so\.[0-9]+)$' >"$work/needed"
empty "it needs only the C library" "$work/needed"

echo "1..$((passed + failed))"
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
