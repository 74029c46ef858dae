#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# xen_prepare.sh [--full]: in dom0, with the agent installed in the guests:
# what dvm-prepare makes of tiny (with --full also of debian), that it leaves
# the template's files alone and nothing else behind, and what it refuses.
# Leaves a prepared tiny. Ends with "N passed, N failed"; results go to the
# file $SHOWN if that is set.
set -u
state=/var/lib/dvm
out=/tmp/prepare.out
. "$(dirname "$0")/xen_lib.sh"
full=
[ "${1-}" != --full ] || full=1

# prepare WANTED-STATUS ARGS...  Under emulation a guest now and then dies in
# its first seconds of a triple fault; that is tried again.
prepare() {
	want=$1
	shift
	for try in 1 2 3; do
		dvm-prepare "$@" >$out 2>&1
		got=$?
		grep -q "the guest ended" $out || break
		echo "# try $try: the guest died"
	done
	echo "exit status $got, wanted $want" >>$out
	[ "$got" -eq "$want" ]
}
# What a preparation may hold, by listing; empty when nothing is held.
held() {
	xl list 2>/dev/null | awk '/-prepare/'
	dmsetup ls 2>/dev/null | grep '^dvm-p-'
	losetup -a | grep -e /tmp- -e /guests/
	ls -d $state/*/tmp-* $state/*/current.new 2>/dev/null
	find /var/lib/xen -name 'userdata-*64766d70*'
	xenstore-ls -f /vm 2>/dev/null | grep '^/vm/64766d70'
}
nothing_held() {
	held >$out.held
	[ ! -s $out.held ] || { cp $out.held $out; return 1; }
}
current() {
	readlink "$state/$1/current"
}
generations() {
	find "$state/$1" -name "gen-*" | wc -l
}
says() {
	grep -q "$1" $out
}
# refused CLAIM CONFIG-LINE...: tiny.cfg with the line is refused as input
refused() {
	claim=$1
	shift
	{ cat /guests/tiny.cfg; printf '%s\n' "$@"; } >/guests/refused.cfg
	prepare 3 /guests/refused.cfg
	ok $? "$claim"
	rm -f /guests/refused.cfg
}

# Of the disks that are prepared, and no more: debian's takes a minute.
disks=/guests/tiny.img
hash_disks() {
	# shellcheck disable=SC2086 # the list is meant to split
	sha256sum $disks
}

rm -rf $state/tiny
before=$(hash_disks)
prepare 0 /guests/tiny.cfg
ok $? "tiny is prepared"
cat $out
nothing_held
ok $? "nothing is left"
gen=$(current tiny)
[ -s "$state/tiny/$gen/savefile" ] && [ -s "$state/tiny/$gen/xvda.delta" ]
ok $? "a generation is current, with a savefile and a delta"
[ "$(stat -c %a $state/tiny "$state/tiny/$gen/savefile" | tr '\n' ' ')" = \
    "700 600 " ]
ok $? "only root may read it"
prepare 0 /guests/tiny.cfg && says "up to date"
ok $? "again: up to date"
[ "$(current tiny)" = "$gen" ]
ok $? "and the same one is current"
cd /guests && prepare 0 --json --quiet tiny.cfg
sed '/^exit status/d' $out >$out.json
python3 -c 'import json, sys
assert json.load(open(sys.argv[1]))["up_to_date"] is True' $out.json
ok $? "--json, by a relative path: one JSON object"
prepare 0 --force --keep 1 --codec raw /guests/tiny.cfg
ok $? "--force prepares it again, --codec raw"
[ "$(current tiny)" != "$gen" ] && [ "$(generations tiny)" -eq 2 ]
ok $? "the new one is current and the old one is kept"
prepare 0 --keep 0 /guests/tiny.cfg && [ "$(generations tiny)" -eq 1 ]
ok $? "--keep 0 keeps no old one"
nothing_held
ok $? "nothing is left"

refused "a network interface is refused" 'vif = [ "" ]'
refused "an HVM guest is refused" 'type = "hvm"'
refused "a device model's device is refused" 'vfb = [ "vnc=1" ]'
refused "qcow2 is refused" 'disk = [ "qcow2:/guests/tiny.img,xvda,w" ]'
refused "a missing kernel is refused" 'kernel = "/guests/none"'
prepare 2 --codec zip /guests/tiny.cfg
ok $? "an unknown codec is a usage error"
prepare 3 /guests/none.cfg
ok $? "a missing configuration is an error that names it"

gen=$(current tiny)
dvm-prepare --force --settle-timeout 400 /guests/tiny.cfg >$out.1 2>&1 &
first=$!
# It is at it when its domain is there.
tries=300
until xl list 2>/dev/null | grep -q -e -prepare; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] && kill -0 $first 2>/dev/null || break
	sleep 0.2
done
prepare 5 --force /guests/tiny.cfg && says "already"
ok $? "a second preparation at once is busy"
kill -TERM $first
wait $first
status=$?
cp $out.1 $out
[ $status -eq 130 ]
ok $? "SIGTERM ends it with status 130"
nothing_held
ok $? "nothing is left"
[ "$(current tiny)" = "$gen" ]
ok $? "the previous generation is current"
[ -f $state/tiny/lock ] && prepare 7 --force --settle-timeout 1 \
    /guests/tiny.cfg && says dvm-agent
ok $? "without a word from the agent it gives up and says what to look at"
nothing_held
ok $? "nothing is left"

[ "$(hash_disks)" = "$before" ]
ok $? "the template's disk is as it was"
rm -rf $state/two
truncate -s 4M /guests/two.img
disks="$disks /guests/two.img"
[ -z "$full" ] || disks="$disks /guests/debian.img"
before=$(hash_disks)
{
	cat /guests/tiny.cfg
	echo 'vcpus = 2'
	echo 'disk = [ "/guests/tiny.img,raw,xvda,w",' \
	    '"/guests/two.img,raw,xvdb,r" ]'
} >/guests/two.cfg
prepare 0 --json --codec raw /guests/two.cfg
ok $? "a guest with two virtual CPUs and two disks is prepared"
cat $out
[ "$(find $state/two/gen-* -name 'xvd?.delta' | wc -l)" -eq 2 ]
ok $? "it has two deltas"
nothing_held
ok $? "nothing is left"

nr=2
if [ -n "$full" ]; then
	rm -rf $state/debian
	prepare 0 --settle-timeout 1200 /guests/debian.cfg
	ok $? "debian is prepared"
	cat $out
	nothing_held
	ok $? "nothing is left"
	nr=3
fi
[ "$(hash_disks)" = "$before" ]
ok $? "the templates' disks are as they were"
lost=0
[ "$(hash_disks)" = "$before" ] || lost=$nr
shown disk_untouched $nr $lost -
rm -rf $state/two /guests/two.cfg /guests/two.img

finish
