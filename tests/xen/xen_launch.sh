#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# xen_launch.sh: in dom0, with the template tiny prepared: what a launch does
# for its user and for xl, what it refuses, and that it leaves nothing behind.
# Ends with "N passed, N failed".
set -u
state=/var/lib/dvm
out=/tmp/launch.out
. "$(dirname "$0")/xen_lib.sh"

# All that a disposable may hold, by listing; empty when nothing is held.
# A dying domain is still being taken apart by Xen.
held() {
	xl list 2>/dev/null | awk 'NR > 1 && $2 != 0'
	xenstore-ls -f /local/domain 2>/dev/null |
	    grep -E '^/local/domain/([1-9]|0/backend/[a-z]+/[0-9]+/)'
	dmsetup ls 2>/dev/null | grep '^dvm-'
	losetup -a
	xenstore-ls -f /libxl 2>/dev/null | grep -v '^/libxl/0' | grep .
}
nothing_held() {
	i=0
	while [ $i -lt 150 ] && [ -n "$(held)" ]; do
		i=$((i + 1))
		sleep 0.2
	done
	held >$out.held
	[ ! -s $out.held ] || { cp $out.held $out; return 1; }
}
# once WANTED-STATUS ARGS...: runs and checks the exit status.
once() {
	want=$1
	shift
	timeout 900 dvm-restored --once "$@" >$out 2>&1
	[ $? -eq "$want" ]
}
# A kept disposable in the background; its name in $name, its pid in $pid.
keep() {
	dvm-restored --once tiny >$out 2>&1 &
	pid=$!
	i=0
	name=
	while [ -z "$name" ] && [ $i -lt 300 ]; do
		sleep 0.2
		i=$((i + 1))
		name=$(awk '/^disp/ {print $1; exit}' $out)
	done
	[ -n "$name" ]
}

fifo=/tmp/launch.fifo
rm -f $fifo
mkfifo $fifo
sleep 3600 >$fifo &
sleeper=$!
trap 'kill $sleeper; rm -f $fifo' EXIT
image=$(sha256sum </guests/tiny.img)
held >$out.before
[ ! -s $out.before ]; ok $? "dom0 is clean before"

once 0 tiny --destroy-after 0 --timings && grep -q 'answered after' $out
ok $? "a disposable runs, answers and is destroyed"
nothing_held; ok $? "nothing is left"
once 0 /guests/tiny.cfg --destroy-after 0 --json &&
    python3 -c "import json; d = json.load(open('$out'))
assert d['stages_s']['answer'] > d['stages_s']['unpause'] > 0
assert d['bytes_copied'] >= d['data_bytes'] > 0"
ok $? "the template's path and --json do too"
mkdir -p /tmp/other && cp /guests/tiny.cfg /tmp/other/tiny.cfg
once 4 /tmp/other/tiny.cfg && grep -q /guests/tiny.cfg $out
ok $? "another file of the same name: 4, with the one it was prepared from"
once 0 tiny --count 5 --destroy-after 3 &&
    [ "$(awk '{print $1}' $out | sort -u | wc -l)" -eq 5 ]
ok $? "five siblings, five names"
nothing_held; ok $? "nothing is left of five"
# Two launchers at once, each with disks of its own.
dvm-restored --once tiny --count 4 --destroy-after 0 >$out.two 2>&1 &
two=$!
once 0 tiny --count 4 --destroy-after 0; ok $? "one of two launchers at once"
wait $two; status=$?
cp $out.two $out
ok $status "and the other"
nothing_held; ok $? "nothing is left of either"

keep; ok $? "a disposable is kept"
xl list "$name" >$out 2>&1 && grep -q "^$name " $out
ok $? "xl list shows $name"
[ "$(xl domname "$(xl domid "$name")")" = "$name" ]
ok $? "xl domid and domname agree"
# The guest's shell is on its console: what it is told there goes to its disk
# and comes back from it.
in_guest() {
	printf '%s\n' "$1" >"$(xenstore-read \
	    "/local/domain/$(xl domid "$name")/console/tty")"
}
console_says() {
	i=0
	while ! grep -q "$1" "/var/log/xen/console/guest-$name.log"; do
		i=$((i + 1))
		[ $i -lt 150 ] || {
			tail -n 5 "/var/log/xen/console/guest-$name.log" >$out
			return 1
		}
		sleep 0.2
	done
}
in_guest 'echo it was "written" >/mnt/f; sync; sync;
echo 3 >/proc/sys/vm/drop_caches; cat /mnt/f'
console_says '^it was written'; ok $? "its disk takes a write and gives it back"
# It stays attached until it is ended: 124 is timeout's own.
timeout 10 script -qec "xl console $name" /dev/null <$fifo >$out 2>&1
[ $? -eq 124 ] && ! grep -qi 'unable\|error\|fail' $out
ok $? "xl console attaches"
xl pause "$name" >$out 2>&1 && xl unpause "$name" >>$out 2>&1 && [ ! -s $out ]
ok $? "xl pause and unpause say nothing"
xl destroy "$name" >$out 2>&1 && [ ! -s $out ]
ok $? "xl destroy says nothing"
wait $pid
ok $? "the launcher notices and ends with 0"
nothing_held; ok $? "nothing is left after xl destroy"

keep && in_guest 'ls "/mnt/f" || echo it is "absent"'
console_says '^it is absent'; ok $? "a sibling's disk has nothing of it"
timeout 120 xl shutdown -w "$name" >$out.sd 2>&1
status=$?
cp $out.sd $out
[ $status -eq 0 ] && ! grep -qi 'error\|fail\|warn' $out
ok $? "xl shutdown works"
wait $pid; ok $? "the launcher ends with 0 after a shutdown"
nothing_held; ok $? "nothing is left after a shutdown"

keep && kill -INT $pid; wait $pid; [ $? -eq 130 ]
ok $? "an interrupt ends it with 130"
nothing_held; ok $? "nothing is left after an interrupt"

keep && kill -KILL $pid; wait $pid; [ -n "$(held)" ]
ok $? "control: a launcher that is killed leaves $name"
once 0 tiny --destroy-after 0 && grep -q 'a killed launcher' $out
ok $? "the next one removes that, and says so"
nothing_held; ok $? "nothing is left after a kill"

{ dvm-restored --once tiny --count 3 --destroy-after 60
	echo $? >$out; } 2>/dev/null | head -n 1 >/dev/null
[ "$(cat $out)" -eq 1 ]; ok $? "a reader that goes away ends it with 1"
nothing_held; ok $? "nothing is left after that"

once 4 no-such-template; ok $? "a template that was never prepared: 4"
once 2 tiny --count x; ok $? "a bad number: 2"
gen=$(readlink -f $state/tiny/current)
cp /guests/tiny.img /tmp/tiny.img.keep
stamp=$(stat -c %y /guests/tiny.img)
touch /guests/tiny.img
once 4 tiny && grep -q 'disk' $out; ok $? "a disk that changed: 4, named"
nothing_held; ok $? "nothing is left"
rm /tmp/tiny.img.keep
dvm-prepare --quiet /guests/tiny.cfg >$out 2>&1
ok $? "prepared again (the disk's stamp was $stamp)"
gen=$(readlink -f $state/tiny/current)
cp "$gen/savefile" /tmp/savefile.keep
flip() {
	python3 - "$gen/savefile" "$1" <<'P'
import sys
f = open(sys.argv[1], "r+b")
f.seek(int(sys.argv[2]) if int(sys.argv[2]) >= 0 else 0,
       0 if int(sys.argv[2]) >= 0 else 2)
if int(sys.argv[2]) < 0:
    f.seek(int(sys.argv[2]), 2)
b = f.read(1)
f.seek(-1, 1)
f.write(bytes([b[0] ^ 1]))
P
}
flip 5000
once 3 tiny; ok $? "a flipped bit in the state: 3"
cp /tmp/savefile.keep "$gen/savefile"
flip -4096
once 3 tiny; ok $? "a flipped bit in the data: 3"
nothing_held; ok $? "nothing is left of either"
cp /tmp/savefile.keep "$gen/savefile"
truncate -s -1 "$gen/savefile"
once 3 tiny; ok $? "a truncated file: 3"
cp /tmp/savefile.keep "$gen/savefile"
mv $state/host.key /tmp/host.key
head -c 32 /dev/urandom >$state/host.key
chmod 600 $state/host.key
once 3 tiny; ok $? "another host's key: 3"
mv /tmp/host.key $state/host.key
nothing_held; ok $? "nothing is left of it"

once 6 tiny --count 200 && grep -q 'MiB' $out
ok $? "when memory is out: 6, with the figures"
nothing_held; ok $? "nothing is left of $(grep -c '^disp' $out) domains"
modprobe -r xen-blkback >$out 2>&1; ok $? "the block backend is unloaded"
once 7 tiny && grep -q backend $out; ok $? "without it: 7, named"
modprobe xen-blkback
nothing_held; ok $? "nothing is left"
[ "$(sha256sum </guests/tiny.img)" = "$image" ]
ok $? "the template's disk is as it was"
once 0 tiny --destroy-after 0; ok $? "and after all that it still launches"
finish
