#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# once: has a workspace of its own
#
# The extension as a part of Android's iptables. Runs on the host; prints TAP.
set -eu

cd "$(dirname "$0")/../.."
. tests/lib/aosp.sh

# In AOSP, libxt_*.c go through a filter that gives each function _init() a name
# of its own, and one more file is made that calls all of these.  Neither filter
# is known by more than what it does: by the word, or where it is defined.
ext_init()
{
	local name=$1

	printf 'void %s_init(void);\n' "$name"
	printf 'void init_extensions(void);\nvoid init_extensions(void)\n{\n'
	printf '\t%s_init();\n}\n' "$name"
}

# As AOSP sets them for the extensions
flags=(-O2 -Wall -Werror -Wno-pointer-arith -Wno-sign-compare
	-Wno-unused-parameter -Wno-format -Wno-missing-field-initializers
	-Wno-pointer-bool-conversion -Wno-tautological-pointer-compare
	-DNO_SHARED_LIBS=1 -DXTABLES_INTERNAL -DENABLE_IPV4 -DENABLE_IPV6
	-D_FILE_OFFSET_BITS=64)

# extension FILTER CFLAG...: compiles in $tmp/ext, and has one function to call
extension()
{
	local dir=$tmp/ext name=libxt_HALFRST

	rm -rf "$dir" && mkdir -p "$dir/include" &&
	sed "$1" "xtables-ext/$name.c" >"$dir/$name.c" &&
	cp kmod/xt_HALFRST.h "$dir/include" &&
	ext_init "$name" >"$dir/initext.c" || return
	for f in "$name" initext; do
		"clang-$clang" "${flags[@]}" -I"$dir/include" "${@:2}" \
			-c -o "$dir/$f.o" "$dir/$f.c" || return
	done
	"llvm-nm-$clang" "$dir/$name.o" | grep -q " T ${name}_init$" &&
	! "llvm-objdump-$clang" -h "$dir/$name.o" | grep -E '\.(init_array|ctors)'
}

# Both families' targets register once, by the call of init_extensions() alone
registers()
{
	local dir=$tmp/ext

	cat >"$dir/main.c" <<-'END' &&
	#include <stdio.h>
	#include <xtables.h>

	void init_extensions(void);

	void xtables_register_targets(struct xtables_target *us, unsigned int n)
	{
		while (n--)
			printf("%s/%d\n", us[n].name, us[n].family);
	}

	int main(void)
	{
		puts("main");
		init_extensions();
		return 0;
	}
	END
	"clang-$clang" -o "$dir/main" "$dir/main.c" "$dir"/*.o -lxtables &&
	[ "$("$dir/main" | tr '\n' ' ')" = \
		'main HALFRST/10 HALFRST/2 ' ]
}

# A C library that is not glibc; its headers want the kernel's beside them
with_musl()
{
	local include=$tmp/include name

	mkdir -p "$include" && ln -s /usr/include/{linux,asm-generic} \
		"/usr/include/$(uname -m)-linux-gnu/asm" \
		/usr/include/{xtables.h,xtables-version.h} "$include" &&
	extension "$1" -nostdlibinc -isystem "/usr/include/$(uname -m)-linux-musl" \
		-idirafter "$include" &&
	"clang-$clang" "${flags[@]}" -I"$tmp/ext/include" -nostdlibinc \
		-isystem "/usr/include/$(uname -m)-linux-musl" \
		-idirafter "$include" -M "$tmp/ext/libxt_HALFRST.c" >"$tmp/headers" &&
	grep -q "linux-musl/stdio.h" "$tmp/headers" &&
	! grep '/usr/include/std' "$tmp/headers"
}

word='s/\<_init\>/libxt_HALFRST_init/g' definition='s/ _init(/ libxt_HALFRST_init(/'
check 'AOSP: the extension, each _init renamed' extension "$word"
check 'AOSP: it registers once, when it is called' registers
check 'AOSP: the extension, the definition renamed' extension "$definition"
check 'AOSP: it registers once, when it is called' registers
check "AOSP: the extension with musl's headers" with_musl "$word"
echo "1..$n"
[ $failed -eq 0 ]
