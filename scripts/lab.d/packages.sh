# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian's packages: what a guest, a compiler and a kernel are made of. To be
# sourced by lab.
# shellcheck disable=SC2034,SC2154,SC2317 # shared with lab; "made" calls by name

base_set='base-files base-passwd bash bsdutils conntrack coreutils dash
diffutils ethtool findutils grep hostname ipset iproute2 iptables iputils-ping kmod
libc-bin libcmocka0 libcap2-bin mawk mount netbase netcat-openbsd nftables nginx procps python3 sed
socat strace tar tcpdump util-linux'

# Named sets for --root: name: packages
named_sets='
demo: openssl
tls: gnutls-bin openssl
field: dovecot-imapd openssl python3-h2 rsyslog rsyslog-openssl
node: nodejs
web: curl ca-certificates
trace: bpftrace
bench: bpftool
clients-web: haproxy lighttpd nodejs openssl php-cli php-curl python3-aiohttp python3-h2 python3-httpx python3-pycurl python3-urllib3 ruby
clients-data: libmemcached11 mariadb-server-core memcached openssl postgresql python3-mysqldb python3-psycopg2 python3-pylibmc python3-pymemcache python3-pymysql python3-redis redis-server rsyslog
clients-jvm: default-jdk-headless haproxy libhttpclient-java libokhttp-java lighttpd openssl
python3.11: libpython3.11-testsuite openssl
python3.13: libpython3.13-testsuite openssl
'

cmd_install()
{
	local p missing=()

	for p; do
		# shellcheck disable=SC2016 # dpkg-query's own variable
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null |
			grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null; then
		say "no apt here; please install: ${missing[*]}"
		exit 2
	fi
	as_root install "${missing[@]}"
	say "installing ${missing[*]}"
	mkdir -p "$lab/log"
	# one at a time: apt-get update does not wait for another's lock
	(
		flock 7
		quietly "$lab/log/install.log" sh -c 'apt-get update && exec \
			apt-get -o DPkg::Lock::Timeout=600 install -y \
			--no-install-recommends "$@"' - "${missing[@]}"
	) 7>"$lab/install.lock" ||
		die 121 "could not install: ${missing[*]}"
}

tools()
{
	local p=(mmdebstrap cpio kmod util-linux xz-utils zstd)

	case $arch in
	amd64) p+=(qemu-system-x86 seabios) ;;
	arm64) p+=(qemu-system-arm) ;;
	esac
	cmd_install "${p[@]}"
}

set_packages()
{
	local name packages

	while IFS=: read -r name packages; do
		[ "$name" = "$1" ] || continue
		echo "$packages"
		return
	done <<< "$named_sets"
	usage "no package set \"$1\""
}

# What building needs; perl and python run the kernel's check of comments.
build_packages()
{
	local foreign=''

	echo base-files bash bc coreutils cpio dash debianutils diffutils \
		findutils grep gzip libc-bin mawk sed tar util-linux xz-utils
	echo gcc make libc6-dev perl pkg-config python3
	if [ "$arch" != amd64 ]; then
		foreign=:$arch
		echo gcc-aarch64-linux-gnu "libc6-dev$foreign"
		# what the tools of its headers link to, and run
		echo libelf-dev libssl-dev pahole
	fi
	[ -n "$foreign" ] || echo "linux-headers-$flavour"
	echo "libxtables-dev$foreign" "libcmocka-dev$foreign"
}

# The place a suite comes from, out of this machine's own apt set-up.
site_of()
{
	local label=Debian

	case $1 in *-security) label=Debian-Security ;; esac
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(SITE)|$(ORIGIN)|$(LABEL)' \
		'Created-By: Packages' |
		awk -F'|' -v l="$label" '$2 == "Debian" && $3 == l { print $1; exit }'
}

# deb lines for suites; a security suite that is not offered is left out
sources()
{
	local suite site probe

	probe=$(mktemp)
	for suite; do
		site=$(site_of "$suite")
		if [ -n "$site" ] && /usr/lib/apt/apt-helper download-file \
			"$site/dists/$suite/InRelease" "$probe" >/dev/null 2>&1; then
			echo "deb $site $suite main"
		elif [ "${suite%-security}" = "$suite" ]; then
			rm -f "$probe"
			say "${row:+$row: }$suite is not offered here"
			return 1
		fi
	done
	rm -f "$probe"
}

# made DIR RECIPE COMMAND...: COMMAND makes DIR.tmp unless DIR was made by the
# same RECIPE already. A directory under its final name is a finished one.
made()
{
	local dir=$1 recipe=$2

	shift 2
	[ -d "$dir" ] && [ "$(cat "$dir.recipe" 2>/dev/null)" = "$recipe" ] &&
		return
	rm -rf --one-file-system "$dir" "$dir.tmp" "$dir.recipe"
	"$@" "$dir.tmp" || return
	mv "$dir.tmp" "$dir"
	echo "$recipe" >"$dir.recipe"
}

commas()
{
	trim "$@" | tr ' ' ','
}

# debian DIR ARCHITECTURES PACKAGES [HOOK]: these and what they depend on, unpacked
debian()
{
	local dir=$1 hooks=() line deb from

	# Before trixie nothing in a package makes the links of a merged /usr; the
	# others maintainer scripts would have made.
	# shellcheck disable=SC2016 # expanded by mmdebstrap's shell
	hooks+=(--setup-hook='cd "$1"; for d in bin sbin lib lib64; do
		mkdir -p "usr/$d"; [ -e "$d" ] || ln -s "usr/$d" "$d"; done
		ln -s mawk usr/bin/awk; ln -s dash usr/bin/sh')
	# Backports are never chosen by themselves.
	line="Package: linux-*:any\nPin: release n=*-backports\nPin-Priority: 990"
	hooks+=(--setup-hook="mkdir -p \"\$1/etc/apt/preferences.d\"
		printf '$line\\n' >\"\$1/etc/apt/preferences.d/kernel\"")
	[ -z "${4:-}" ] || hooks+=(--extract-hook="$4")
	# A mirror may lack some of a security suite's packages for a while. What
	# mmdebstrap mounts goes with it, if it is killed, too.
	for from in "$suites ${suites%% *}-security" "$suites"; do
		rm -rf --one-file-system "$dir"
		# shellcheck disable=SC2086 # suites are words
		deb=$(sources $from) || return
		readarray -t deb <<< "$deb"
		quietly "$lab/log/$row.${dir##*/}.log" unshare -m mmdebstrap \
			--variant=extract --architectures="$2" \
			--include="$(commas "$3")" --format=directory \
			"${hooks[@]}" "${suites%% *}" "$dir" "${deb[@]}" &&
			return
		say "$row: failed with the suites $from"
	done
	# for whoever reads only the last line: apt's first complaint
	why=$(sed -n '/^E: /{s///;s,[a-z]*://[^ ]*/dists/,,;s/\. .*//;p;q}' \
		"$lab/log/$row.${dir##*/}.log")
	return 1
}

# What maintainer scripts would have done, were they run
finish_root()
{
	local r=$1/etc f

	{
		cat "$1/usr/share/base-passwd/passwd.master"
		echo 'alice:x:10400:10400::/tmp:/bin/sh'
		echo 'bob:x:10401:10401::/tmp:/bin/sh'
	} | sed 's/:\*:/:x:/' >"$r/passwd"
	{
		cat "$1/usr/share/base-passwd/group.master"
		echo 'alice:x:10400:'
		echo 'bob:x:10401:'
	} | sed 's/:\*:/:x:/' >"$r/group"
	printf '127.0.0.1 localhost halfrst\n::1 localhost\n' >"$r/hosts"
	printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' \
		'protocols: files' 'services: files' >"$r/nsswitch.conf"
	echo halfrst >"$r/hostname"
	for f in iptables ip6tables; do
		ln -sf "$f-nft" "$1/usr/sbin/$f"
		ln -sf "$f-nft-save" "$1/usr/sbin/$f-save"
		ln -sf "$f-nft-restore" "$1/usr/sbin/$f-restore"
	done
	ln -sf nc.openbsd "$1/usr/bin/nc"
	mkdir -p "$1"/{proc,sys,dev,run,tmp,out,root,halfrst,var/log/nginx} \
		"$1/var/lib/nginx"
	rm -rf "${1:?}"/var/{lib/apt,lib/dpkg,cache}
	mkdir -p "$1/var/cache"
	if [ -d "$1/etc/ssl/certs" ]; then
		cat "$1"/usr/share/ca-certificates/mozilla/*.crt \
			>"$1/etc/ssl/certs/ca-certificates.crt" 2>/dev/null || :
	fi
}

# root_archive DIR FILE [LESS...]: an archive of a directory, less what a guest
# never opens, and these names. Python's own tests are there if somebody asked
# for them.
root_archive()
{
	local less=() name

	ls "$1"/usr/lib/python3*/test/test_socket.py >/dev/null 2>&1 ||
		less=(-o -path './usr/lib/python3*/test')
	for name in "${@:3}"; do
		less+=(-o -name "$name")
	done
	(cd "$1" && find . \( -path ./usr/share/doc -o -path ./usr/share/man \
		-o -path ./usr/share/info -o -path ./usr/share/locale \
		-o -path ./usr/share/i18n -o -path ./usr/share/zoneinfo \
		-o -path ./usr/share/lintian -o -path ./usr/share/perl \
		-o -path ./usr/share/bash-completion -o -path ./usr/include \
		-o -path './usr/lib/*/gconv' -o -path './usr/lib/*/perl*' \
		-o -path './usr/lib/udev/hwdb.d' -o -path './dev/*' -o -path './proc/*' \
		-o -path './sys/*' -o -name __pycache__ -o -path './usr/bin/perl*' \
		"${less[@]}" \) -prune -o -print0 |
		cpio --quiet -0 -o -H newc) >"$2.tmp"
	mv "$2.tmp" "$2"
}

make_root()
{
	say "$row: unpacking the guest's packages"
	debian "$2" "$arch" "$1" || return
	finish_root "$2"
	root_archive "$2" "${2%.tmp}.cpio"
}

# What programs in C want of it, which is half
lean_archive()
{
	[ "$here/lean.cpio" -nt "$here/root.cpio" ] ||
		root_archive "$here/root" "$here/lean.cpio" 'python3*' \
			'libpython*' '*perl*' 'libsqlite3*' 'libdb-*' 'dpkg*' \
			'vim*' 'libicu*' 'libX11*' locale localedef nginx share strace tcpdump
}

make_chroot()
{
	local packages=$1 foreign='' archs=amd64 hook

	say "$row: unpacking compiler and kernel"
	[ "$arch" = amd64 ] || archs=amd64,$arch foreign=:$arch
	# The kernel that belongs to the headers, without what would install
	# it; from 7.x on it is split over several packages. Another
	# architecture's headers depend on a compiler that runs there: they and
	# their tools are unpacked without it. And what maintainer scripts would
	# have done, were they run.
	# shellcheck disable=SC2016 # expanded by mmdebstrap's shell
	hook='set -eu
		root=$1 flavour='$flavour' foreign='$foreign'
		export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
		field() {
			apt-cache --no-all-versions show "$1" |
				grep "^Depends" | grep -oE "$2" | head -n 1
		}
		mkdir -p "$root/kernel" "$root/tmp/deb"
		cd "$root/tmp/deb" && chmod 777 .
		if [ -n "$foreign" ]; then
			headers=$(field "linux-headers-$flavour$foreign" \
				"linux-headers-[0-9][^ ,]*")
			apt-get download "$headers$foreign" \
				$(field "$headers$foreign" "linux-headers-[^ ,]*-common") \
				$(field "$headers$foreign" "linux-kbuild-[^ ,]*")
			for p in *.deb; do
				dpkg-deb --fsys-tarfile "$p" |
					tar -xf - -C "$root" --keep-directory-symlink
			done
			rm ./*.deb
		fi
		rel=$(basename "$root"/lib/modules/*)
		for p in image binary modules base; do
			! apt-cache show "linux-$p-$rel$foreign" >/dev/null 2>&1 ||
				apt-get download "linux-$p-$rel$foreign"
		done
		# most of a kernel is drivers of what no guest has
		for p in *.deb; do
			dpkg-deb --fsys-tarfile "$p" | tar -xf - -C "$root/kernel" \
				--exclude="*/kernel/sound" \
				--exclude="*/drivers/[!bcinv]*" \
				--exclude="*/drivers/net/[ew]*"
		done
		echo "$rel" >"$root/kernel/release"
		cd "$root" && rm -r tmp/deb && mkdir -p mnt
		ln -sf gcc usr/bin/cc
		cd usr/share && rm -rf doc info locale man'
	debian "$2" "$archs" "$packages" "$hook"
}

# The modules a network test can want, out of a whole tree
make_modules()
{
	local k=$here/chroot/kernel rel from list f

	rel=$(cat "$k/release")
	from=$k/lib/modules/$rel
	[ -d "$from" ] || from=$k/usr/lib/modules/$rel
	rm -f "$here/vmlinuz"
	mkdir -p "$1"
	list=$(cd "$from" && find kernel/net kernel/lib kernel/crypto \
		kernel/arch/*/crypto kernel/arch/*/lib kernel/drivers/virtio \
		kernel/drivers/block/virtio_blk* kernel/fs/overlayfs \
		kernel/drivers/char/virtio_console* \
		kernel/drivers/net/{tun,veth,dummy,ifb,macvlan,vxlan,nlmon}* \
		kernel/drivers/net/{virtio_net,net_failover,netdevsim,bonding,vrf}* \
		kernel/drivers/nvme/common kernel/fs/configfs \
		kernel/drivers/infiniband/core/ib_core.ko* \
		kernel/drivers/nvme/host/nvme-{core,fabrics,tcp}* \
		kernel/drivers/nvme/target/nvmet{,-tcp}.ko* \
		-name '*.ko*' 2>/dev/null |
		grep -vE '/(bluetooth|mac80211|wireless|nfc|6lowpan|ceph|rxrpc|sunrpc|9p|batman-adv|can|ieee802154|mac802154|tipc)/')
	(cd "$from" && echo "$list" | cpio --quiet -pd "$1") || return
	for f in builtin builtin.modinfo order; do
		[ ! -f "$from/modules.$f" ] || cp "$from/modules.$f" "$1"
	done
	find "$1" -name '*.ko.xz' -exec unxz {} +
	find "$1" -name '*.ko.zst' -exec unzstd -q --rm {} +
	for f in "$k/boot/vmlinuz-$rel" "$from/vmlinuz"; do
		[ ! -f "$f" ] || cp "$f" "$here/vmlinuz"
	done
	[ -f "$here/vmlinuz" ] || return
	echo "$rel" >"$here/release"
}
