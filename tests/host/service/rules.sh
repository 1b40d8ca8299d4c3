#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: the rules files: loaded, reloaded, refused, taken out.
# Prints TAP.
set -eu

. "$(dirname "$0")/common.sh"

as_installed()
{
	systemctl is-active halfrst && gone && [ -z "$(systemctl --failed -q)" ]
}

reload_loads()
{
	write && systemctl reload halfrst && in_place &&
	[ "$(dmesg | grep -c 'xt_HALFRST: version')" = 1 ] &&
	dmesg | grep "xt_HALFRST: version $(cat $module/version)$" &&
	status "Loaded: rules.v4 1, rules.v6 1, rules.nft 0 lines; module $(cat $module/version)."
}

twice()
{
	systemctl reload halfrst && in_place
}

# refuses FILE LINE WORDS: and everything stays
refuses()
{
	local rc=0

	write 'HALFRST-INPUT -p tcp -j HALFRST'
	echo "$2" >>"/etc/halfrst/$1"
	! systemctl reload halfrst || rc=1
	write
	in_place && systemctl is-active halfrst && status "$3" && return "$rc"
}

# What the watches were on is as if HALFRST had never been there
stop_ends()
{
	half_closed && close_wait && systemctl stop halfrst && gone &&
	close_wait && status 'Active: inactive'
}

start_again()
{
	kill "$server"
	systemctl start halfrst && in_place && half_closed
}

# At any moment of a reload
stop_in_a_reload()
{
	local i

	for i in 0 1 2 3 4 5 6 7; do
		systemctl start halfrst && in_place &&
		systemctl --no-block reload halfrst && sleep 0.$i &&
		systemctl stop halfrst && out || return
	done
	systemctl start halfrst && in_place
}

# Rules elsewhere keep the module, and that is said
elsewhere()
{
	iptables -A INPUT -p tcp -j HALFRST --uid-owner 4321 &&
	systemctl stop halfrst && out && [ -e $module ] &&
	status 'The module stays' &&
	iptables -D INPUT -p tcp -j HALFRST --uid-owner 4321 &&
	systemctl start halfrst && systemctl stop halfrst && gone &&
	systemctl start halfrst && in_place
}

nft_rules()
{
	cat >/etc/halfrst/rules.nft <<-'END'
	ct helper leak { type "halfrst-5m" protocol tcp; }
	chain input {
		type filter hook input priority 0;
		tcp dport 8081 ct helper set "leak"
	}
	END
	systemctl reload halfrst && in_place &&
	nft list table inet halfrst >"$tmp/nft" && grep halfrst-5m "$tmp/nft" &&
	systemctl reload halfrst &&
	nft list table inet halfrst | diff "$tmp/nft" - &&
	echo 'flush ruleset' >>/etc/halfrst/rules.nft &&
	! systemctl reload halfrst &&
	nft list table inet halfrst | diff "$tmp/nft" - &&
	nft_firewall && in_place &&
	: >/etc/halfrst/rules.nft && systemctl reload halfrst &&
	! nft list table inet halfrst && nft_firewall
}

metrics()
{
	local dir=/var/lib/prometheus/node-exporter

	mkdir -p $dir
	systemctl start halfrst-metrics.timer && until_true [ -s $dir/halfrst.prom ] &&
	cat $dir/halfrst.prom && promtool check metrics <$dir/halfrst.prom &&
	[ "$(grep -c '^# HELP' $dir/halfrst.prom)" = 15 ] &&
	[ "$(grep -c '^# TYPE .* gauge$' $dir/halfrst.prom)" = 2 ] &&
	grep -x 'xt_halfrst_watching 1' $dir/halfrst.prom &&
	systemctl stop halfrst-metrics.timer
}

systemctl is-system-running --wait || :
check 'as installed: active, no rule, no module' as_installed
check 'reload loads the rules, the module says its version once' \
	reload_loads
check 'twice is once' twice
for f in rules.v4 rules.v6; do
	check "$f, a wrong option: nothing changes" refuses "$f" \
		'-A HALFRST-INPUT -p tcp -j HALFRST --grace 5' \
		"/etc/halfrst/$f was not loaded"
	check "$f, another chain: nothing changes" refuses "$f" \
		'-A INPUT -j DROP' \
		"/etc/halfrst/$f: every line has to begin with"
	check "$f, what only the kernel knows: nothing changes" \
		refuses "$f" '-A HALFRST-INPUT -j HALFRST' \
		'only valid for protocol 6'
done
check 'stop ends the watches, the sockets are as they were' stop_ends
check 'start loads the rules' start_again
check 'the counters for Prometheus' metrics
nftables_conf '' ''
systemctl start nftables
check 'rules.nft is loaded, reloaded, refused, taken out' nft_rules
kill "$server"
check 'rules elsewhere: stop says that the module stays' elsewhere
check 'stop while it reloads' stop_in_a_reload
echo "1..$n"
[ $failed -eq 0 ]
