# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Containers of Docker and Podman, of an image that is made here. To be sourced on a
# host that has them, behind tap.sh.
# shellcheck disable=SC2154 # the sourcer's

# An image of this system's own Python
image()
{
	local files

	files=$(for f in python3 dash sleep cat; do
		readlink -f "$(command -v $f)"
		ldd "$(command -v $f)" | grep -o '/[^ ]*'
	done | sort -u)
	mkdir -p "$tmp/box/usr"/{bin,lib,lib64} &&
	for f in bin lib lib64; do
		ln -s usr/$f "$tmp/box/$f"
	done
	for f in $files; do
		cp --parents "$(dirname "$f")/$(basename "$f")" "$tmp/box"
	done
	cp -R /usr/lib/python3.11 "$tmp/box/usr/lib" &&
	ln -s dash "$tmp/box/usr/bin/sh" &&
	ln -s python3.11 "$tmp/box/usr/bin/python3" &&
	cat >"$tmp/box/server" <<-'PYTHON' &&
	import socket
	s = socket.create_server(("", 8080))
	kept = []
	while True:
	    p = s.accept()[0]
	    p.recv(1)
	    p.send(b"b")
	    kept.append(p)
	PYTHON
	tar -C "$tmp/box" -cf "$tmp/box.tar" . && "$1" import "$tmp/box.tar" box
}

# pod NAME ENGINE OPTIONS...: runs the server; pid is it
pod()
{
	"$2" run -d --name "$1" "${@:3}" box python3 -u /server &&
	pid=$("$2" inspect -f '{{.State.Pid}}' "$1") &&
	until_true listens
}

listens()
{
	nsenter -t "$pid" -n ss -Hltn '( sport = :8080 )' | grep -q .
}

address()
{
	nsenter -t "$pid" -n ip -4 -o addr show dev eth0 |
		sed -n 's,.* inet \([0-9.]*\)/.*,\1,p'
}

# client ADDRESS: a request and its answer, and it closes
client()
{
	python3 - "$1" <<-'PYTHON'
	import socket, sys
	c = socket.create_connection((sys.argv[1], 8080), 60)
	c.send(b"a")
	c.recv(1)
	c.close()
	PYTHON
}

