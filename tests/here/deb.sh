#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has releases of its own
# slow: builds two releases with their packages, 12 minutes
#
# The Debian packages, from `make deb` to purge. They are built on the oldest
# release and installed on that one and the next: Debian upgrades a machine
# package by package, so one that was built for a release has to go on working
# while it becomes the next. Runs on the host, boots a guest for each release;
# prints TAP.
#
# Below build/deb-roots: SUITE is a clean root file system with the release's
# kernel and headers, what the packages depend on and a second kernel
# downloaded; SUITE.run is the one that they are installed in; build has the
# source's Build-Depends.
set -eu

cd "$(dirname "$0")/../.."
roots=$PWD/build/deb-roots
suites='bookworm trixie'
row=${ROW:-bookworm}
fresh=()
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0
failed=0

skip()
{
	echo "1..0 # SKIP $*"
	exit 0
}

# result OK NAME [FILE]: one TAP line; the end of FILE says why it failed
result()
{
	n=$((n + 1))
	if [ "$1" = ok ]; then
		echo "ok $n - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $n - $2"
	[ -z "${3:-}" ] || tail -n 60 "$3" | sed 's/^/# /'
}

# check NAME CMD...
check()
{
	local name=$1 rc=0

	shift
	"$@" >"$tmp/log" 2>&1 </dev/null || rc=$?
	[ $rc -ne 0 ] || { result ok "$name"; return; }
	result failed "$name" "$tmp/log"
	return $rc
}

# Function bodies run with set -e switched off inside check: say && instead.

# The mounts and processes end with the namespaces they are in. An initramfs
# for the second kernel would take longer than everything else.
in_root()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare -m -p -f sh -c 'mount -t proc proc "$1/proc" && exec env -i \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root INITRD=No \
		DEBIAN_FRONTEND=noninteractive chroot "$@"' - "$root" "$@"
}

apt()
{
	in_root apt-get -y --no-install-recommends "$@"
}

# made DIR RECIPE MMDEBSTRAP-ARG...: unless the same recipe made it before
made()
{
	local dir=$roots/$1 suite=$2 recipe=${*:2} deb
	shift 2

	[ "$(cat "$dir.made" 2>/dev/null)" != "$recipe" ] || return 0
	deb=$(scripts/lab sources "$suite" "$suite-security") || return
	rm -rf --one-file-system "$dir" "$dir.made"
	mkdir -p "$roots"
	echo "$deb" | mmdebstrap --architectures=amd64 --format=directory \
		--skip=cleanup/apt "$@" "$suite" "$dir" - || return
	echo "$recipe" >"$dir.made"
}

# The second kernel is the newest that is not the first.
# shellcheck disable=SC2016 # expanded in the root
download='chroot "$1" sh -euc "
	first=\$(basename /lib/modules/*)
	apt-get install -y --no-install-recommends --download-only dkms iptables \
		openssl
	apt-cache pkgnames linux-headers- |
		sed -n \"s/^linux-headers-\\([0-9].*-cloud-amd64\\)\$/\\1/p\" |
		grep -vxF \"\$first\" | sort -rV >/tmp/others
	while read -r second; do
		apt-cache show linux-image-\$second >/dev/null 2>&1 || continue
		apt-get install -y --no-install-recommends --download-only \
			linux-image-\$second linux-headers-\$second
		break
	done </tmp/others
	echo \$second >/second"'

# shellcheck disable=SC2016 # expanded by mmdebstrap's shell
build_root()
{
	made build bookworm --variant=buildd --include=lintian \
		--customize-hook="tar -c debian | tar -x -C \"\$1/tmp\"" \
		--customize-hook='chroot "$1" apt-get -y \
			--no-install-recommends build-dep /tmp' \
		--customize-hook=": $(sha256sum debian/control)"
}

# In the build root, as Debian's builders do it: Build-Depends are complete
packages()
{
	root=$roots/build
	build_root || return
	rm -rf "$root/src" build/deb
	mkdir -p "$root/src" build/deb &&
	tar -c --exclude=./build --exclude=.git . | tar -x -C "$root/src" &&
	in_root make -C /src deb &&
	cp "$root"/src/build/deb/* build/deb
}

clean_root()
{
	made "$1" "$1" --variant=apt --customize-hook="$download" \
		--include=linux-headers-cloud-amd64,linux-image-cloud-amd64 \
		--include=iproute2,nftables,python3-minimal &&
	rm -rf --one-file-system "$root" &&
	cp -a "$roots/$1" "$root"
}

# DKMS signs what it builds where there is openssl
installs()
{
	cp build/deb/*.deb "$root/tmp" &&
	in_root sh -c 'apt-get -y --no-install-recommends install openssl \
		/tmp/iptables-halfrst_*.deb /tmp/xt-halfrst-dkms_*.deb'
}

# module_of RELEASE NAME: where DKMS puts it, compressed or not
module_of()
{
	echo "$root/lib/modules/$1/updates/dkms/$2.ko"*
}

# built_for RELEASE: for that very one, and signed with this machine's key
built_for()
{
	local module vermagic

	in_root dkms status xt-halfrst | tee /dev/stderr |
		grep -q "^xt-halfrst/[^,]*, $1, x86_64: installed" &&
	for module in xt_HALFRST nf_conntrack_halfrst; do
		module=$(module_of "$1" "$module") &&
		vermagic=$(modinfo -F vermagic "$module") &&
		[ "${vermagic%% *}" = "$1" ] &&
		modinfo -F signer "$module" | grep . || return
	done &&
	in_root modprobe -S "$1" -nv ipt_HALFRST |
		grep updates/dkms/xt_HALFRST &&
	in_root modprobe -S "$1" -nv nfct-helper-halfrst-1m |
		grep updates/dkms/nf_conntrack_halfrst
}

# The module's sources and what builds them, and nothing else
ships_sources_only()
{
	(cd kmod && ls Kbuild ./*.[ch] && echo dkms.conf) |
		sed 's,^\./,,' | sort >"$tmp/want" &&
	(cd "$root"/usr/src/xt-halfrst-* && find . -type f) |
		sed 's,^\./,,' | sort | diff "$tmp/want" -
}

# The guest's own lines count as this test's. Its kernel is the release's, the
# modules for the way to its disk are copied from there, and deb.guest.sh as
# the first process makes the disk its root.
guest()
{
	local kernel=$root.kernel release=$1 rc=0 lines line

	rm -rf "$kernel" "$root.tar"
	mkdir -p "$kernel/modules"
	(cd "$root/usr/lib/modules/$release" && find kernel/drivers/virtio \
		kernel/drivers/block/virtio_blk* modules.builtin* modules.order |
		cpio --quiet -pd "$kernel/modules")
	cp "$root/boot/vmlinuz-$release" "$kernel/vmlinuz"
	echo "$release" >"$kernel/release"
	echo rdinit=/halfrst/tests/here/deb.guest.sh >"$kernel/append"
	tar -cf "$root.tar" -C "$root" --exclude=./usr/src --exclude=./boot \
		--exclude='./usr/lib*/gcc*' --exclude='*-lto-dump-*' \
		--exclude=./usr/include --exclude=./usr/lib/udev \
		--exclude='./usr/share/[dlm]*' --exclude=./var/cache \
		--exclude=./var/lib/apt --exclude='*.a' --exclude=./dev .
	truncate -s %1M "$root.tar"	# a disk has whole sectors
	scripts/lab run "$row" "${fresh[@]}" --limit 900 --mem 2048 \
		--kernel "$kernel" --qemu "\
-drive file=$root.tar,format=raw,if=none,id=root,readonly=on \
-device virtio-blk-pci,drive=root,serial=root,romfile=" -- ../here/deb.guest.sh \
		>"$tmp/guest" 2>&1 || rc=$?
	rm -f "$root.tar"
	readarray -t lines < <(grep -E '^(not )?ok ' "$tmp/guest")
	for line in "${lines[@]}"; do
		case $line in
		ok*) result ok "$suite: ${line#* - }" ;;
		*) result failed "$suite: ${line#* - }"; rc=1 ;;
		esac
	done
	[ $rc -eq 0 ] || sed 's/^/# /' "$tmp/guest"
	# it ended with its plan, and that is what was seen
	if [ $rc -gt 1 ] ||
	   [ "$(tail -n 1 "$tmp/guest")" != "1..${#lines[@]}" ]; then
		result failed "$suite: the guest came to its end"
	fi
}

second_kernel()
{
	apt install "linux-image-$1" "linux-headers-$1"
}

nothing_left()
{
	local status

	apt purge iptables-halfrst xt-halfrst-dkms &&
	status=$(in_root dkms status) && [ -z "$status" ] &&
	rm "$root"/tmp/*.deb &&
	find "$root" -xdev \( -path "$root/proc" -o -path "$root/var/log" \) \
		-prune -o -iname '*halfrst*' -print | tee "$tmp/left" &&
	[ ! -s "$tmp/left" ] &&
	! grep -r HALFRST "$root"/lib/modules/*/modules.* "$root/etc" &&
	! in_root dpkg-query -W iptables-halfrst xt-halfrst-dkms
}

[ "$row" = bookworm ] || skip "the releases are those of row bookworm's test"
[ "$(uname -m)" = x86_64 ] || skip "the packages are built for amd64 here"
if [ -n "${ROW:-}" ]; then
	fresh=(--no-build)
else
	scripts/lab build "$row"
fi
scripts/lab install mmdebstrap cpio kmod util-linux debian-archive-keyring

check 'make deb: both packages, and nothing that lintian warns of' packages ||
	skip=1
for suite in $suites; do
	[ -z "${skip:-}" ] || break
	root=$roots/$suite.run
	check "$suite: a clean system can be had" clean_root "$suite" || continue
	release=$(basename "$root"/lib/modules/*)
	second=$(cat "$root/second")
	check "$suite: apt installs them" installs || continue
	check "$suite: DKMS has built and signed the module for $release" \
		built_for "$release" || continue
	check "$suite: /usr/src has what that needs" ships_sources_only || :
	guest "$release"
	if check "$suite: a further kernel, $second, is installed" \
		second_kernel "$second"; then
		check "$suite: and DKMS has built the module for it" \
			built_for "$second" || :
	fi
	check "$suite: purged, nothing is left" nothing_left || :
	rm -rf --one-file-system "$root" "$root.kernel"
done
echo "1..$n"
[ $failed -eq 0 ]
