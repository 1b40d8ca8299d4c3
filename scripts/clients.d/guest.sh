#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The guest's half of clients: each CLIENT with a SERVER over a PROTOCOL,
# without and with HALFRST, in the network of lib/network.sh. The server closes
# what is idle for 2 seconds.
#
# guest.sh RULE[,RULE...] CLIENT/SERVER/PROTOCOL...
#
# RULE is an error for --reset-with, or "default". What a case leaves in /out
# is CLIENT.SERVER.PROTOCOL.RULE.*, RULE being "none" without HALFRST.
# shellcheck disable=SC2317 # functions that are called by their names
set -eu

here=$(dirname "$0")
out=/out
. "$here/../lib/network.sh"
. "$here/../lib/nginx.sh"
. "$here/servers.sh"

java=/usr/lib/jvm/default-java/bin
jars=/usr/share/java
classes=/run/jvm:$jars/okhttp.jar:$jars/okio.jar:$jars/httpclient.jar
classes+=:$jars/httpcore.jar:$jars/commons-logging.jar:$jars/commons-codec.jar
php=$(echo /usr/bin/php[0-9]*)
postgres=$(echo /usr/lib/postgresql/*/bin)
pids=()
# The guest's Python has no bytecode; making it again takes most of its time.
# All users share it.
umask 0
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=/run/bytecode
export NODE_EXTRA_CA_CERTS=/run/cert.pem

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

#
# Clients: run_NAME SERVER PROTOCOL prints the lines that web.py explains;
# prepare_NAME PROTOCOL, where there is one, starts what it needs on the phone.
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

url()
{
	case $(port_of "$1") in
	443)	echo "https://$host" ;;
	*)	echo "http://$host" ;;
	esac
}

# http CLIENT SERVER PROTOCOL PROGRAM...
http()
{
	alice "${@:4}" "$1" "$(url "$3")" 6 "$(methods "$2")"
}

run_python() { http "$@" python3 "$here/web.py"; }
run_curl() { run_python curl "$@"; }
run_urllib3() { run_python urllib3 "$@"; }
run_httpclient() { run_python httpclient "$@"; }
run_httpx() { run_python httpx "$@"; }
run_aiohttp() { run_python aiohttp "$@"; }
run_aiohttp-busy() { run_python aiohttp-busy "$@"; }
run_aiohttp-idiom() { run_python aiohttp-idiom "$@"; }
run_node() { http node "$@" node "$here/web.js"; }
run_node-busy() { http node-busy "$@" node "$here/web.js"; }
run_fetch() { http fetch "$@" node "$here/web.js"; }
run_fetch-busy() { http fetch-busy "$@" node "$here/web.js"; }
run_go() { http go "$@" /halfrst/with/web-go; }
run_go-stopped() { http go-stopped "$@" /halfrst/with/web-go; }
run_hyper() { http hyper "$@" /halfrst/with/web-hyper; }
run_hyper-busy() { http hyper-busy "$@" /halfrst/with/web-hyper; }
run_ruby() { http ruby "$@" ruby "$here/web.rb"; }
run_phpcurl() { http phpcurl "$@" "$php" -d display_errors=stderr \
	-d extension=curl "$here/web.php"; }
run_phpstreams() { http phpstreams "$@" "$php" -d display_errors=stderr \
	"$here/web.php"; }

# HAProxy on the phone keeps connections to the server, alice being HAProxy
prepare_haproxy()
{
	local server

	server="$host:$(port_of "$1") pool-purge-delay 60s"
	case $server in
	*:443*)	server+=" ssl verify required ca-file /run/cert.pem" ;;
	esac
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
		server s $server
	END
	start phone setpriv --reuid alice --regid alice --clear-groups -- \
		haproxy -db -q -f /run/haproxy-proxy.conf
	until_true listening phone 8080
}

run_haproxy()
{
	bob phone python3 "$here/web.py" fresh http://127.0.0.1:8080 \
		6 "$(methods "$1")"
}

jvm()
{
	[ -d /run/jvm ] || "$java/javac" -d /run/jvm -cp "$classes" \
		"$here/web.java"
	http "$@" "$java/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
		-cp "$classes" Clients
}

run_okhttp() { jvm okhttp "$@"; }
run_java() { jvm java "$@"; }
run_apache() { jvm apache "$@"; }

# After each answer the server does what it does, or alice is idle for 6 s
data()
{
	local client=$1 server=$2 line pid

	coproc ALICE { alice python3 "$here/data.py" "$client" "$host" 4; }
	pid=$ALICE_PID	# which is unset when it ends
	while read -r line <&"${ALICE[0]}"; do
		echo "$line"
		case $line in
		has*)	continue ;;
		3*)	sleep 1 ;;	# a log's last line is on its way
		*)	if declare -F "again_$server" >/dev/null; then
				"again_$server"
			else
				sleep 6
			fi ;;
		esac
		echo go >&"${ALICE[1]}"
	done
	wait "$pid"
}

run_psycopg2() { data psycopg2 "$@"; }
run_redis() { data redis "$@"; }
run_pymysql() { data pymysql "$@"; }
run_mysqldb() { data mysqldb "$@"; }
run_pymemcache() { data pymemcache "$@"; }
run_pylibmc() { data pylibmc "$@"; }
run_logging() { data logging "$@"; }
run_rsyslog() { data rsyslog "$@"; }

prepare_rsyslog()
{
	cat >/run/rsyslog.conf <<-END
	module(load="imuxsock" SysSock.Use="off")
	input(type="imuxsock" Socket="/run/alice/log")
	template(name="line" type="string" string="%msg%\n")
	action(type="omfwd" target="$host" port="80" protocol="tcp"
		template="line" action.resumeRetryCount="-1"
		action.resumeInterval="1")
	END
	install -d -o alice /run/alice
	start phone setpriv --reuid alice --regid alice --clear-groups -- \
		rsyslogd -n -f /run/rsyslog.conf -i /run/alice/pid \
		>/run/rsyslog.log 2>&1
	until_true test -S /run/alice/log
}

#
# One client, one server, once
#

# What a case leaves for report.py: a capture, the states of the server's
# sockets, the client's account, the server's, and counters.
run_case()
{
	local client=$1 server=$2 protocol=$3 rule=$4 rc=0 port options=()
	local base=$out/$client.$server.$protocol.$rule

	port=$(port_of "$protocol")
	network_up
	rm -f /run/served /run/dump.rdb
	"serve_$server" "$protocol"
	until_true listening server "$port"
	! declare -F "prepare_$client" >/dev/null ||
		"prepare_$client" "$protocol"
	[ "$rule" = default ] || options=(--reset-with "$rule")
	if [ "$rule" != none ]; then
		ip netns exec phone iptables -t mangle -A INPUT -p tcp \
			--tcp-flags FIN FIN -j HALFRST --uid-owner alice \
			"${options[@]}"
	fi
	start phone tcpdump -i eth0 -Z root --immediate-mode -U -s 128 \
		-w "$base.pcap" tcp port "$port" 2>/run/tcpdump.log
	until_true grep -q 'listening on' /run/tcpdump.log
	start server python3 "$here/../lib/states.py" 10 1000 >"$base.states"
	until_true test -s "$base.states"
	"run_$client" "$server" "$protocol" >"$base.client" || rc=$?
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
	network_down
	return $rc
}

# Of everything that is installed here
versions()
{
	uname -r
	! command -v nginx >/dev/null || nginx -v 2>&1 | sed 's,.*/,nginx ,'
	! command -v haproxy >/dev/null ||
		haproxy -v | sed -n 's/.*version \([0-9.]*\).*/HAProxy \1/p'
	! command -v lighttpd >/dev/null ||
		lighttpd -v | sed 's,/, ,; s/ (.*//'
	! command -v node >/dev/null ||
		node -p '"Node " + process.versions.node'
	[ ! -x "$php" ] || "$php" -d display_errors=stderr -r 'echo "PHP ", PHP_VERSION, "\n";'
	! command -v ruby >/dev/null || ruby -e 'puts "Ruby #{RUBY_VERSION}"'
	! command -v mariadbd >/dev/null || mariadbd --no-defaults --version |
		sed 's/.*Ver \([0-9.]*\).*/MariaDB \1/'
	! command -v memcached >/dev/null || memcached -V
	! command -v rsyslogd >/dev/null || rsyslogd -v |
		sed -n '1s/ (.*//p'
	! command -v redis-server >/dev/null || redis-server -v |
		sed 's/.*v=\([0-9.]*\).*/Redis \1/'
	[ ! -x "$postgres/postgres" ] || "$postgres/postgres" -V
	openssl version
	python3 "$here/versions.py"
	[ ! -d "$jars" ] || find "$jars" -type f -name '*[0-9].jar' \
		\( -name 'okhttp-*' -o -name 'httpclient-*' \) -printf '%f\n'
	[ ! -x "$java/java" ] || "$java/java" -version 2>&1 | head -n 1
	[ ! -x /halfrst/with/web-hyper ] ||
		grep -aom1 'hyper-[0-9.]*[0-9]' /halfrst/with/web-hyper |
		head -n 1
	[ ! -x /halfrst/with/web-go ] ||
		grep -aom1 'go1\.[0-9.]*' /halfrst/with/web-go | head -n 1
}

experiment()
{
	local case rule client server protocol rules

	echo "$1" >"$out/rules"
	IFS=, read -r -a rules <<< "$1"
	shift
	modprobe -a veth sch_netem xt_HALFRST
	certificate
	install -d -m 777 "$PYTHONPYCACHEPREFIX"
	for case; do
		IFS=/ read -r client server protocol <<< "$case"
		for rule in none "${rules[@]}"; do
			printf '%s\n' "$client, $server, $protocol, $rule" >&2
			run_case "$client" "$server" "$protocol" "$rule"
		done
	done
	versions >"$out/versions.$client"
}

experiment "$@"
