#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a kernel of its own
# slow: builds a kernel tree's selftests
#
# The tests as kselftests: built and installed out of a grafted kernel tree,
# run by its runner in a guest; what they print is read by the kernel's own
# KTAP parser. Runs on the host, boots a guest; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/row.sh
here=$PWD/build/kselftest
tests=(one_packet counters)

# The programs are this host's, and so has the guest's C library to be
arch=$(row_has 2)
suite=$(row_has 3)
host=$(sed -n s/^VERSION_CODENAME=//p /etc/os-release)
if [ "$arch $suite" != "$(dpkg --print-architecture) $host" ]; then
	skip_all "built on $host, for a guest of the same; $row is another"
fi
row_built
scripts/lab install binutils gcc libcmocka-dev make python3 rsync tar
source=$(scripts/kernel --source 6.1) || skip_all 'no linux-source-6.1 here'
mkdir -p "$here"
exec 9>"$here/lock"
flock 9

# A kernel tree's part that this needs, by hard links
new_tree()
{
	rm -rf "$here/tree" "$here/install" "$here/out" && mkdir "$here/tree" &&
	(cd "$source" && cp -al --parents Makefile Kbuild include scripts \
		net/netfilter tools/scripts tools/testing "$here/tree") &&
	scripts/graft "$here/tree"
}

# As Documentation/dev-tools/kselftest.rst says
installed()
{
	new_tree && mkdir "$here/out" &&
	nice make -s -j"$(nproc)" -C "$here/tree/tools/testing/selftests" \
		O="$here/out" TARGETS=net/halfrst \
		INSTALL_PATH="$here/install" install &&
	[ -x "$here/install/run_kselftest.sh" ] &&
	for t in "${tests[@]}"; do
		grep -qx "net/halfrst:test_$t" \
			"$here/install/kselftest-list.txt" || return
	done
}

# In a guest, with the row's kernel and module
runs()
{
	local options=()

	for t in "${tests[@]}"; do
		options+=(-t "net/halfrst:test_$t")
	done
	scripts/lab run "$row" --no-build --icount --limit 1800 \
		--disk "tests=$here/install" -- \
		../host/kselftest.guest.sh "${options[@]}" >"$here/ktap"
}

# The runner's own lines: a version, a plan, and every test passed
outer()
{
	cat "$here/ktap"
	{
		echo 'TAP version 13'
		echo "1..${#tests[@]}"
		for t in "${!tests[@]}"; do
			echo "ok $((t + 1)) selftests: net/halfrst: test_${tests[t]}"
		done
	} | diff - <(grep -v '^#' "$here/ktap")
}

# parsed FILE: the kernel's own parser finds results, and nothing wrong
parsed()
{
	python3 "$source/tools/testing/kunit/kunit.py" parse "$1" \
		</dev/null >"$here/parsed" 2>&1 || { cat "$here/parsed"; return 1; }
	cat "$here/parsed"
	grep -qE 'Testing complete.*[Pp]assed: *[1-9]' "$here/parsed" &&
	! grep -qiE 'error|crashed: *[1-9]|\[FAILED\]' "$here/parsed"
}

# inner TEST: what the test itself printed
inner()
{
	awk -v start="# selftests: net/halfrst: test_$1" '
	$0 == start { on = 1; next }
	/^(not )?ok / || /^# selftests: / { on = 0 }
	on { sub(/^# /, ""); print }' "$here/ktap" >"$here/ktap.$1"
	[ "$(head -n 1 "$here/ktap.$1")" = 'KTAP version 1' ] &&
	awk '
	NR == 1		{ next }
	/^1\.\.[0-9]+$/	{ plan = substr($0, 4); next }
	/^#/		{ next }
	/^ok / && $2 == ++seen { next }
	{ print "not KTAP, or not in order: " $0; bad = 1 }
	END { exit bad || !plan || plan != seen }' "$here/ktap.$1" &&
	parsed "$here/ktap.$1"
}

# For a device with no library at all, and cmocka of our own making
static()
{
	local out=$here/static cmocka

	cmocka=$(scripts/static-cmocka "$arch") && rm -rf "$out" &&
	mkdir "$out" && nice make -s -j"$(nproc)" \
		-C "$here/tree/tools/testing/selftests" O="$out" \
		TARGETS=net/halfrst CMOCKA="$cmocka" || return
	for t in tests/guest/test_*.c; do
		# 6.1's makefile puts a folder of its own in between
		t=$(find "$out" -type f -name "$(basename "$t" .c)")
		echo "$t"
		readelf -l "$t" >"$here/headers" || return
		! grep -q INTERP "$here/headers" || return
	done
	ends 1 fails 0 -static -I"$cmocka/include" -L"$cmocka" &&
	ends 0 skips 0 -static -I"$cmocka/include" -L"$cmocka"
}

# A program with four failures, which is a failure, and one with none
cat >"$here/four.c" <<'EOC'
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static void fails(void **state)
{
	(void)state;
	puts("a remark");
	assert_true(0);
}

static void skips(void **state)
{
	(void)state;
	skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(skips), cmocka_unit_test(TEST),
		cmocka_unit_test(TEST), cmocka_unit_test(TEST),
		cmocka_unit_test(TEST),
	};

	if (WHOLE) {
		puts("1..0 # SKIP nothing to do");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
EOC

# ends STATUS TEST WHOLE [FLAG...]
ends()
{
	local rc=0

	gcc -D_GNU_SOURCE -DTEST="$2" -DWHOLE="$3" "${@:4}" -o "$here/four" \
		"$here/four.c" tests/kselftest/tap.c -lcmocka || return
	"$here/four" >"$here/four.out" || rc=$?
	cat "$here/four.out"
	[ $rc -eq "$1" ] && ! grep -vE '^(ok [0-9]+ - [a-zA-Z]+( # SKIP)?|not ok [0-9]+ - [a-zA-Z]+|1\.\..*|KTAP version 1|# .*)$' "$here/four.out"
}

check 'four failures are not taken for a skip' ends 1 fails 0
check 'what cmocka skips is no failure' ends 0 skips 0
check 'a test that skips itself says so' ends 4 fails 1
check 'make install builds them out of a grafted tree' installed
check 'each of them without any library' static
check 'run_kselftest.sh runs them in a guest' runs
check 'each of them passed' outer
check "the kernel's parser takes the runner's KTAP" parsed "$here/ktap"
for t in "${tests[@]}"; do
	check "the kernel's parser takes test_$t's KTAP" inner "$t"
done
echo "1..$n"
[ $failed -eq 0 ]
