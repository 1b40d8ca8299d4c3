# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The servers of clients: serve_NAME PROTOCOL starts one, on port 443 for TLS
# and 80 otherwise, which closes what is idle for two seconds and notes each
# request in /run/served; where there is no note, the client tells in the end.
# again_NAME, where there is one, is what it does in a client's pause, stop_NAME
# how it ends if not by a signal.
# shellcheck disable=SC2317,SC2154 # called by their names; from guest.sh

port_of()
{
	case $1 in
	tls*|h2)	echo 443 ;;
	*)		echo 80 ;;
	esac
}

# tls_of PROTOCOL 1.2 1.3: the one of two words that is its version's
tls_of()
{
	case $1 in
	tls12)	echo "$2" ;;
	*)	echo "$3" ;;
	esac
}

serve_nginx()
{
	local listen tls=''

	listen=$(port_of "$1")
	if [ "$listen" = 443 ]; then
		listen+=" ssl"
		[ "$1" != h2 ] || listen+=" http2"
		tls="ssl_certificate /run/cert.pem;
			ssl_certificate_key /run/key.pem;
			ssl_protocols TLSv$(tls_of "$1" 1.2 1.3);"
	fi
	nginx_conf /run <<-END
	log_format served '\$request_method \$request_uri';
	access_log /run/served served;
	keepalive_timeout 2;
	server {
		listen $listen;
		$tls
		location / { return 200 "picture\n"; }
	}
	END
	start server nginx -c /run/nginx.conf -g 'daemon off;'
}

serve_haproxy()
{
	local bind version

	bind=":$(port_of "$1")"
	if [ "$bind" = :443 ]; then
		version=TLSv$(tls_of "$1" 1.2 1.3)
		bind+=" ssl crt /run/both.pem ssl-min-ver $version"
		bind+=" ssl-max-ver $version"
		[ "$1" != h2 ] || bind+=" alpn h2,http/1.1"
	fi
	cat >/run/haproxy-server.conf <<-END
	global
		log stdout format raw local0
	defaults
		mode http
		timeout client 60s
		timeout http-request 60s
		timeout http-keep-alive 2s
	frontend web
		bind $bind
		log global
		option dontlognull
		log-format "%HM %HPO"
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

# Closes by FIN alone, without close_notify
serve_mute()
{
	start server python3 "$here/mute.py" "$1" /run/both.pem \
		>/run/served 2>/run/mute.log
}

serve_sink()
{
	start server python3 "$here/sink.py" >/run/served 2>/run/sink.log
}

# The three that go and come back
postgres()
{
	bob server "$postgres/pg_ctl" -D /run/pg/data -w -l /run/pg/log \
		"$@" >/run/pg/ctl 2>&1
}

postgres_up()
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

serve_pgrestart()
{
	postgres_up
}

again_pgrestart()
{
	postgres -m fast restart
	sleep 2
}

stop_pgrestart()
{
	postgres -m immediate stop
}

# The backend is killed, by the OOM killer for instance; postgres starts again
serve_pgcrash()
{
	postgres_up
}

again_pgcrash()
{
	kill -9 "$(pgrep -f 'postgres: bob postgres 192')"
	until_true bob server "$postgres/pg_isready" -q -h "$host" -p 80
	sleep 2
}

stop_pgcrash()
{
	stop_pgrestart
}

serve_redis()
{
	start server redis-server --dir /run --port 80 --bind "$host" --save '3600 1' \
		--protected-mode no >/run/redis.log
	redis=$!
}

again_redis()
{
	kill "$redis"
	wait "$redis" || :
	serve_redis
	until_true listening server 80
	sleep 2
}

# Without accounts and without what keeps tables safe
serve_mariadb()
{
	rm -rf /run/mariadb
	install -d -o bob /run/mariadb /run/mariadb/data \
		/run/mariadb/data/halfrst
	start server setpriv --reuid bob --regid bob --clear-groups -- \
		mariadbd --no-defaults --datadir=/run/mariadb/data \
		--socket=/run/mariadb/socket --pid-file=/run/mariadb/pid \
		--port=80 --bind-address="$host" --skip-grant-tables \
		--skip-name-resolve --skip-innodb --wait-timeout=2 \
		--default-storage-engine=MyISAM >/run/mariadb.log 2>&1
}

serve_memcached()
{
	start server memcached -u bob -p 80 -U 0 -l "$host" -t 1 \
		-o idle_timeout=2 2>/run/memcached.log
}
