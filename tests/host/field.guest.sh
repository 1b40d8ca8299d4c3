#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# field.sh's half in the guest: a server closes what is idle, its last words are
# left unread, and then the program comes back. Each case without a rule, where
# the request or the socket is lost, and with one for what these servers send.
# Runs as root in a guest of the lab; prints TAP.
set -eu

here=$(cd "$(dirname "$0")" && pwd)/field
tmp=$(mktemp -d)
chmod 755 "$tmp"
running=()
ended()
{
	[ ${#running[@]} -eq 0 ] || kill "${running[@]}" 2>/dev/null || :
	running=()
	wait
}
trap 'ended; rm -rf "$tmp"' EXIT
. ../lib/tap.sh
. ../../scripts/lib/nginx.sh

start()
{
	"$@" &
	running+=($!)
}

listening()
{
	ss -Hltn "sport = :$1" | grep -q .
}

with_rule()
{
	iptables -t mangle -A INPUT -p tcp -m multiport --sports 143,443,6514 \
		--tcp-flags FIN FIN -j HALFRST
}

without_rule()
{
	iptables -t mangle -F INPUT
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-subj /CN=server -keyout "$tmp/key" -out "$tmp/cert" 2>/dev/null
cat "$tmp/key" "$tmp/cert" >"$tmp/both"

serve_web()
{
	nginx_conf "$tmp" <<-END
	access_log off;
	keepalive_timeout 2;
	client_header_timeout 2;
	server {
		listen 443 ssl http2;
		ssl_certificate $tmp/cert;
		ssl_certificate_key $tmp/key;
		ssl_protocols TLSv1.3;
		location / { return 200 "here\n"; }
	}
	END
	start nginx -c "$tmp/nginx.conf" -g 'daemon off;'
	until_true listening 443
}

# It closes after three minutes without a login, and after half an hour of silence
serve_mail()
{
	mkdir -p "$tmp/mail"
	chown alice "$tmp/mail"
	cat >"$tmp/dovecot.conf" <<-END
	base_dir = /run/dovecot
	protocols = imap
	listen = 127.0.0.1
	ssl = no
	disable_plaintext_auth = no
	log_path = $tmp/dovecot.log
	default_internal_user = nobody
	default_internal_group = nogroup
	default_login_user = bob
	mail_location = maildir:$tmp/mail
	passdb {
		driver = static
		args = password=secret
	}
	userdb {
		driver = static
		args = uid=alice gid=alice home=$tmp/mail
	}
	END
	start dovecot -F -c "$tmp/dovecot.conf"
	until_true listening 143
}

# says WANT WHAT...: the client's account
says()
{
	local got

	got=$(python3 "$here/client.py" "${@:2}") && echo "$got" &&
	[ "$got" = "$1" ]
}

# Five lines, four seconds apart
log_lines()
{
	local i

	start python3 "$here/logs.py" 6514 "$tmp/both" >"$tmp/got"
	cat >"$tmp/rsyslog.conf" <<-END
	global(DefaultNetstreamDriverCAFile="$tmp/cert")
	module(load="imuxsock" SysSock.Use="off")
	input(type="imuxsock" Socket="$tmp/socket")
	template(name="line" type="string" string="%msg%\n")
	action(type="omfwd" target="127.0.0.1" port="6514" protocol="tcp"
		StreamDriver="ossl" StreamDriverMode="1"
		StreamDriverAuthMode="anon" template="line"
		action.resumeRetryCount="-1" action.resumeInterval="1")
	END
	until_true listening 6514
	start rsyslogd -n -f "$tmp/rsyslog.conf" -i "$tmp/rsyslog.pid" \
		>"$tmp/rsyslog.out" 2>&1
	until_true test -S "$tmp/socket"
	for i in 1 2 3 4 5; do
		logger -u "$tmp/socket" -- "line $i"
		sleep 4
	done
	sleep 10
	ended
	cat "$tmp/got" "$tmp/rsyslog.out"
}

# What has come is all lines, or not
all_lines()
{
	log_lines
	[ "$(grep -c '^line' "$tmp/got")" -eq 5 ]
}

some_lines()
{
	log_lines
	[ "$(grep -c '^line' "$tmp/got")" -gt 0 ] &&
	[ "$(grep -c '^line' "$tmp/got")" -lt 5 ]
}

check 'rsyslog, ossl, TLS 1.3, without a rule: lines are lost' some_lines
with_rule
check 'rsyslog, ossl, TLS 1.3: no line is lost' all_lines
without_rule

serve_web
check 'http.client, opened in advance, without a rule: the POST is wasted' \
	says 'CLOSE_WAIT, wasted' early
check 'HTTP/2, GOAWAY unread, without a rule: the request is wasted' \
	says 'CLOSE_WAIT, wasted' goaway
with_rule
check 'http.client, opened in advance: the POST is not sent' \
	says 'CLOSE, not sent' early
check 'HTTP/2, GOAWAY unread: the request is not sent' \
	says 'CLOSE, not sent' goaway
without_rule
ended

serve_mail
check 'IMAP, without a rule: the command is wasted' \
	says 'CLOSE_WAIT, wasted, BYE' bye
check '20 greetings unread, without a rule: 20 sockets stay' \
	says 'CLOSE_WAIT 20, greetings 20' greeting
with_rule
check 'IMAP: the command is not sent, the farewell can be read' \
	says 'CLOSE, not sent, BYE' bye
check '20 greetings unread: no socket stays, each greeting can be read' \
	says 'CLOSE 20, greetings 20' greeting
without_rule
ended

echo "1..$n"
[ $failed -eq 0 ]
