#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's half of clients: each CLIENT with each of its servers, without
# and with HALFRST, in the network of demo-guest.sh:
#
#     phone                      net                       server
#    192.0.2.2 ──── 192.0.2.1   25 ms   198.51.100.1 ──── 198.51.100.2
#    alice's client           each way              port 80, closes what is
#    (uid 10400)                                    idle for 2 seconds
#
# clients-guest.sh CLIENT SERVER... [, CLIENT SERVER...]...
set -eu

. "$(dirname "$0")/demo-guest.sh" :

host=198.51.100.2
java=/usr/lib/jvm/default-java/bin
classes=/run/jvm:/usr/share/java/okhttp.jar:/usr/share/java/okio.jar
postgres=$(echo /usr/lib/postgresql/*/bin)
pids=()

# until_true COMMAND...: the limit is generous, the time is virtual. Sleeps
# without a process, which is what costs time here.
exec 9<> <(:)
until_true()
{
	local i

	for ((i = 0; i < 1000; i++)); do
		! "$@" || return 0
		read -rt 0.5 -u 9 || :
	done
	echo "never true: $*" >&2
	return 1
}

# Start COMMAND in a namespace; it ends with the case
start()
{
	ip netns exec "$@" &
	pids+=("$!")
}

bob()
{
	ip netns exec "$1" \
		setpriv --reuid bob --regid bob --clear-groups -- "${@:2}"
}

listening()
{
	[ -n "$(ip netns exec "$1" ss -tlnH "sport = $2")" ]
}

# forgotten STATES: the server has no socket of any connection left
forgotten()
{
	local port state last=()

	while read -r _ port state; do
		[ "$port" = time ] || last[port]=$state
	done <"$1"
	for state in "${last[@]}"; do
		[ "$state" = gone ] || return 1
	done
}

hosts()
{
	local ns

	for ns in phone net server; do
		ip netns add "$ns"
		ip netns exec "$ns" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	done
	ip netns exec net sysctl -qw net.ipv4.ip_forward=1
	ip netns exec server sysctl -qw net.ipv4.ip_unprivileged_port_start=0
	wire phone 192.0.2.2 192.0.2.1
	wire server "$host" 198.51.100.1
}

#
# Servers: serve_NAME starts one, which notes each request in /run/served;
# where there is no note, said_NAME tells in the end.
#

serve_nginx()
{
	cat >/run/nginx.conf <<-'END'
	daemon off;
	user www-data;
	worker_processes 1;
	pid /run/nginx.pid;
	error_log /run/nginx.log;
	events { }
	http {
		log_format served '$request_method $request_uri';
		access_log /run/served served;
		keepalive_timeout 2;
		server {
			listen 80;
			location / { return 200 "picture\n"; }
		}
	}
	END
	start server nginx -c /run/nginx.conf
}

serve_haproxy()
{
	cat >/run/haproxy-server.conf <<-'END'
	global
		log stdout format raw local0
	defaults
		mode http
		timeout client 60s
		timeout http-request 60s
		timeout http-keep-alive 2s
	frontend web
		bind :80
		log global
		option dontlognull
		log-format "%HM %HU"
		http-request wait-for-body time 5s if METH_POST
		http-request return status 200 content-type text/plain string "picture"
	END
	start server haproxy -db -f /run/haproxy-server.conf \
		>/run/served 2>/run/haproxy.log
}

serve_lighttpd()
{
	local n

	mkdir -p /run/www
	for n in {0..9}; do
		echo picture >"/run/www/$n"
	done
	cat >/run/lighttpd.conf <<-'END'
	server.document-root = "/run/www"
	server.port = 80
	server.errorlog = "/run/lighttpd.log"
	server.modules = ("mod_accesslog")
	server.max-keep-alive-idle = 2
	accesslog.filename = "/run/served"
	accesslog.format = "%m %U"
	END
	start server lighttpd -D -f /run/lighttpd.conf
}

# HAProxy on the phone keeps connections to nginx, alice being HAProxy
serve_backend()
{
	serve_nginx
	cat >/run/haproxy-proxy.conf <<-END
	defaults
		mode http
		timeout client 60s
		timeout server 60s
		timeout connect 5s
	frontend web
		bind 127.0.0.1:8080
		default_backend web
	backend web
		http-reuse always
		server s $host:80 pool-purge-delay 60s
	END
	start phone setpriv --reuid alice --regid alice --clear-groups -- \
		haproxy -db -q -f /run/haproxy-proxy.conf
	until_true listening phone 8080
}

# The three that go and come back
postgres()
{
	bob server "$postgres/pg_ctl" -D /run/pg/data -w -l /run/pg/log \
		"$@" >/run/pg/ctl 2>&1
}

serve_restart()
{
	rm -rf /run/pg
	install -d -o bob /run/pg
	bob server "$postgres/initdb" -D /run/pg/data -A trust -N --no-locale \
		-E UTF8 >/run/initdb 2>&1
	printf '%s\n' "listen_addresses = '*'" 'port = 80' \
		"unix_socket_directories = '/run/pg'" \
		'autovacuum = off' >>/run/pg/data/postgresql.conf
	echo 'host all all 0.0.0.0/0 trust' >>/run/pg/data/pg_hba.conf
	postgres start
}

again_restart()
{
	postgres -m fast restart
}

stop_restart()
{
	postgres -m immediate stop
}

# The backend is killed, by the OOM killer for instance; postgres starts again
serve_crash()
{
	serve_restart
}

again_crash()
{
	kill -9 "$(pgrep -f 'postgres: bob postgres 192')"
	until_true bob server "$postgres/pg_isready" -q -h "$host" -p 80
}

stop_crash()
{
	stop_restart
}

serve_redis()
{
	cd /run
	start server redis-server --port 80 --bind "$host" --save '3600 1' \
		--protected-mode no >/run/redis.log
	redis=$!
	cd - >/dev/null
}

again_redis()
{
	kill "$redis"
	wait "$redis" || :
	serve_redis
	until_true listening server 80
}

#
# Clients: run_NAME SERVER prints the lines that clients-http.py explains.
#

# The first request opens the connection. lighttpd keeps none after a POST to
# a file.
methods()
{
	case $1 in
	lighttpd) echo GET,GET,GET,GET ;;
	*)	echo GET,GET,GET,GET,POST,POST,POST ;;
	esac
}

run_http()
{
	alice python3 "$here/clients-http.py" "$1" "http://$host" 6 \
		"$(methods "$2")"
}

run_curl() { run_http curl "$1"; }
run_urllib3() { run_http urllib3 "$1"; }
run_httpclient() { run_http httpclient "$1"; }

run_haproxy()
{
	bob phone python3 "$here/clients-http.py" fresh http://127.0.0.1:8080 \
		6 "$(methods "$1")"
}

run_node()
{
	alice node "$here/clients-node.js" "http://$host" 6 "$(methods "$1")"
}

jvm()
{
	[ -d /run/jvm ] || "$java/javac" -d /run/jvm -cp "$classes" \
		"$here/clients-jvm.java"
	alice "$java/java" -cp "$classes" Clients "$1" "http://$host" 6 \
		"$(methods "$2")"
}

run_okhttp() { jvm okhttp "$1"; }
run_java() { jvm java "$1"; }

# After each answer the server goes and comes, then alice has 2 s of nothing
data()
{
	local client=$1 server=$2 line pid

	coproc ALICE { alice python3 "$here/clients-data.py" "$client" \
		"$host" 4; }
	pid=$ALICE_PID	# which is unset when it ends
	while read -r line <&"${ALICE[0]}"; do
		echo "$line"
		case $line in
		has*)	continue ;;
		3*)	;;
		*)	"again_$server"; sleep 2 ;;
		esac
		echo go >&"${ALICE[1]}"
	done
	wait "$pid"
}

run_psycopg2() { data psycopg2 "$1"; }
run_redis() { data redis "$1"; }

#
# One client, one server, once
#

# What a case leaves for clients-report.py: a capture, the states of the
# server's sockets, the client's account, the server's, and counters.
run_case()
{
	local client=$1 server=$2 rule=$3 base=$out/$1.$2.$3 rc=0

	hosts
	rm -f /run/served /run/dump.rdb
	"serve_$server"
	until_true listening server 80
	if [ "$rule" = halfrst ]; then
		ip netns exec phone iptables -t mangle -A INPUT -p tcp \
			--tcp-flags FIN FIN -j HALFRST --uid-owner alice
	fi
	start phone tcpdump -i eth0 -Z root --immediate-mode -U -s 128 \
		-w "$base.pcap" tcp port 80 2>/run/tcpdump.log
	until_true grep -q 'listening on' /run/tcpdump.log
	start server python3 "$here/demo-states.py" 10 >"$base.states"
	until_true test -s "$base.states"
	"run_$client" "$server" >"$base.client" || rc=$?
	until_true forgotten "$base.states"
	[ "$rule" = none ] || ip netns exec phone cat /proc/net/xt_halfrst \
		>"$base.counters"
	! declare -F "stop_$server" >/dev/null || "stop_$server"
	kill "${pids[@]}" 2>/dev/null || :	# Redis was started again
	wait "${pids[@]}" || :
	pids=()
	if [ -e /run/served ]; then
		sed -n 's,^[A-Z]* /\(.*\),has \1,p' /run/served >>"$base.client"
	fi
	ip netns del phone
	ip netns del server
	ip netns del net
	return $rc
}

experiment()
{
	local client='' server rule

	modprobe -a veth sch_netem xt_HALFRST
	for server; do
		if [ "$server" = , ]; then
			client=
		elif [ -z "$client" ]; then
			client=$server
		else
			for rule in none halfrst; do
				printf '%s, %s, %s\n' "$client" "$server" \
					"$rule" >&2
				run_case "$client" "$server" "$rule"
			done
		fi
	done
	{
		uname -r
		nginx -v 2>&1 | sed 's,.*/,nginx ,'
		haproxy -v | sed -n 's/.*version \([0-9.]*\).*/HAProxy \1/p'
		lighttpd -v | sed 's,/, ,; s/ (.*//'
	} >"$out/versions"
}

experiment "$@"
