#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a release of its own
# slow: installs rpmbuild in a root of its own
#
# The RPM spec, with Debian's rpmbuild and rpmlint: what it builds has the same
# files as the Debian packages. Installed it has been nowhere. Runs on the host;
# prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
. tests/lib/debian.sh
root=$roots/rpm
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
lib=usr/lib/x86_64-linux-gnu

# Debian has neither Fedora's names of packages nor systemd's macros
builds()
{
	made rpm bookworm --variant=buildd \
		--include=rpm,rpmlint,libxtables-dev,pkgconf,cpio &&
	rm -rf "$root/src" "$root/root/rpmbuild" &&
	mkdir "$root/src" &&
	tar -c --exclude=./build --exclude=.git \
		--transform "s,^\.,iptables-halfrst-$version," . |
		gzip >"$root/src/iptables-halfrst-$version.tar.gz" &&
	in_root rpmbuild -ta --nodeps --define '_unitdir /lib/systemd/system' \
		--define "_libdir /$lib" "/src/iptables-halfrst-$version.tar.gz"
}

# files NAME: of a built package
files()
{
	(cd "$root"/root/rpmbuild/RPMS && rpm2cpio ./*/"$1"-*.rpm |
		cpio --quiet -t) | sed 's,^\.,,' | sort
}

extension()
{
	{
		printf '/usr/libexec/halfrst%s\n' '' /close-wait /firewalld \
			/metrics /pods /rules /sweep
		(cd xtables-ext/service && printf '/lib/systemd/system/%s\n' ./*.service ./*.timer)
		(cd xtables-ext/service && printf '/etc/halfrst/%s\n' ./rules.* ./pods.*)
		printf '%s\n' /etc/halfrst "/$lib/xtables/libxt_HALFRST.so" \
			/usr/share/man/man8/libxt_HALFRST.8 \
			/usr/share/man/man8/halfrst-status.8 /usr/sbin/halfrst-status
	} | sed 's,/\./,/,' | sort >"$tmp/want"
	files iptables-halfrst | sed 's,\.8\.gz$,.8,' |
		grep -v '^/usr/share/licenses\|build-id' |
		diff "$tmp/want" -
}

sources()
{
	{
		echo
		printf '/%s\n' Kbuild dkms.conf kmod kmod/Kbuild kmod/*.[ch]
	} | sed "s,^,/usr/src/xt-halfrst-$version," | sort >"$tmp/want"
	files xt-halfrst-dkms | grep -v '^/usr/share/licenses' |
		diff "$tmp/want" -
}

# Left out: what a distribution's builder adds (signature, packager, stripping,
# compressing, without which no manual page is found), what only old rpms want
# (group, buildroot), there is no home page, systemd's macros are empty on Debian,
# and C sources are what DKMS wants.
lint()
{
	in_root sh -c 'rpmlint /root/rpmbuild/RPMS/*/*.rpm /root/rpmbuild/SRPMS/*' \
		>"$tmp/lint" || :
	cat "$tmp/lint"
	grep -q '^ *3 packages' "$tmp/lint" &&
	! grep -E ': [EW]: ' "$tmp/lint" | grep -v -e no-signature \
		-e no-packager-tag -e unstripped -e manpage-not-compressed \
		-e no-manual-page-for-binary \
		-e no-group-tag -e no-buildroot-tag -e no-url-tag -e invalid-url \
		-e empty-% -e devel-file-in-non-devel -e no-documentation \
		-e 'invalid-license GPL-2.0-only'
}

[ "$(uname -m)" = x86_64 ] || skip_all 'the paths are those of amd64'
scripts/lab install mmdebstrap cpio rpm2cpio debian-archive-keyring
check 'rpmbuild builds the spec' builds
check 'the extension and the service are in it' extension
check "the modules' source is in it" sources
check 'rpmlint finds nothing' lint
echo "1..$n"
[ $failed -eq 0 ]
