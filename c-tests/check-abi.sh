#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: check-abi.sh INCLUDE-DIRECTORY ABI-FILE
#
# Checks the ABI of compiled programs: every function's type, every
# enumerator's number and every offset in struct mdev_driver is equal to ABI-FILE.
# New functions, numbers and members at the end of the table are allowed. Prints TAP;
# needs abidw and abidiff (Debian: abigail-tools) on x86_64, and is skipped where
# they are not installed.
#
# The header is compared: it is generated from the library's sources, and
# debug information of C is the same with every release of the compilers. After a
# release, or for an intended change: MDEV_REGENERATE=1 check-abi.sh ...

set -u
[ $# -eq 2 ] || { echo "usage: $0 INCLUDE-DIRECTORY ABI-FILE" >&2; exit 2; }
include=$1 kept=$2
CC=${CC:-cc}

if [ "$(uname -m)" != x86_64 ] || ! command -v abidw >/dev/null || ! command -v abidiff >/dev/null; then
	echo '1..0 # SKIP abidw or abidiff is not installed, or this is not x86_64'
	exit 0
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# object INCLUDE-DIRECTORY NAME: an object of C with a pointer to each function, and a variable of each enum
object()
{
	{
		echo '#include <libmdev.h>'
		sed -nE 's/^[^*/#[:space:]].*[ *](mdev_[a-z_]+)\(.*/\1/p' "$1/libmdev.h" | sort -u | while read -r name; do
			echo "__typeof__($name) *p_$name;"
		done
		sed -nE 's/^(typedef )?enum (mdev_[a-z_]+) \{$/\2/p' "$1/libmdev.h" | while read -r name; do
			echo "enum $name e_$name;"
		done
	} >"$work/$2.c"
	# No path of this machine into the description.
	"$CC" -std=gnu99 -g -gdwarf-4 "-fdebug-prefix-map=$work/=" -fPIC -shared "-I$1" -o "$work/$2.so" "$work/$2.c"
}

# result STATUS TEXT [FILE WITH DETAILS]
result()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $2"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $2"
		[ $# -lt 3 ] || sed 's/^/#   /' "$3"
	fi
}

# same NAME: as in the kept file
same()
{
	abidiff --no-added-syms --suppressions "$work/additions" "$kept" "$work/$1.so" >"$work/$1.diff" 2>&1
}

# edited NAME SED-SCRIPT: the header with a change that this check is for
edited()
{
	mkdir "$work/$1"
	sed -E "$2" "$include/libmdev.h" >"$work/$1/libmdev.h"
	! cmp -s "$include/libmdev.h" "$work/$1/libmdev.h" && object "$work/$1" "$1"
}

cat >"$work/additions" <<'END'
[suppress_type]
  type_kind = struct
  name = mdev_driver
  has_data_member_inserted_at = end
END

object "$include" now || exit 1
if [ -n "${MDEV_REGENERATE:-}" ]; then
	abidw --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed "$work/now.so" --out-file "$kept"
	exit
fi
same now
result $? "every program that was compiled before still fits" "$work/now.diff"

# That the above can fail, and does not when it need not.
edited appended 's/^\} mdev_driver;/\tint (*added)(void);\n&/; s/^\} mdev_error_code;/\tMDEV_ERROR_ADDED = 9999,\n&/' &&
	same appended
result $? "a new member at the end and a new number are fine" "$work/appended.diff"
edited inserted 's/^(\t.*\(\*device_reset\).*)$/\tint (*added)(void);\n\1/' && ! same inserted
result $? "a new member in the middle is not"
edited renumbered 's/MDEV_ERROR_TIMEOUT = 20/MDEV_ERROR_TIMEOUT = 99/' && ! same renumbered
result $? "another number is not"
edited retyped 's/^int (mdev_device_is_parent\()/long \1/' && ! same retyped
result $? "another type of a result is not"

echo "1..$((passed + failed))"
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
