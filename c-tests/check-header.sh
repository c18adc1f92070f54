#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: check-header.sh INCLUDE-DIRECTORY SOURCE-DIRECTORY
#
# Compiles the public header alone, with every installed compiler and every
# supported standard; every warning is an error. Prints TAP.

set -u
[ $# -eq 2 ] || { echo "usage: $0 INCLUDE-DIRECTORY SOURCE-DIRECTORY" >&2; exit 2; }
include=$1 sources=$2
strict='-Wall -Wextra -Wpedantic -Werror -Wstrict-prototypes -Wundef'
strictxx='-Wall -Wextra -Wpedantic -Werror -Wundef -Wold-style-cast'

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# compile COMPILER STANDARD WARNINGS SOURCE
compile()
{
	what="$(basename "$4") as $2 with $1"
	if ! command -v "$1" >/dev/null; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $what # SKIP not installed"
		return
	fi
	# shellcheck disable=SC2086 # the warnings are words
	if "$1" "-std=$2" $3 "-I$include" -fsyntax-only "$4" 2>"$work/errors"; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $what"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $what"
		sed 's/^/#   /' "$work/errors"
	fi
}

for cc in gcc clang; do
	for standard in c99 c11 c17 c2x; do
		compile $cc $standard "$strict" "$sources/header-alone.c"
		compile $cc $standard "$strict" "$sources/header-use.c"
	done
done
for cxx in g++ clang++; do
	for standard in c++17 c++20; do
		compile $cxx $standard "$strictxx" "$sources/header-alone.cc"
	done
done

echo "1..$((passed + failed))"
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
