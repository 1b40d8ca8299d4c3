# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The same as patches. To be sourced by graft.
# shellcheck disable=SC2154 # graft's own

copy()
{
	mkdir -p "$work/tree/$(dirname "$1")"
	cp -p "$original/$1" "$work/tree/$1"
}

git_here()
{
	git -C "$work/tree" -c init.defaultBranch=main -c core.excludesFile= \
		-c core.autocrlf=false -c core.hooksPath=/dev/null \
		-c commit.gpgSign=false "$@"
}

# commit SUBJECT: all that has changed; stdin says why
commit()
{
	git_here add -f .
	{ echo "$prefix$1"; echo; cat; } | git_here commit -q -F -
	n=$((n + 1))
}

# A patch for each part; the few files that a graft changes are in a repository of
# their own
series()
{
	local original=$tree n=0

	if ! git -c user.useConfigOnly=true var GIT_AUTHOR_IDENT \
		>/dev/null 2>&1; then
		export GIT_AUTHOR_NAME='HALFRST maintainers'
		export GIT_AUTHOR_EMAIL=halfrst@localhost
		export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME
		export GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
	fi
	mkdir "$work/tree"
	git_here init -q
	each copy
	copy Makefile
	copy Kbuild
	[ ! -f "$tree/MAINTAINERS" ] || copy MAINTAINERS
	git_here add -f .
	git_here commit -q -m before
	tree=$work/tree
	patches
	git_here format-patch -q --stdout --no-signature --no-color "-$n"
	tree=$original
}

patches()
{
	local asked=$tests_too

	tests_too=0
	graft core
	commit 'netfilter: add HALFRST, which resets half-closed TCP sockets' <<-END
	A server closes an idle connection. The client's kernel acknowledges the
	FIN and moves the socket to CLOSE_WAIT; an idle application is not told.
	It writes its next request to a connection that nobody serves, gets a RST
	for it, and cannot know whether the server has acted upon it. Server
	processes that never call close() collect such sockets, until they have
	no descriptor left.

	TCP itself cannot tell a peer that has gone from one that has only shut
	down its sending side. Who sets up a host can: by the port, the process's
	owner, the time for which the socket has been still.

	Add the part that remembers such a socket. It is handed a FIN and options,
	looks at the socket once TCP has had the segment, and again later where
	anything is on its way, and then lets TCP reset the socket as if the peer
	had sent a RST, and sends the peer one. All that has arrived can still be
	read. No packet is dropped, changed or delayed, and nothing runs in a
	process.

	Its front ends, a target for iptables and conntrack helpers for nftables,
	follow.
	END
	graft core target
	commit 'netfilter: xtables: add HALFRST target' <<-END
	The core of HALFRST has to be told which FINs it is about. Rules in INPUT
	are where hosts say which connections are meant, and iptables has the
	matches for that.

	Add a target that hands the FINs of local sockets to it. Options of the
	rule: owners, the time for which a socket has to be still, a deadline, the
	error that the application gets. The verdict is always XT_CONTINUE.
	END
	graft core target helper
	commit 'netfilter: conntrack: add HALFRST helpers' <<-END
	nftables has no way to give a connection to a module but conntrack
	helpers, which it assigns by name.

	Add helpers that do for the connections that have them what a rule with
	the target does. A helper has no options, so there is one for each grace
	that is of use. They need no xtables.
	END
	tests_too=$asked
	if has_tests; then
		graft core target helper selftests
		commit 'selftests: net: add tests of HALFRST' <<-END
		What HALFRST promises is visible on the wire and in system calls:
		one RST and nothing else, no byte that is lost, no bystander that
		is touched, and nothing that stays behind when rules or namespaces
		go.

		Add the programs that check this against a scripted peer behind a
		TUN device, segment by segment, with IPv4, IPv6 and IPv4 through
		IPv6 sockets. They need cmocka.
		END
	fi
	if [ -n "$gki" ]; then
		each insert
		commit 'defconfig: enable HALFRST' <<-END
		A device has what its configuration names, and netd's rules are
		set before anything could be added to that.
		END
	fi
}
