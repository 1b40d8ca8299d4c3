#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
set -eu
cd "$(dirname "$0")"
. ./contenders.sh
export front_end on_fin
export -f rules chain
bystander()
{
	local name=$1; shift
	front_end=${front_end} unshare -n bash -eu -c 'ip link set lo up; eval "$1"; ./packets 3000 >/dev/null; ./packets 5000' - "$*" | sed "s/^/packets $front_end $name: /"
}
resetter()
{
	local name=$1; shift
	unshare -n bash -eu -c 'ip link set lo up; eval "$1"; ./resets '"${opt:-}"' 101' - "$*" | sed "s/^/reset $front_end $name: /"
}
modprobe xt_HALFRST
for front_end in iptables-legacy iptables-nft; do
export front_end
bystander nothing :
bystander 'flags, no target, 1' 'rules 1 INPUT $on_fin'
bystander 'flags, HALFRST, 1' 'rules 1 INPUT $on_fin -j HALFRST'
bystander 'no target, 1' 'rules 1 INPUT -p tcp'
bystander 'HALFRST, 1' 'rules 1 INPUT -p tcp -j HALFRST'
bystander 'flags, no target, 50' 'rules 50 INPUT $on_fin'
bystander 'flags, HALFRST, 50' 'rules 50 INPUT $on_fin -j HALFRST'
bystander 'no target, 50' 'rules 50 INPUT -p tcp'
bystander 'HALFRST, 50' 'rules 50 INPUT -p tcp -j HALFRST'
bystander 'chain' 'chain'
opt=-r resetter 'floor' :
opt=-r resetter 'floor, rule without target' 'rules 1 INPUT $on_fin'
opt=-r resetter 'floor, rule' 'rules 1 INPUT $on_fin -j HALFRST'
resetter 'HALFRST' 'rules 1 INPUT $on_fin -j HALFRST'
resetter 'HALFRST uid' 'rules 1 INPUT $on_fin -j HALFRST --uid-owner 0'
resetter 'chain' 'chain'
opt='-w 3000' resetter 'nothing' :
done
