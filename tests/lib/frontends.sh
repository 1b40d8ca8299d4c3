# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# HALFRST's rules by each front end of iptables. To be sourced.
# shellcheck disable=SC2034 # for who sources it

tmp=$(mktemp -d /tmp/frontends.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
. ../lib/tap.sh
export MALLOC_PERTURB_=90	# who reads what it has freed falls

same()
{
	if [ "$1" != "$2" ]; then
		echo "got:  $1"
		echo "want: $2"
		return 1
	fi
}

has()
{
	case $1 in
	*"$2"*)	;;
	*)	echo "got:  $1"
		echo "lack: $2"
		return 1 ;;
	esac
}

rules()
{
	# 1.8.7's nft has a blank behind a rule without a target
	"$ipt" -t mangle -S INPUT | sed -n '/^-A/s/ *$//p'
}

backends='legacy nft'
if ! iptables-legacy -t mangle -S >/dev/null 2>&1; then
	backends=nft
	skip 'the legacy front end' 'this kernel has no legacy tables'
fi

# each_front_end CMD: for iptables and ip6tables of each backend, which $ipt names
each_front_end()
{
	local backend family

	for backend in $backends; do
		for family in iptables ip6tables; do
			ipt=$family-$backend
			"$@"
		done
	done
}
