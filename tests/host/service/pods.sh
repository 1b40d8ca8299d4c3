#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A chapter of service.sh: halfrst-pods.service, and what metrics, halfrst-status and
# sweep say of containers, with those of Podman and Docker and 100 more network
# namespaces. ../../guest/test_pods.sh has the rest. Prints TAP.
# shellcheck source-path=SCRIPTDIR/..
set -eu

cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
. ../lib/tap.sh
. ../lib/box.sh
pods=/usr/libexec/halfrst/pods
prom=/var/lib/prometheus/node-exporter/halfrst.prom

off()
{
	[ "$(systemctl is-enabled halfrst-pods)" = disabled ] &&
	[ "$(systemctl is-active halfrst-pods)" = inactive ] &&
	! grep -h '^[^#]' /etc/halfrst/pods.*
}

# loaded PID: of a process in there; nothing twice
loaded()
{
	[ "$(nsenter -t "$1" -n iptables -t mangle -S | grep -c HALFRST)" = 3 ]
}

not_loaded()
{
	! nsenter -t "$1" -n iptables-save | grep HALFRST
}

# all_are loaded|not_loaded: the containers of both engines, and the namespaces
all_are()
{
	local p

	for p in $(podman ps -q | xargs -r podman inspect -f '{{.State.Pid}}') \
		$(docker_pids); do
		"$1" "$p" || { echo "$p"; return 1; }
	done
	for p in /run/netns/cni-*; do
		[ "$(nsenter --net="$p" iptables -t mangle -S |
			grep -c HALFRST)" = "$([ "$1" = loaded ] && echo 3 || echo 0)" ] ||
			{ echo "$p"; return 1; }
	done
}

docker_pids()
{
	[ "$(systemctl is-active docker)" != active ] ||
		docker ps -q | xargs -r docker inspect -f '{{.State.Pid}}'
}

some()
{
	local i

	for i in 1 2 3 4 5 6; do
		podman run -d --name "shop-$i" box sleep 100000 || return
	done
	for ((i = 0; i < 100; i++)); do
		ip netns add "cni-$i" || return
	done
}

# A rule of its own that a pod has, and the node's
others()
{
	pid=$(podman inspect -f '{{.State.Pid}}' shop-1)
	nsenter -t "$pid" -n iptables -t mangle -A INPUT -p udp -j ACCEPT &&
	others_are >"$tmp/others"
}

others_are()
{
	nsenter -t "$pid" -n iptables -t mangle -S | grep -v HALFRST
	iptables -t mangle -S
}

enabled()
{
	echo '-A HALFRST-PODS -p tcp --dport 8080 -j HALFRST --grace 100ms' \
		>/etc/halfrst/pods.v4
	systemctl enable --now halfrst-pods && all_are loaded
}

# comes ENGINE: within seconds; nobody asks for it
comes()
{
	pod new "$1" && until_true loaded "$pid"
}

# What has come late is there, and so is its first connection
resets()
{
	client "$(address)" && until_true counts resets 1
}

# counts NAME NUMBER
counts()
{
	grep -x "$1 $2" "/proc/$pid/net/xt_halfrst"
}

listed()
{
	"$pods" list >"$tmp/list"
	cat "$tmp/list"
	grep -E "^$1[^ ]+ $pid new\$" "$tmp/list"
}

come_and_go()
{
	local i

	for i in 1 2 3 4 5 6; do
		podman run -d --name "go-$i" box sleep 100000 &&
		ip netns add "cni-go-$i" || return
		[ "$i" -lt 3 ] || podman rm -f -t 0 "go-$((i - 2))" || return
	done
	until_true all_are loaded
}

# By the name that the engine knows
left_out()
{
	echo 'shop-[12]' >/etc/halfrst/pods.skip
	systemctl reload halfrst-pods &&
	pid=$(podman inspect -f '{{.State.Pid}}' shop-1) && not_loaded "$pid" &&
	pid=$(podman inspect -f '{{.State.Pid}}' shop-3) && loaded "$pid" &&
	podman rm -f -t 0 shop-2 &&
	podman run -d --name shop-2 box sleep 100000 &&
	podman run -d --name shop-7 box sleep 100000 &&
	pid=$(podman inspect -f '{{.State.Pid}}' shop-7) &&
	until_true loaded "$pid" &&
	pid=$(podman inspect -f '{{.State.Pid}}' shop-2) && not_loaded "$pid" &&
	: >/etc/halfrst/pods.skip && systemctl reload halfrst-pods &&
	loaded "$pid"
}

metrics()
{
	mkdir -p "${prom%/*}"
	systemctl start halfrst-metrics && grep -v cni- $prom &&
	grep -E "^xt_halfrst_resets_total\{netns=\"[^\"]+\",pod=\"$1\"\} 1\$" $prom &&
	promtool check metrics <$prom
}

status()
{
	halfrst-status >"$tmp/status" && cat "$tmp/status" &&
	grep -E " new: 1 rules, .* resets 1," "$tmp/status" &&
	[ -e /usr/share/man/man8/halfrst-status.8.gz ]
}

# A mistake changes nothing, and the service runs on
refused()
{
	echo '-A HALFRST-PODS -p tcp -j HALFRST --grace 5' >/etc/halfrst/pods.v6
	! systemctl reload halfrst-pods && : >/etc/halfrst/pods.v6 &&
	systemctl is-active halfrst-pods && all_are loaded &&
	journalctl -u halfrst-pods | grep '/etc/halfrst/pods.v6 was not loaded'
}

# The module has rules in pods: a restart of halfrst.service leaves it there
beside()
{
	systemctl restart halfrst && all_are loaded
}

sweeps()
{
	nsenter -t "$pid" -n iptables -t mangle -F HALFRST-PODS &&
	client "$(address)" &&
	until_true half_closed 1 &&
	nsenter -t "$pid" -n /usr/libexec/halfrst/sweep --dport 8080 \
		--grace 1s --yes && half_closed 0 &&
	systemctl reload halfrst-pods && loaded "$pid"
}

half_closed()
{
	[ "$(nsenter -t "$pid" -n ss -Htn state close-wait | wc -l)" = "$1" ]
}

stopped()
{
	systemctl stop halfrst-pods && all_are not_loaded &&
	pid=$(podman inspect -f '{{.State.Pid}}' shop-1) &&
	diff <(others_are) "$tmp/others"
}

removed()
{
	systemctl start halfrst-pods && all_are loaded &&
	apt-get remove -y iptables-halfrst && all_are not_loaded
}

systemctl is-system-running --wait || :
iptables -P FORWARD ACCEPT
check 'as installed it is off, and its files say nothing' off
check 'podman: an image' image podman
check 'pods, and 100 more namespaces' some
check 'they have rules of their own' others
check 'enabled: loaded into each' enabled
for engine in podman docker; do
	if [ $engine = docker ]; then
		check 'docker: it runs' systemctl start docker
		rm -rf "$tmp/box" "$tmp/box.tar"
		check 'docker: an image' image docker
	fi
	check "$engine: a new one has the rule within seconds" comes $engine
	check "$engine: a connection to it is reset" resets
	dir=/run/netns/
	[ $engine = podman ] || dir=/run/docker/netns/
	check "$engine: it is listed by its name" listed $dir
	check "$engine: metrics by its name" metrics new
	check "$engine: halfrst-status has it" status
	check "$engine: what came before a rule is swept" sweeps
	[ $engine = docker ] || podman rm -f -t 0 new >/dev/null
done
check 'podman: pods come and go' come_and_go
check 'podman: left out by its name' left_out
check 'a mistake in a file: nothing changes' refused
check 'halfrst.service is restarted: they stay' beside
check 'stopped: out of all, and no rule of others is touched' stopped
check 'removed with the package' removed
# Their first process takes no notice of SIGTERM, and the shutdown would wait for it
podman kill -a >/dev/null
echo "1..$n"
[ $failed -eq 0 ]
