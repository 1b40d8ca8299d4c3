#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# build.sh ROW SUITE      get and build a suite of other people's tests on the
#                         host, below build/peers/ROW; print the folder
#
# What runs in the guest is in SUITE/install there, what it is in SUITE/is.
# Status 121: the source cannot be had.
# Everything that is compiled is compiled beside the row's compiler, but Go's
# tests, which are static.
set -eu

[ $# -eq 2 ] || { sed -n '4,10s/^# //p' "$0" >&2; exit 2; }
row=$1 suite=$2
top=$(cd "$(dirname "$0")/../../.." && pwd)
cd "$top"
of=$suite
case $suite in
tls|mptcp)	of=selftests ;;
esac
here=$top/build/peers/$row/$of
release=$(scripts/lab rows | awk -v row="$row" '$1 == row { print $3 }')
# user space is that of the release that backports are for
release=${release%-backports}
mkdir -p "$here"
exec 9>"$here/lock"
flock 9

# beside DIR COMMAND...: in the row's chroot, DIR is /mnt
beside()
{
	scripts/lab chroot "$row" "$@"
}

# built KEY COMMAND: COMMAND fills $here/install unless it did so for KEY
built()
{
	local key

	key="$1, $(declare -f "$2" configured | sha256sum)"
	[ "$key" = "$(cat "$here/built" 2>/dev/null)" ] && return
	rm -rf "$here/built" "$here/install" "$here/src" "$here/out"
	mkdir "$here/install"
	if ! "$2" >"$here/log" 2>&1 </dev/null; then
		tail -n 30 "$here/log" >&2
		echo "$suite does not build, see $here/log" >&2
		exit 1
	fi
	echo "$key" >"$here/built"
}

# The newest tests: they are meant to run on older kernels, too. (Debian's
# 6.1 has a tls.c from which half a backport is missing.) That of 6.12 lacks a
# part as well: one call has an argument more than the function.
selftests()
{
	local tests=tools/testing/selftests f

	mkdir -p "$here/out/ssl" "$here/install/mptcp" &&
	cp -R /usr/include/openssl "$here/out/ssl" &&
	cp "/usr/include/$(gcc -print-multiarch)"/openssl/* \
		"$here/out/ssl/openssl" &&
	cat >"$here/out/build" <<-'END'
	set -e
	out=/mnt/peers/$1/selftests
	guest=/mnt/lab/$1/root/usr/lib/x86_64-linux-gnu
	cd /mnt/kernel/linux-source-6.12
	make -s headers O=$out/out
	cd tools/testing/selftests/net
	flags="-isystem $out/out/usr/include -idirafter $out/out/ssl -L$guest"
	extra='-Dtls_crypto_info_init\(a,b,c,...\)=tls_crypto_info_init\(a,b,c\)'
	for t in tls tcp_mmap tcp_inq msg_zerocopy bind_bhash bind_timewait \
		bind_wildcard reuseport_bpf reuseport_bpf_cpu \
		reuseport_dualstack reuseport_addr_any reuseaddr_conflict \
		reuseaddr_ports_exhausted so_incoming_cpu so_netns_cookie \
		so_txtime sk_bind_sendto_listen sk_connect_zero_addr \
		sk_so_peek_off tcp_fastopen_backup_key \
		mptcp/mptcp_connect mptcp/mptcp_sockopt mptcp/mptcp_inq \
		mptcp/pm_nl_ctl
	do
		libs= more=
		case $t in
		tls)		more=$extra ;;
		tcp_mmap)	libs='-l:libcrypto.so.3' ;;
		esac
		case $t in
		mptcp/*)	dir=mptcp to=$out/install/mptcp ;;
		*)		dir=. to=$out/install ;;
		esac
		make -s -C $dir CC=gcc OUTPUT=$to KHDR_INCLUDES="$flags $more" \
			LDLIBS="$libs -lpthread" $to/${t#mptcp/}
	done
	END
	beside build sh /mnt/peers/"$row"/selftests/out/build "$row" || return
	for f in lib.sh net_helper.sh in_netns.sh msg_zerocopy.sh bind_bhash.sh \
		reuseport_addr_any.sh reuseaddr_ports_exhausted.sh so_txtime.sh \
		tcp_fastopen_backup_key.sh mptcp/mptcp_lib.sh \
		mptcp/mptcp_connect.sh mptcp/mptcp_sockopt.sh; do
		cp "$source/$tests/net/$f" "$here/install/$f" || return
	done
	# Of four hosts that connect to all of them one: it takes a quarter of
	# half an hour
	# shellcheck disable=SC2016 # the script's variable
	sed -i 's/^\(for sender in \$ns1\) \$ns2.*/\1; do/' \
		"$here/install/mptcp/mptcp_connect.sh" &&
	grep -qx 'for sender in .ns1; do' "$here/install/mptcp/mptcp_connect.sh"
}

go_tests()
{
	local root package

	root=$(go env GOROOT) || return
	for package in net net/http net/http/httputil net/http/httptest \
		net/rpc net/rpc/jsonrpc net/smtp net/textproto crypto/tls; do
		(cd "$root/src/$package" && CGO_ENABLED=0 \
			GOCACHE=$here/out GOFLAGS=-trimpath nice go test -c \
			-o "$here/install/${package//\//_}.test" .) || return
	done
	# what they read
	mkdir "$here/install/src" &&
	(cd "$root/src/" && find -L net crypto/tls testdata \
		-type f 2>/dev/null | cpio --quiet -pLd "$here/install/src")
}

# autotools' part on the host: the chroot has none
configured()
{
	cp -a "$source" "$here/src" &&
	(cd "$here/src" && autoreconf -fi)
}

libevent()
{
	configured || return
	# shellcheck disable=SC2016 # expanded in the chroot
	beside "$here/src" sh -ec 'cd /mnt && ./configure --disable-openssl \
		--disable-shared --disable-samples --disable-debug-mode &&
		make include/event2/event-config.h && make -j"$(nproc)" \
		test/regress' &&
	cp "$here/src/test/regress" "$here/install"
}

libuv()
{
	(cp -a "$source" "$here/src" && cd "$here/src" && sh autogen.sh) || return
	# shellcheck disable=SC2016 # expanded in the chroot
	beside "$here/src" sh -ec 'cd /mnt && ./configure --disable-shared &&
		make -j"$(nproc)" test/run-tests' &&
	cp "$here/src/test/run-tests" "$here/install" &&
	cp -R "$here/src/test/fixtures" "$here/install/" &&
	mkdir "$here/install/test" &&
	cp -R "$here/src/test/fixtures" "$here/install/test"
}

node()
{
	mkdir -p "$here/install/fixtures" &&
	cp -R "$source"/test/{common,parallel} "$here/install" &&
	cp -R "$source"/test/fixtures/keys "$source"/test/fixtures/*.{txt,js} \
		"$here/install/fixtures" &&
	find "$here/install/parallel" -type f ! -name 'test-net-*' -delete
}

nothing()
{
	:
}

# sourced PACKAGE: sets source, and version without Debian's part of it. A mirror
# may lack what its index names.
sourced()
{
	source=$(scripts/lib/fetch-source "$release" "$1") || exit 121
	version=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$source/debian/changelog")
	version=${version%-*}
}

case $suite in
selftests|tls|mptcp)
	scripts/lab install gcc libssl-dev
	source=$(scripts/kernel --source 6.12)
	is="Linux $(sed -n 's/^VERSION = //p' "$source/Makefile").$(
		sed -n 's/^PATCHLEVEL = //p' "$source/Makefile").$(
		sed -n 's/^SUBLEVEL = //p' "$source/Makefile")"
	built "$is" selftests
	case $suite in
	selftests)	is="kernel selftests of $is" ;;
	*)		is="kernel selftests of $is: $suite" ;;
	esac
	;;
go)
	scripts/lab install golang-go golang-src cpio
	is=$(go env GOVERSION)
	built "$is" go_tests
	is="Go ${is#go}"
	;;
libevent)
	scripts/lab install autoconf automake libtool
	sourced libevent
	built "$version" libevent
	is="libevent $version"
	;;
libuv)
	scripts/lab install autoconf automake libtool
	sourced libuv1
	built "$version" libuv
	is="libuv $version"
	;;
node)
	sourced nodejs
	built "$version" node
	is="Node ${version%%+*}"
	;;
late)
	mkdir -p "$here/install"
	echo hello >"$here/install/hello"
	is='a stopped socat and nc'
	;;
python|python_short)
	# it comes with the guest
	is=$(basename "$(readlink "build/lab/$row/root/usr/bin/python3")")
	built "$is" nothing
	is="Python ${is#python}"
	;;
*)	echo "no suite $suite" >&2; exit 2 ;;
esac
echo "$is" >"$here/is"
echo "$here"
