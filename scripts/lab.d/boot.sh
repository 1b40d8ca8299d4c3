# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# A guest, booted. To be sourced by lab.
# shellcheck disable=SC2034,SC2154,SC2317 # shared with lab; "made" calls by name

# The kernel's modules and HALFRST's, indexed so that it loads by itself
modules_archive()
{
	local dir=$1 rel=$2 stage=$3/mod f

	mkdir -p "$stage/usr/lib/modules/$rel/updates"
	ln -s usr/lib "$stage/lib"
	[ ! -d "$dir/modules" ] ||
		cp -al "$dir/modules/." "$stage/usr/lib/modules/$rel"
	touch "$stage/usr/lib/modules/$rel"/modules.{order,builtin}
	for f in "$dir"/out/*.ko; do
		[ ! -f "$f" ] || cp "$f" "$stage/usr/lib/modules/$rel/updates"
	done
	depmod -b "$stage" "$rel"
	rm "$stage/lib"
	(cd "$stage" && find . -mindepth 1 | cpio --quiet -o -H newc)
}

# python_archive DIR FILE: its library compiled, which each program in a guest
# would do again
python_archive()
{
	local dirs=("$1"/usr/lib/python3*)

	[ ! "$2" -nt "$1.cpio" ] || return 0
	mnt=$1 in_chroot python3 -m compileall -q -s /mnt \
		-x '/(test|tests|idlelib|lib2to3|distutils|ensurepip)/' \
		--invalidation-mode unchecked-hash "${dirs[@]/#$1//mnt}" || :
	(cd "$1" && find usr/lib/python3* -name __pycache__ -o -name '*.pyc' |
		cpio --quiet -o -H newc) >"$2.tmp"
	mv "$2.tmp" "$2"
}

job_file()
{
	if [ "$shell" = 1 ] && [ $# -eq 0 ]; then
		set -- bash -i
	fi
	printf 'job=('
	printf '%q ' "$@"
	printf ')\nport=/dev/%s shell=%s term=%q rows=%q cols=%q\n' "$port" \
		"$shell" "${TERM:-dumb}" "${LINES:-25}" "${COLUMNS:-80}"
}

run_archive()
{
	local stage=$1/run

	shift
	mkdir -p "$stage/halfrst" "$stage/dev"
	mknod "$stage/dev/console" c 5 1
	mknod "$stage/dev/null" c 1 3
	cp -R "$here/out/tests" "$top/scripts" "$top/xtables-ext/service" \
		"$stage/halfrst"
	[ -z "$with" ] || cp -R "$with" "$stage/halfrst/with"
	job_file "$@" >"$stage/halfrst/job"
	install -m 755 "$top/scripts/lab.d/init" "$stage/init"
	if [ -f "$here/out/libxt_HALFRST.so" ]; then
		install -D -m 644 "$here/out/libxt_HALFRST.so" \
			"$stage/$(cat "$here/out/xtlibdir")/libxt_HALFRST.so"
	fi
	(cd "$stage" && find . -mindepth 1 | cpio --quiet -o -H newc)
}

# /dev/kvm may be there and never run a guest to its first line: try once.
accel()
{
	local log=$lab/log/kvm.log

	if [ ! -f "$lab/accel" ]; then
		echo tcg >"$lab/accel.$$"
		if [ -w /dev/kvm ]; then
			say "trying hardware virtualisation (once, up to 10 s)"
			: >"$log"
			timeout -k 2 10 qemu-system-x86_64 -accel kvm -cpu max \
				-nodefaults -display none -no-reboot -m 512 \
				-serial "file:$log" -kernel "$1" \
				-append 'console=ttyS0 panic=-1' \
				>/dev/null 2>&1 </dev/null || :
			! grep -q 'Kernel panic' "$log" || echo kvm >"$lab/accel.$$"
		fi
		mv "$lab/accel.$$" "$lab/accel"
	fi
	cat "$lab/accel"
}

# What a kernel says when something is wrong with it or with us
complaints='\b(WARNING|BUG|Oops|KASAN|KCSAN|UBSAN|KFENCE|ODEBUG)\b|possible (circular|recursive)|inconsistent lock state|invalid wait context|INFO: (task|rcu|trying)|rcu.*stall|suspicious RCU|unreferenced object|Call [Tt]race|Kernel panic|general protection|bad unlock balance|refcount_t:'
# and what only sounds like it
harmless='[Kk]ernel command line|Command line:|stall warnings timeout set to|Unprivileged eBPF is enabled'

cmd_run()
{
	local icount=0 smp=1 mem=1024 limit=300 out='' append='' kernel=''
	local set='' fresh=1 shell=0 more=() log='' root=root port console
	local with='' lean=0 disks=() name disk erms=,-erms
	local rc=0 tmp qemu=() virt bad

	[ $# -ge 1 ] || usage "run what?"
	pick_row "$1"
	shift
	while [ $# -gt 0 ]; do
		case $1 in
		--icount)	icount=1 ;;
		--no-build)	fresh=0 ;;
		--shell)	shell=1 ;;
		--smp)		smp=$2; shift ;;
		--mem)		mem=$2; shift ;;
		--limit)	limit=$2; shift ;;
		--out)		out=$2; shift ;;
		--append)	append=$2; shift ;;
		--qemu)		read -r -a more <<< "$2"; shift ;;
		--kernel)	kernel=$2; shift ;;
		--root)		set=$2; shift ;;
		--lean)		lean=1 ;;
		--erms)		erms='' ;;
		--log)		log=$2; shift ;;
		--with)		with=$2; shift ;;
		--disk)		disks+=("$2"); shift ;;
		--)		shift; break ;;
		-*)		usage "run: no option $1" ;;
		*)		break ;;
		esac
		shift
	done
	[ $# -gt 0 ] || [ $shell = 1 ] || usage "run which command?"
	[ $icount = 0 ] || [ "$smp" = 1 ] || usage "--icount has one CPU"
	[ $shell = 0 ] || limit=86400

	mkdir -p "$here" "$lab/log"
	: "${log:=$lab/log/$row.$$.log}"
	tmp=$(mktemp -d "$lab/run.XXXXXX")
	# shellcheck disable=SC2064 # $tmp is local
	trap "rm -rf '$tmp'" EXIT
	trap 'exit 130' INT TERM HUP

	port=ttyS1 console=ttyS0
	[ "$arch" = amd64 ] || port=hvc0 console=ttyAMA0
	: "${kernel:=$here}"

	# Nobody may rebuild while the parts of the guest are collected.
	exec 9>"$here/lock"
	flock 9
	[ $fresh = 0 ] || build "$set"
	[ -z "$set" ] || root=root-$set
	[ $lean = 0 ] || root=lean
	if [ ! -f "$here/$root.cpio" ] || [ ! -d "$here/out/tests" ]; then
		die 121 "$row is not built; see: lab build"
	fi
	[ $lean = 1 ] || python_archive "$here/$root" "$here/$root.pyc.cpio"
	{
		cat "$here/$root.cpio"
		[ $lean = 1 ] || cat "$here/$root.pyc.cpio"
		modules_archive "$kernel" "$(cat "$kernel/release")" "$tmp"
		run_archive "$tmp" "$@"
	} >"$tmp/initrd"
	rm -rf "$tmp/mod" "$tmp/run"
	exec 9>&-

	virt=tcg
	# a slab cache that is not merged with others can be counted; QEMU translates
	# a program anew for each address that it is loaded to. The kernel's tests of
	# its ciphers are four tenths of what a boot executes.
	append="cryptomgr.notests slab_nomerge norandmaps $append"
	append="console=$console panic=-1 oops=panic printk.time=1 $append"
	[ ! -f "$kernel/append" ] || append+=" $(cat "$kernel/append")"
	case $arch in
	amd64)
		[ $icount = 1 ] || virt=$(accel "$here/vmlinuz")
		qemu=(qemu-system-x86_64 -M pc -cpu max)
		# QEMU 7.2 miscomputes cmpxchg16b now and then, and copies a byte
		# at a time where a kernel thinks that this is fast
		[ "$virt" = kvm ] ||
			qemu=(qemu-system-x86_64 -M pc -cpu "max,-cx16$erms")
		qemu+=(-serial "chardev:log" -serial "chardev:out")
		# on a busy machine the IO-APIC's timer fails the kernel's test
		append+=" no_timer_check"
		;;
	arm64)
		qemu=(qemu-system-aarch64 -M virt -cpu cortex-a72
			-serial "chardev:log" -device virtio-serial-pci
			-device "virtconsole,chardev=out")
		;;
	esac
	if [ $icount = 1 ]; then
		qemu+=(-icount "shift=0,sleep=off" -seed 1
			-rtc "base=2025-01-01,clock=vm")
		append+=" tsc=reliable nokaslr mitigations=off"
		# a third of the boot is the local APIC timer's calibration,
		# and a kernel of one's own may have no other good one
		[ "$arch $kernel" != "amd64 $here" ] || append+=" nolapic_timer"
	fi
	truncate -s 4G "$tmp/disk"
	# sockets: the MP table, all that a kernel without ACPI has, has no cores
	qemu+=(-accel "$virt" -smp "$smp,sockets=$smp" -m "$mem" -nodefaults -display none
		-no-reboot -kernel "$kernel/vmlinuz" -initrd "$tmp/initrd"
		-append "$append" -chardev "file,id=log,path=$log"
		-chardev "stdio,id=out,signal=off"
		-drive "file=$tmp/disk,format=raw,if=none,id=d,cache=unsafe"
		-device "virtio-blk-pci,drive=d,romfile=" "${more[@]}")
	for disk in "${disks[@]}"; do
		name=${disk%%=*} disk=${disk#*=}
		if [ -d "$disk" ]; then
			tar -cf "$tmp/$name.tar" -C "$disk" .
			disk=$tmp/$name.tar
		fi
		truncate -s %1M "$disk"	# of whole sectors
		qemu+=(-drive "file=$disk,format=raw,if=none,id=$name,readonly=on"
			-device "virtio-blk-pci,drive=$name,serial=$name,romfile=")
	done
	if [ $shell = 1 ]; then
		"${qemu[@]}" || rc=$?
	else
		# in the background, so that a signal to this script is
		# acted upon at once and takes the guest with it
		timeout -k 5 "$limit" "${qemu[@]}" </dev/null &
		trap 'kill $! 2>/dev/null; exit 130' INT TERM HUP
		wait $! || rc=$?
	fi
	give_back "$log"
	if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
		say "not finished after $limit s; end of $log:"
		tail -n 25 "$log" >&2
		exit 124
	fi
	# a cache that could not be made is no mistake, but has a stack trace; and a
	# race is Linux's own if neither of its stacks has a function of HALFRST's, or
	# if TCP's lookup meets a port that is given back, as it may for any segment:
	# it asks again once it has the socket (marked since Linux 29252397bcc1)
	if bad=$(awk '
		/kmem_cache_create.*\(halfrst_watch\) failed/ { asked = 1 }
		asked && /Call Trace/ { asked = 0; next }
		/BUG: KCSAN/ { race = NR ":" $0 }
		/ __inet6?_lookup_established \/ .*inet_put_port/ { race = "" }
		race && /\]  .*(halfrst|HALFRST)/ { print race; race = "" }
		/BUG: KCSAN/ { next }
		/==========/ { race = "" }
		{ print NR ":" $0 }
		END { if (race) print race }' "$log" |
			grep -E "$complaints" | grep -vE "$harmless"); then
		say "the kernel complained, $log:"
		sed -n "$(echo "$bad" | sed -n '1s/:.*//p'),+60p" "$log" >&2
		exit 125
	fi
	tar -xf "$tmp/disk" -C "$tmp" 2>/dev/null || rm -f "$tmp/status"
	if [ $rc -ne 0 ] || [ ! -s "$tmp/status" ]; then
		say "the guest ended without a result (QEMU: $rc); end of $log:"
		tail -n 25 "$log" >&2
		exit 123
	fi
	if [ -n "$out" ]; then
		mkdir -p "$out"
		cp -R "$tmp/out/." "$out"
		give_back "$out"
	fi
	exit "$(cat "$tmp/status")"
}
