# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# nginx in a guest. To be sourced.

# nginx_conf FOLDER: its nginx.conf, with standard input as what HTTP is about
nginx_conf()
{
	{
		cat <<-END
		user www-data;
		worker_processes 1;
		pid $1/nginx.pid;
		error_log $1/nginx.log;
		events { worker_connections 1024; }
		http {
		END
		cat
		echo '}'
	} >"$1/nginx.conf"
}
