#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has releases of its own
# slow: builds two releases with their packages, 12 minutes
#
# The Debian packages, from `make deb` to purge, on each release. The extension
# is for the iptables that it was built with: apt does not install it beside
# another. Runs on the host, boots a guest for each release; prints TAP.
#
# Below build/deb-roots: SUITE is a clean root file system with the release's
# kernel and headers, what the packages depend on and a second kernel
# downloaded; SUITE.run is the one that they are installed in.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
suites='bookworm trixie'
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
. tests/lib/debian.sh

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
	cp "build/deb.$suite"/*.deb "$root/tmp" &&
	in_root sh -c 'apt-get -y --no-install-recommends install openssl \
		/tmp/iptables-halfrst_*.deb /tmp/xt-halfrst-dkms_*.deb'
}

# What another release's iptables has built is not for this one's
refuses_others()
{
	local other=$1 rc=0

	cp "build/deb.$other"/iptables-halfrst_*.deb "$root/tmp/other.deb" &&
	apt install /tmp/other.deb >"$tmp/said" 2>&1 || rc=$?
	cat "$tmp/said"
	rm "$root/tmp/other.deb"
	[ $rc -ne 0 ] && grep 'iptables-halfrst : Depends: iptables (' "$tmp/said" &&
	! in_root dpkg-query -W iptables-halfrst
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
	printf '%s\n' Kbuild dkms.conf kmod/Kbuild kmod/*.[ch] | sort >"$tmp/want" &&
	(cd "$root"/usr/src/xt-halfrst-* && find . -type f) |
		sed 's,^\./,,' | sort | diff "$tmp/want" - &&
	cmp dkms.conf "$root"/usr/src/xt-halfrst-*/dkms.conf
}

# What a kernel's package runs for one that is too old, or has no front end's place
skips_unfit()
{
	local fit=$1 k dir rc=0

	for k in 4.4.0-old 4.13.0-old 6.1.0-bare; do
		dir=$root/lib/modules/$k/build
		mkdir -p "$dir/include"
		cp "$root/boot/config-$fit" "$dir/.config"
	done
	sed -i -E '/CONFIG_(NETFILTER_XTABLES|NF_CONNTRACK)=/d' "$dir/.config"
	for k in 4.4.0-old 4.13.0-old 6.1.0-bare; do
		in_root /etc/kernel/postinst.d/dkms "$k" || rc=1
		! in_root dkms status | grep -F "$k" || rc=1
		rm -r "$root/lib/modules/$k"
	done
	return "$rc"
}

# A kernel without xtables gets nft's module, with the core inside
builds_nft_alone()
{
	local bare=6.1.0-nft rc=0

	mkdir "$root/lib/modules/$bare" &&
	in_root cp -aL "/lib/modules/$1/build" "/lib/modules/$bare/build" &&
	(
		cd "$root/lib/modules/$bare/build" &&
		sed -i /CONFIG_NETFILTER_XTABLES=/d .config include/config/auto.conf &&
		sed -i '/CONFIG_NETFILTER_XTABLES/d' include/generated/autoconf.h
	) && in_root dkms install "xt-halfrst/$version" -k "$bare" &&
	in_root dkms status "xt-halfrst/$version" -k "$bare" | grep installed &&
	[ -e "$(module_of $bare nf_conntrack_halfrst)" ] &&
	[ ! -e "$(module_of $bare xt_HALFRST)" ] &&
	! modinfo -F depends "$(module_of $bare nf_conntrack_halfrst)" |
		grep -E 'x_tables|HALFRST' || rc=1
	in_root dkms remove "xt-halfrst/$version" -k "$bare" || rc=1
	rm -r "$root/lib/modules/$bare"
	return $rc
}

# A checkout as it is, without a package
# shellcheck disable=SC2016 # expanded in the root
bare_checkout()
{
	rm -rf "$root/root/halfrst" && mkdir "$root/root/halfrst" &&
	tar -c --exclude=./build --exclude=.git . |
		tar -x -C "$root/root/halfrst" &&
	in_root sh -euc 'cd /root/halfrst
		dkms add .
		dkms install "xt-halfrst/$1" -k "$2"' - "$version" "$1" &&
	built_for "$1" && in_root dkms remove "xt-halfrst/$version" --all &&
	rm -r "$root/root/halfrst" "$root/usr/src/xt-halfrst-$version"
}

# The guest's kernel is the release's, the
# modules for the way to its disk are copied from there, and deb.guest.sh as
# the first process makes the disk its root.
guest()
{
	local kernel=$root.kernel release=$1 rc=0

	rm -rf "$kernel" "$root.tar"
	mkdir -p "$kernel/modules"
	(cd "$root/usr/lib/modules/$release" && find kernel/drivers/virtio \
		kernel/drivers/block/virtio_blk* modules.builtin* modules.order |
		cpio --quiet -pd "$kernel/modules")
	cp "$root/boot/vmlinuz-$release" "$kernel/vmlinuz"
	echo "$release" >"$kernel/release"
	echo rdinit=/halfrst/tests/host/deb.guest.sh >"$kernel/append"
	tar -cf "$root.tar" -C "$root" --exclude=./usr/src --exclude=./boot \
		--exclude='./usr/lib*/gcc*' --exclude='*-lto-dump-*' \
		--exclude=./usr/include --exclude=./usr/lib/udev \
		--exclude='./usr/share/[dlm]*' --exclude=./var/cache \
		--exclude=./var/lib/apt --exclude='*.a' --exclude=./dev .
	scripts/lab run "$row" --no-build --limit 900 --mem 2048 \
		--kernel "$kernel" --disk "root=$root.tar" -- \
		../host/deb.guest.sh >"$tmp/guest" 2>&1 || rc=$?
	rm -f "$root.tar"
	counted $rc "$tmp/guest" "$suite: "
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

[ "$row" = bookworm ] || skip_all "the releases are those of row bookworm's test"
[ "$(uname -m)" = x86_64 ] || skip_all "the packages are built for amd64 here"
row_built
scripts/lab install mmdebstrap cpio kmod util-linux debian-archive-keyring

for suite in $suites; do
	need "$suite: make deb: both packages, and nothing that lintian warns of" \
		packages "$suite" . "build/deb.$suite" || break
done
for suite in $suites; do
	[ $failed -eq 0 ] || break
	root=$roots/$suite.run
	need "$suite: a clean system can be had" clean_root "$suite" || continue
	release=$(basename "$root"/lib/modules/*)
	second=$(cat "$root/second")
	for other in $suites; do
		[ "$other" = "$suite" ] ||
			check "$suite: apt refuses what was built on $other" \
				refuses_others "$other"
	done
	need "$suite: apt installs them" installs || continue
	need "$suite: DKMS has built and signed the module for $release" \
		built_for "$release" || continue
	check "$suite: /usr/src has what that needs" ships_sources_only
	guest "$release"
	if need "$suite: a further kernel, $second, is installed" \
		second_kernel "$second"; then
		check "$suite: and DKMS has built the module for it" \
			built_for "$second"
	fi
	check "$suite: DKMS leaves out kernels that are not fit, dpkg goes on" \
		skips_unfit "$release"
	check "$suite: DKMS builds for a kernel without xtables" \
		builds_nft_alone "$release"
	check "$suite: purged, nothing is left" nothing_left
	check "$suite: dkms add . in a checkout" bare_checkout "$release"
	rm -rf --one-file-system "$root" "$root.kernel"
done
echo "1..$n"
[ $failed -eq 0 ]
