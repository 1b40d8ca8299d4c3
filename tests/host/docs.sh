#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: documents are the same everywhere
#
# The documents: links lead somewhere, nothing is said twice, README.md is
# short, figures are those that were measured, and commands work. What is indented behind a line that ends with
# "<!-- guest -->" is run in a guest, in a network namespace of its own with the
# user alice and the module; "<!-- nft -->" is a ruleset that is loaded there;
# "<!-- here -->" is run here, in a clean clone; "<!-- host -->" by service.sh.
# Prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
. tests/lib/documents.sh

links()
{
	python3 - "${documents[@]}" <<-'END'
	import os, re, sys

	def anchors(path):
	    text = open(path).read()
	    heads = re.findall(r"^#+ (.*)$", text, re.M)
	    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", h)
	                   ).strip().lower().replace(" ", "-") for h in heads}

	bad = 0
	for path in sys.argv[1:]:
	    text = re.sub(r"^(    |\t).*$", "", open(path).read(), flags=re.M)
	    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text):
	        link = link[0] or link[1]
	        if "://" in link:
	            continue
	        name, _, anchor = link.partition("#")
	        to = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
	        if not os.path.exists(to):
	            print(f"{path}: no file {link}")
	        elif anchor and anchor not in anchors(to):
	            print(f"{path}: no heading {link}")
	        else:
	            continue
	        bad = 1
	sys.exit(bad)
	END
}

# Sentences of prose, by the words in them
twice()
{
	python3 - "${documents[@]}" <<-'END'
	import re, sys

	seen, bad = {}, 0
	for path in sys.argv[1:]:
	    text = open(path).read()
	    text = re.sub(r"```.*?```", "\n\n", text, flags=re.S)
	    text = re.sub(r"^( {4}|\t|\||#|<).*$", "\n", text, flags=re.M)
	    for part in re.split(r"\n\s*\n", text):
	        for sentence in re.split(r"(?<=[.:;!?])\s+", part):
	            words = re.findall(r"[\w'/-]+", sentence.lower())
	            if len(words) < 9:
	                continue
	            key = " ".join(words)
	            if key in seen:
	                print(f"{seen[key]} and {path}: {' '.join(sentence.split())}")
	                bad = 1
	            seen[key] = path
	sys.exit(bad)
	END
}

short()
{
	wc -l README.md && [ "$(wc -l <README.md)" -le 250 ]
}

here()
{
	git clone -q . "$tmp/clone" && cd "$tmp/clone" && bash -eux "$1" </dev/null
}

check 'every link leads somewhere' links
check 'no sentence stands in two places' twice
check 'README.md has 250 lines at most' short
check 'figures are those that were measured' python3 tests/lib/figures.py
blocks here "$tmp/here"
for block in "$tmp"/here/*; do
	[ -e "$block" ] || continue
	rm -rf "$tmp/clone"
	check "$(sed -n '1s/^# //p' "$block"), in a clean clone" here "$block"
done

blocks guest "$tmp/guest/sh"
blocks nft "$tmp/guest/nft"
row_built
# shellcheck disable=SC2016 # expanded in the guest
scripts/lab run "$row" --no-build --icount --limit 900 --with "$tmp/guest" \
	--log "build/lab/log/$row.docs.log" -- bash -c '
	modprobe xt_HALFRST
	for block in /halfrst/with/*/*; do
		case $block in
		*/nft/*) run="nft -f" ;;
		*)	run="bash -eux" ;;
		esac
		if unshare -n sh -c "ip link set lo up && exec $run $block" \
			>/tmp/log 2>&1; then
			echo "ok $(sed -n 1s/..//p "$block")"
		else
			echo "not ok $(sed -n 1s/..//p "$block")"
			sed "s/^/# /" /tmp/log
		fi
	done' >"$tmp/said" 2>&1 || :
for block in "$tmp"/guest/*/*; do
	name=$(sed -n '1s/^# //p' "$block")
	check "$name, in a guest" grep -qx "ok $name" "$tmp/said"
done
[ "$failed" -eq 0 ] || grep -v '^ok' "$tmp/said" | sed 's/^/# /' || :
echo "1..$n"
[ "$failed" -eq 0 ]
