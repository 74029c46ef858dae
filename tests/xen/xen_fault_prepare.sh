#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# xen_fault_prepare.sh [NUMBER [SEED]]: in dom0, with tiny prepared: kills
# dvm-prepare --force at NUMBER (8) moments spread over its run, TERM and KILL
# by turns, and fills its file system, at two sizes. After each the previous
# generation is current and valid, and no domain, loop or dm device, xenstore
# node or file is left. Ends with "N passed, N failed"; results go to the file
# $SHOWN if that is set.
set -u
number=${1:-8}
seed=${2:-$(date +%s)}
state=/var/lib/dvm
out=/tmp/fault.out
. "$(dirname "$0")/xen_lib.sh"

# Everything by listing; equal before and after.
world() {
	xl list 2>/dev/null | awk 'NR > 1 {print "domain", $1, $2}'
	dmsetup ls 2>/dev/null | awk '{print "dm", $1}'
	losetup -a
	ls -d "$dir"/*/* "$dir"/*
	readlink "$dir/tiny/current"
	ls /var/lib/xen
	xenstore-ls -f /vm 2>/dev/null | cut -d ' ' -f 1
	xenstore-ls -f /libxl 2>/dev/null | cut -d ' ' -f 1 | grep '/.*/'
	xenstore-ls -f /local/domain 2>/dev/null | cut -d ' ' -f 1 |
	    grep '^/local/domain/0/backend/[a-z]*/' ||:
	pgrep -x dvm-prepare
}
# After KILL the watchdog needs a moment: at most a minute.
same_world() {
	waited=0
	while world >$out.after; ! cmp -s $out.before $out.after; do
		waited=$((waited + 1))
		if [ $waited -gt 60 ]; then
			diff $out.before $out.after >>$out
			return 1
		fi
		sleep 1
	done
	echo "(clean after $waited s)"
}
now() {
	date +%s%N | cut -b 1-13
}
# still_valid: the previous generation is what a new run finds up to date
still_valid() {
	dvm-prepare --state-dir "$dir" /guests/tiny.cfg >$out 2>&1 &&
	    grep -q "up to date" $out
}

dir=$state
start=$(now)
# Under emulation a guest now and then dies in its first seconds.
dvm-prepare --force --keep 0 /guests/tiny.cfg >$out 2>&1 || {
	start=$(now)
	dvm-prepare --force --keep 0 /guests/tiny.cfg >$out 2>&1
}
ok $? "control: without a fault it is prepared"
took=$(($(now) - start))
echo "one run takes $took ms"
world >$out.before
lost=0
i=0
while [ $i -lt "$number" ]; do
	# In the middle of nowhere within the i-th part of the run, but for its
	# end: between the commit and the exit the new generation is current.
	delay=$(awk -v seed="$seed" -v i=$i -v n="$number" -v t=$took 'BEGIN {
		srand(seed + i)
		printf "%.3f", t * (i + rand()) / n * 0.95 / 1000 }')
	signal=TERM
	[ $((i % 2)) -eq 0 ] || signal=KILL
	dvm-prepare --force --keep 0 /guests/tiny.cfg >$out 2>&1 &
	pid=$!
	sleep "$delay"
	if kill -$signal $pid 2>/dev/null; then
		wait $pid 2>/dev/null
		status=$?
		[ $status -eq 130 ] || [ $status -eq 137 ]
		ok $? "$signal after $delay s: status $status"
		same_world
		clean=$?
		ok $clean "nothing is left"
		still_valid
		valid=$?
		ok $valid "the previous generation is current and valid"
		[ $clean -eq 0 ] && [ $valid -eq 0 ] || lost=$((lost + 1))
		i=$((i + 1))
	else
		# This run was faster than the first: take its end as the new
		# length, and its result as the new start.
		wait $pid
		echo "# this run was faster: once more"
		took=$((took * 9 / 10))
		world >$out.before
	fi
done

# The present generation and no more than so many further MB.  Other templates
# may lie beside it.
tried=$number
dir=/tmp/full
used=$(du -smc $state/host.key $state/tiny | tail -n 1 | cut -f 1)
for spare in 1 12; do
	mkdir -p $dir
	mount -t tmpfs -o size=$((used + spare))m,mode=700 full $dir
	cp -a $state/host.key $state/tiny $dir/
	world >$out.before
	dvm-prepare --force --state-dir $dir /guests/tiny.cfg >$out 2>&1
	status=$?
	tail -n 1 $out
	[ $status -ne 0 ] && grep -q "is full" $out
	said=$?
	ok $said "$spare MB to spare: an error that says so"
	same_world
	clean=$?
	ok $clean "nothing is left"
	still_valid
	valid=$?
	ok $valid "the previous generation is current and valid"
	[ $said -eq 0 ] && [ $clean -eq 0 ] && [ $valid -eq 0 ] ||
	    lost=$((lost + 1))
	tried=$((tried + 1))
	umount $dir
	rmdir $dir
done
shown fault_prepare "$tried" $lost "$seed"

finish
