# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Whole Debian systems in folders, with their packages' scripts run, for tests
# of HALFRST's own packages. To be sourced from the top of the repository; wants
# a folder $tmp, and $root, the system that is meant.
#
# Below build/deb-roots: build-SUITE has the source's Build-Depends; the others are
# what their makers say.

roots=$PWD/build/deb-roots

# The mounts and processes end with the namespaces they are in. An initramfs
# for a kernel would take longer than everything else.
in_root()
{
	# shellcheck disable=SC2016,SC2154 # expanded by the inner shell; sourcer's
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

# packages SUITE SOURCE OUT: in a build root, as Debian's builders do it:
# Build-Depends are complete
packages()
{
	local suite=$1 root=$roots/build-$1

	shift
	# shellcheck disable=SC2016 # expanded by mmdebstrap's shell
	made "build-$suite" "$suite" --variant=buildd --include=lintian \
		--customize-hook="tar -c debian | tar -x -C \"\$1/tmp\"" \
		--customize-hook='chroot "$1" apt-get -y \
			--no-install-recommends build-dep /tmp' \
		--customize-hook=": $(sha256sum debian/control)" || return
	rm -rf "$root/src" "$2"
	mkdir -p "$root/src" "$2" &&
	tar -c -C "$1" --exclude=./build --exclude=.git . |
		tar -x -C "$root/src" &&
	in_root make -C /src deb &&
	cp "$root"/src/build/deb/* "$2"
}
