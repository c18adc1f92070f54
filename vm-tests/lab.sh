#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: lab.sh [--kernel SERIES] [--update] [--print] [--verbose]
#
# Prepares the VM lab: a Debian kernel with the mdev drivers that are samples
# of that kernel (mtty, mdpy, mbochs), ready to be booted by "run".
#
#   --kernel SERIES  6.1 (default) or 6.12. Debian builds 6.12 without iommufd;
#                    this script builds its VFIO modules again, with iommufd and
#                    /dev/vfio/devices/vfioN.
#   --update         look for a newer kernel, also if a kernel is already prepared
#   --print          print the folder of the prepared kernel, and on a second
#                    line its initramfs
#   --verbose        print progress, also without a terminal
#
# Exits with 77 when Debian's package lists on this machine have no kernel of
# that series.
#
# Everything is kept in $MDEV_VM_CACHE (default: $XDG_CACHE_HOME/libmdev-vm,
# ~/.cache/libmdev-vm), one folder for each kernel version. The kernel is
# unpacked there, not installed. Packages that the lab needs to run are installed
# with apt-get, which needs root; only missing packages.
# A second run does nothing. Two runs at once wait for each other.

# shellcheck source=common.sh
. "$(dirname -- "$0")/common.sh"

# The last two are used by tests in the VM.
PACKAGES=(qemu-system-x86 busybox-static cpio kmod udev mdevctl xz-utils zstd gcc gcc-12 libc6-dev make perl-base util-linux
	libelf1 procps strace)
APT=(apt-get -qq -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root)

# Parts of the kernel package that no test of mediated devices needs: two thirds of its size.
SKIP=(sound drivers/media drivers/gpu drivers/net/wireless drivers/infiniband drivers/staging)

# The modules that the initramfs inserts before the machine's root is mounted, which has all other modules.
BOOT_MODULES=(virtio_pci 9pnet_virtio 9p overlay virtio_console)

# Options that Debian's configuration of 6.12 does not set.
IOMMUFD=(CONFIG_IOMMUFD"=m" CONFIG_VFIO_DEVICE_CDEV"=y")

missing_packages()
{
	# One query for all packages: dpkg-query fails for an unknown package, but prints the others.
	local have
	have=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${PACKAGES[@]}" 2>/dev/null || true)
	local p
	for p in "${PACKAGES[@]}"; do
		grep -qx -- "$p installed" <<<"$have" || printf '%s\n' "$p"
	done
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo -n -- "$@" || die "root is required; run as root: $*"
	fi
}

install_packages()
{
	local -a want
	mapfile -t want < <(missing_packages)
	[ ${#want[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "the lab needs Debian 12 (no apt-get here); missing: ${want[*]}"
	say "installing ${want[*]}"
	local -a cmd=(env DEBIAN_FRONTEND=noninteractive "${APT[@]}" install --no-install-recommends -y "${want[@]}")
	as_root "${cmd[@]}" >&2 && return 0
	as_root "${APT[@]}" update >&2
	as_root "${cmd[@]}" >&2 || die "apt-get could not install: ${want[*]}"
}

# Prints the release and the version of the newest kernel package of the series, "6.1.0-N-amd64 VERSION".
newest_kernel()
{
	local image series=${MDEV_VM_KERNEL//./\\.}
	image=$(apt-cache search --names-only "^linux-image-$series\\.[0-9]+(-[0-9]+|\\+deb[0-9]+)-amd64\$" | cut -d' ' -f1 |
		sort -V | tail -n 1)
	[ -n "$image" ] || return 0
	printf '%s %s\n' "${image#linux-image-}" "$(apt-cache policy "$image" | sed -n 's/^ *Candidate: //p')"
}

download()
{
	local where=$1
	shift
	(cd -- "$where" && "${APT[@]}" download "$@" >&2)
}

fetch_debs()
{
	local where=$1 kver=$2 version=$3 package
	local -a names=("linux-image-$kver=$version" "linux-headers-$kver=$version" "linux-source-$MDEV_VM_KERNEL=$version")

	# The package with the common headers and the package with the build tools are named after the series.
	for package in $(apt-cache depends "linux-headers-$kver=$version" | sed -nE 's/^ *Depends: (linux-(headers|kbuild)-.*)/\1/p'); do
		names+=("$package=$version")
	done
	say "downloading kernel $kver ($version), its headers and source: about 250 MB"
	download "$where" "${names[@]}" || die "apt-get could not download ${names[*]}"
}

unpack_kernel()
{
	local dir=$1 kver=$2 skip=()
	local s
	for s in "${SKIP[@]}"; do
		skip+=("--exclude=./lib/modules/*/kernel/$s")
	done
	say "unpacking"
	dpkg-deb --fsys-tarfile "$dir"/debs/linux-image-*.deb | tar -x -C "$dir" "${skip[@]}" ./boot ./lib
	local deb
	for deb in "$dir"/debs/linux-headers-*.deb "$dir"/debs/linux-kbuild-*.deb; do
		dpkg -x "$deb" "$dir"
	done
	# The makefile of the headers names the folder where the package would be installed.
	sed -i "s,include .*/usr/src/,include \$(dir \$(abspath \$(lastword \$(MAKEFILE_LIST))))../," \
		"$dir/usr/src/linux-headers-$kver/Makefile"
	# With the kernel's types beside the headers, the build would need pahole to describe each module.
	rm -f -- "$dir/usr/src/linux-headers-$kver/vmlinux"
	mkdir "$dir/source"
	# tar reads the archive once, and stops early if it only needs the samples; then SIGPIPE ends dpkg-deb.
	(set +o pipefail
	dpkg-deb --fsys-tarfile "$dir"/debs/linux-source-*.deb 2>/dev/null | tar -x -O --wildcards './usr/src/*.tar.xz' |
		xz -dc -T0 | tar -x -C "$dir/source" --strip-components=1 --wildcards \
		'*/samples/vfio-mdev' '*/drivers/vfio' '*/drivers/iommu/iommu*' \
		'*/lib/interval_tree.c')
}

# A bzImage contains the compressed kernel, at payload_offset of its header (Documentation/x86/boot.rst). QEMU starts an
# uncompressed kernel directly (PVH), which saves its decompression under emulation.
extract_vmlinux()
{
	local image=$1 out=$2
	local sects offset length
	sects=$(od -An -tu1 -j $((0x1f1)) -N1 "$image")
	offset=$(od -An -tu4 -j $((0x248)) -N4 "$image")
	length=$(od -An -tu4 -j $((0x24c)) -N4 "$image")
	dd if="$image" of="$out.packed" bs=1M iflag=skip_bytes,count_bytes status=none \
		skip=$(((sects + 1) * 512 + offset)) count="$((length))"
	# The last four bytes are the unpacked size and not part of the stream: both programs report an error about them.
	case $(od -An -tx1 -N4 "$out.packed" | tr -d ' ') in
	fd377a58) xz -dc --single-stream <"$out.packed" >"$out" || true ;;
	28b52ffd) zstd -dcq <"$out.packed" >"$out" 2>/dev/null || true ;;
	*) : >"$out" ;;
	esac
	rm -- "$out.packed"
	# Without an ELF file here, the compressed image boots as well, a few seconds slower.
	if [ "$(head -c 4 "$out" | tail -c 3)" != ELF ]; then
		say "no ELF kernel found in $image; the VMs boot the compressed one"
		cp -- "$image" "$out"
	fi
}

# make_drivers DIR RELEASE SOURCE CONFIG...: builds what the Kbuild file of SOURCE names.
make_drivers()
{
	local dir=$1 kver=$2 source=$3
	shift 3
	make -s -j "$(nproc)" -C "$dir/usr/src/linux-headers-$kver" M="$source" CONFIG_SAMPLE_VFIO_MDEV_{MTTY,MDPY,MBOCHS}"=m" \
		"$@" modules >"$source/log" 2>&1 || die "the drivers do not build: $(tail -n 5 "$source/log")"
}

# The sample drivers; and VFIO with iommufd, where Debian's configuration of the kernel does not set it. VFIO's structures depend on
# iommufd, so all modules that use them are built, including the samples.
build_drivers()
{
	local dir=$1 kver=$2 source=$1/source extra=$1/lib/modules/$2/extra
	local -a config=()

	printf 'obj-m := samples/vfio-mdev/\n' >"$source/Kbuild"
	if with_iommufd "$dir" "$kver"; then
		printf 'obj-m += drivers/iommu/iommufd/ drivers/vfio/\n%s\n' \
			'subdir-ccflags-y := -DCONFIG_IOMMUFD_MODULE=1 -DCONFIG_VFIO_DEVICE_CDEV=1' >>"$source/Kbuild"
		config=("${IOMMUFD[@]}")
		# A part of the kernel's library that only iommufd uses: it is linked into that module, and exports nothing.
		printf '%s\n' '#define CONFIG_INTERVAL_TREE_SPAN_ITER 1' '#include <linux/export.h>' '#undef EXPORT_SYMBOL_GPL' \
			'#define EXPORT_SYMBOL_GPL(name)' '#include "../../../lib/interval_tree.c"' \
			>"$source/drivers/iommu/iommufd/interval_tree.c"
		printf 'iommufd-y += interval_tree.o\n' >>"$source/drivers/iommu/iommufd/Makefile"
		rm -rf -- "$dir/lib/modules/$kver/kernel/drivers/vfio"
	fi
	say "building the sample drivers"
	make_drivers "$dir" "$kver" "$source" ${config[@]+"${config[@]}"}
	mkdir -p "$extra"
	find "$source" -name '*.ko' -exec cp -t "$extra" {} +
	# The project's own module needs this file to find the symbols of these modules.
	cp -- "$source/Module.symvers" "$dir/"
	depmod -b "$dir" -F "$dir/usr/src/linux-headers-$kver/Module.symvers" "$kver" 2>/dev/null ||
		depmod -b "$dir" "$kver"
}

# Whether this script builds VFIO, with iommufd and device nodes.
with_iommufd()
{
	[ -e "$1/source/drivers/vfio/device_cdev.c" ] && ! grep -q '^CONFIG_IOMMUFD=' "$1/boot/config-$2"
}

# The same drivers without CONFIG_VFIO_GROUP, in DIR/no-groups; t_drivers_without_groups of guest/lib.sh inserts them.
ensure_without_groups()
{
	local dir=$1 kver=$2 source=$1/no-groups/source
	with_iommufd "$dir" "$kver" && [ ! -e "$dir/no-groups/complete" ] || return 0
	say "building the drivers without VFIO groups"
	rm -rf -- "$dir/no-groups"
	mkdir -- "$dir/no-groups"
	cp -r -- "$dir/source" "$source"
	find "$source" -name '*.o' -delete
	printf '#undef CONFIG_VFIO_GROUP\n#undef CONFIG_VFIO_CONTAINER\n' >"$source/no-groups.h"
	printf 'subdir-ccflags-y += -include %s\n' "$source/no-groups.h" >>"$source/Kbuild"
	make_drivers "$dir" "$kver" "$source" "${IOMMUFD[@]}" CONFIG_VFIO_GROUP= CONFIG_VFIO_CONTAINER= CONFIG_VFIO_IOMMU_TYPE1=
	find "$source" -name '*.ko' -exec mv -t "$dir/no-groups" {} +
	rm -rf -- "$source"
	touch "$dir/no-groups/complete"
}

build_initrd()
{
	local dir=$1 kver=$2 out=$3
	local tree mod
	tree=$(mktemp -d "$dir/initrd.XXXXXX")
	mkdir -p "$tree"/{bin,dev,proc,sys,ro,rw,modules}
	cp -- /bin/busybox "$tree/bin/busybox"
	cp -- "$VM_TESTS/guest/init" "$tree/init"
	chmod 755 "$tree/init" "$tree/bin/busybox"
	for mod in "${BOOT_MODULES[@]}"; do
		modprobe -d "$dir" -S "$kver" --show-depends "$mod"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$tree/modules/files"
	while read -r mod; do
		cp -- "$mod" "$tree/modules/"
		mod=${mod##*/}
		# busybox inserts only unpacked modules.
		[ "$mod" = "${mod%.xz}" ] || xz -d "$tree/modules/$mod"
		printf '%s\n' "${mod%.xz}"
	done <"$tree/modules/files" >"$tree/modules/order"
	rm -- "$tree/modules/files"
	(cd -- "$tree" && find . | cpio -o -H newc -R 0:0 2>/dev/null) >"$tree.cpio"
	mv -- "$tree.cpio" "$out"
	rm -rf -- "$tree"
}

prepare_kernel()
{
	local newest kver version dir
	newest=$(newest_kernel)
	if [ -z "$newest" ] || [ "$UPDATE" = 1 ]; then
		say "reading Debian's package lists"
		as_root "${APT[@]}" update >&2
		newest=$(newest_kernel)
	fi
	if [ -z "$newest" ]; then
		printf '%s: no linux-image-%s for amd64 in the package lists: %s\n' "$ME" "$MDEV_VM_KERNEL" \
			'the lab needs Debian 12, and for 6.12 also its bookworm-security or bookworm-backports' >&2
		exit 77
	fi
	version=${newest#* }
	kver=${newest%% *}
	dir=$CACHE/$kver-$version
	if [ ! -e "$dir/complete" ]; then
		rm -rf -- "$dir"
		mkdir -p -- "$dir/debs"
		fetch_debs "$dir/debs" "$kver" "$version"
		unpack_kernel "$dir" "$kver"
		extract_vmlinux "$dir/boot/vmlinuz-$kver" "$dir/vmlinux"
		build_drivers "$dir" "$kver"
		rm -rf -- "$dir/debs"
		printf '%s\n' "$kver" >"$dir/release"
		touch "$dir/complete"
	fi
	ln -sfn -- "$dir" "$CACHE/current-$MDEV_VM_KERNEL"
}

# The initramfs contains guest/init: its name has a hash of its contents, so that a change makes a new file.
ensure_initrd()
{
	local dir=$1 sum
	sum=$(cat -- "$VM_TESTS/guest/init" "$VM_TESTS/lab.sh" | sha256sum | cut -c1-16)
	INITRD=$dir/initrd-$sum
	if [ ! -e "$INITRD" ]; then
		say "building the initramfs"
		build_initrd "$dir" "$(cat "$dir/release")" "$INITRD"
	fi
}

UPDATE=0
PRINT=0
while [ $# -gt 0 ]; do
	case $1 in
	--kernel)
		[ $# -ge 2 ] || die "--kernel needs a value; see $ME --help"
		set_kernel "$2"
		shift
		;;
	--update) UPDATE=1 ;;
	--print) PRINT=1 ;;
	--verbose) VERBOSE=1 ;;
	--help | -h) usage; exit 0 ;;
	*) die "unknown argument \"$1\"; see $ME --help" ;;
	esac
	shift
done

install_packages
mkdir -p -- "$CACHE"
exec {lock}>"$CACHE/lock"
flock "$lock"
if [ "$UPDATE" = 1 ] || ! lab_dir >/dev/null; then
	prepare_kernel
fi
DIR=$(lab_dir)
ensure_without_groups "$DIR" "$(cat "$DIR/release")"
ensure_initrd "$DIR"
say "kernel $(cat "$DIR/release") is ready in $DIR"
[ "$PRINT" = 0 ] || printf '%s\n%s\n' "$DIR" "$INITRD"
