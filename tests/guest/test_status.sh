#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# lab: --icount
#
# halfrst-status: each reason why nothing is reset, made here, is on its page. Runs
# as root in a guest of the lab; prints TAP.
set -eu

tmp=$(mktemp -d /tmp/status.XXXXXX)
chmod 755 "$tmp"
. ../lib/tap.sh
status=../../service/halfrst-status
rule=(-p tcp --dport 8080 -j HALFRST --grace 10m)
ip link set lo up

# page STATUS-OPTION WORDS...: its lines have each of these, in this order
page()
{
	local words

	"$status" ${1:+"$1"} >"$tmp/page" 2>&1 || { cat "$tmp/page"; return 1; }
	cat "$tmp/page"
	shift
	for words; do
		# hints go over several lines
		tr -s ' \n' ' ' <"$tmp/page" | grep -qF -e "$words" ||
			{ echo "no: $words"; return 1; }
	done
}

lacks()
{
	! grep -F -e "$1" "$tmp/page"
}

# Two sockets in CLOSE_WAIT for each cause; ends with its stdin
cat >"$tmp/sockets.py" <<'END'
import socket, sys

kept = []
def listener(address):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    s.bind((address, 8080))
    s.listen(100)
    kept.append(s)
    return s

mine, nobodys = listener("127.0.0.1"), listener("127.0.0.2")
for cause in sys.argv[1:]:
    for _ in range(2):
        c = socket.socket()
        if cause == "unsent":
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect((nobodys if cause == "unaccepted" else mine).getsockname())
        s = cause != "unaccepted" and mine.accept()[0]
        if cause == "unsent":
            s.setblocking(False)
            s.send(b"a" * 500000)
        c.send(b"r" * {"unread": 100, "more": 5000}.get(cause, 0))
        c.shutdown(socket.SHUT_WR)
        kept.extend([c, s])
print("ready", flush=True)
sys.stdin.read()
END

# sockets CAUSE...: there are these now, and no others
sockets()
{
	exec 7>&-
	[ -z "${owner:-}" ] || wait "$owner"
	rm -f "$tmp/hold" "$tmp/said"
	mkfifo "$tmp/hold"
	python3 "$tmp/sockets.py" "$@" <"$tmp/hold" >"$tmp/said" &
	owner=$!
	exec 7>"$tmp/hold"
	until_true grep -q ready "$tmp/said" &&
	until_true some $(($# * 2))
}

some()
{
	[ "$(ss -Htn state close-wait | wc -l)" = "$1" ]
}

# With a rule: what was there before it, and what came behind it
before_the_rule()
{
	sockets read unread && iptables -t mangle -A INPUT "${rule[@]}" &&
	page '' '2 up to 4 KiB unread' '2 all read' \
		'No packet has come to any of them' \
		'4 at least are not watched: their FIN came before the rule'
}

causes()
{
	sockets read unread more unsent unaccepted &&
	page '' 'fins 10' 'watching 10' 'in CLOSE_WAIT: 10, of which 10' \
		'2 all read: reset at once, with a grace when it is over' \
		'2 up to 4 KiB unread' '2 more unread' \
		'2 bytes on their way' '2 nobody has accepted' \
		'8 python3, uid 0, port 8080 here' &&
	lacks 'at least are not watched' && lacks 'No packet has come' &&
	iptables -t mangle -F INPUT
}

behind_an_accept()
{
	local c=$1

	modprobe -qa "ip_tables" iptable_filter || :
	$c -A INPUT -i lo -j ACCEPT && $c -A INPUT "${rule[@]}" &&
	page '' "$c filter 0 INPUT -p tcp -m tcp --dport 8080 -j HALFRST" \
		'behind: filter INPUT -i lo -j ACCEPT' \
		'The place for HALFRST is the table mangle.' &&
	$c -F INPUT
}

# A chain of the firewall's that accepts, as ufw's
behind_a_chain()
{
	iptables -N before && iptables -A before -p tcp -j ACCEPT &&
	iptables -A INPUT -p udp -j ACCEPT && iptables -A INPUT -j before &&
	iptables -N ours && iptables -A INPUT -j ours &&
	iptables -A ours "${rule[@]}" &&
	page '' 'behind: filter INPUT -j before' &&
	iptables -D INPUT -j before && page '' && lacks 'behind:' &&
	iptables -F && iptables -X
}

# A chain that no rule names
leads_nowhere()
{
	iptables -t mangle -N lost && iptables -t mangle -A lost "${rule[@]}" &&
	page '' '-> nothing leads to the chain lost' &&
	iptables -t mangle -A INPUT -j lost && page '' && lacks 'to the chain lost' &&
	iptables -t mangle -F && iptables -t mangle -X
}

# says COMMAND WORDS: the page does, where COMMAND prints $answer
says()
{
	mkdir -p "$tmp/bin"
	printf '#!/bin/sh\necho %s\n' "${answer:-}" >"$tmp/bin/$1"
	chmod +x "$tmp/bin/$1"
	PATH=$tmp/bin:$PATH page '' "$2"
	set -- "$1" $?
	rm "$tmp/bin/$1"
	return "$2"
}

other_owner()
{
	iptables -t mangle -A INPUT -p tcp -j HALFRST --uid-owner 4321 &&
	sockets read && page '' 'other_owner 2' 'other_owner: sockets of another user' &&
	iptables -t mangle -F INPUT
}

dry_run()
{
	iptables -t mangle -A INPUT -p tcp -j HALFRST --dry-run &&
	sockets read && page '' 'dry_run 2' 'dry_run: counted, and not reset' &&
	iptables -t mangle -F INPUT
}

full()
{
	local max=/sys/module/xt_HALFRST/parameters/max_watches

	iptables -t mangle -A INPUT "${rule[@]}" && echo 1 >$max &&
	sockets unread read && page '' 'full, nomem: sockets' 'max_watches is 1.' &&
	echo 0 >$max && page '' 'max_watches is 0: nothing is watched' &&
	echo 1048576 >$max && iptables -t mangle -F INPUT
}

helper()
{
	nft -f - <<-END
	table inet halfrst {
		ct helper leak { type "halfrst-5m" protocol tcp; }
		chain input {
			type filter hook input priority 0;
			tcp dport 8080 ct helper set "leak"
		}
	}
	END
	page '' "for nft $nft" 'nft type "halfrst-5m" protocol tcp' \
		'nft tcp dport 8080 ct helper set "leak"' &&
	lacks 'No packet has come' && nft delete table inet halfrst
}

# Those of containers, and nobody else's
containers()
{
	ip netns add cni-pod && ip netns add vpn &&
	ip netns exec cni-pod iptables -t mangle -A INPUT "${rule[@]}" &&
	page '' 'cni-pod -: 1 rules, 0 in CLOSE_WAIT, fins 0, resets 0, watching 0' &&
	lacks vpn && ip netns del cni-pod && ip netns del vpn
}

# The tables of iptables-legacy are not made by looking for them
makes_no_table()
{
	unshare -n sh -euc "$status >/dev/null
		[ -z \"\$(cat /proc/net/ip_tables_names 2>/dev/null)\" ]"
}

nft=loaded
if [ -e /sys/module/xt_HALFRST ]; then
	nft='built in'
	check 'it is built in' page '' 'built into the kernel; extension'
else
	check 'no rule, no module yet' page '' 'loaded no, installed' \
		'It is loaded with the first rule.' 'None.' 'in CLOSE_WAIT: 0'
	check 'and none because of it' test ! -e /sys/module/xt_HALFRST
	check 'there is no module' says modinfo \
		'There is no module xt_HALFRST for this kernel'
fi
check 'makes no table' makes_no_table
check 'before the rule, which nothing has met' before_the_rule
check 'one page has each cause' causes
for c in iptables-nft iptables-legacy; do
	if ! $c -S >/dev/null 2>&1; then
		skip "$c: behind an ACCEPT" "$c has no tables here"
		continue
	fi
	check "$c: behind an ACCEPT" behind_an_accept $c
done
check 'behind a chain that accepts' behind_a_chain
check 'in a chain that nothing leads to' leads_nowhere
if [ "$nft" = 'built in' ]; then
	skip 'another version is installed' 'it is built in'
else
	answer=0.1 check 'another version is installed' says modinfo \
		'"systemctl restart halfrst" takes the installed one.'
fi
check 'iptables has no extension' says iptables 'has no extension HALFRST'
check 'another owner' other_owner
check 'a dry run' dry_run
check 'max_watches' full
check 'a helper of nft' helper
check 'containers' containers
check 'one line' page --line '0 rules, ' 'fins '
check 'not root' sh -c "setpriv --reuid 65534 --clear-groups $status |
	grep 'Not run as root'"
exec 7>&-
echo "1..$n"
[ "$failed" -eq 0 ]
