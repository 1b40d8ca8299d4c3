#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# In the guest of deb.sh, which gives it a Debian system with the packages
# installed as a disk. As the kernel's first process: make that system the
# root, of the kernel's own modprobe, too. After that: an iptables command is
# all that a connection needs to be reset, or a ruleset for nft. Prints TAP.
set -eu

if [ $$ = 1 ]; then
	. "$(dirname "$0")/../lib/disk.sh"
	first_process
	disk=$(disk root)
	mount -t tmpfs -o size=90%,mode=755 system /system
	tar -xf "$disk" -C /system
	mkdir -p /system/{dev,out}
	cp -R /init /halfrst /system
	exec switch_root /system /init
fi

tmp=$(mktemp -d)
. "$(dirname "$0")/../lib/tap.sh"

loaded()
{
	[ -e /sys/module/xt_HALFRST ]
}

# The rule loads the module by its alias
autoloads()
{
	! loaded && "$1" -t mangle -A INPUT -p tcp --tcp-flags FIN FIN \
		-j HALFRST && loaded &&
	[ "$("$1" -t mangle -S INPUT | tail -n 1)" = \
		"-A INPUT -p tcp -m tcp --tcp-flags FIN FIN -j HALFRST --reset-with econnreset" ]
}

# The server closes, the client does nothing
resets()
{
	"$(dirname "$0")/../lib/one_reset.py" "$1" 8080 ECONNRESET
}

goes()
{
	"$1" -t mangle -F INPUT && modprobe -r xt_HALFRST && ! loaded
}

nft_autoloads()
{
	! loaded && nft -f - <<-'END' && loaded
	table inet halfrst {
		ct helper idle { type "halfrst" protocol tcp; }
		chain output {
			type filter hook output priority 0;
			tcp dport 8080 ct helper set "idle"
		}
	}
	END
}

nft_goes()
{
	nft flush ruleset && modprobe -r nf_conntrack_halfrst && ! loaded
}

# The alternatives that iptables' package has set, and the other front end
for cmd in iptables ip6tables iptables-legacy ip6tables-legacy; do
	case $cmd in
	ip6*) address=::1 ;;
	*) address=127.0.0.1 ;;
	esac
	check "$cmd ($("$cmd" -V)) loads the module" autoloads "$cmd"
	check "$cmd: half-closed by $address, reset" resets "$address"
	check "$cmd: no rule, no module" goes "$cmd"
done
check "$(nft -v) loads the module" nft_autoloads
check "nft: half-closed by ::1, reset" resets ::1
check "nft: no ruleset, no module" nft_goes
echo "1..$n"
[ $failed -eq 0 ]
