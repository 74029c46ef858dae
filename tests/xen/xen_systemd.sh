#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# xen_systemd.sh: in a dom0 whose init is systemd, with the template tiny
# prepared and what `make install` installs: the units as README has them
# enabled, used by a user of the group dvm; killed, restarted, stopped.
# Ends with "N passed, N failed".
set -u
out=/tmp/systemd.out
. "$(dirname "$0")/xen_lib.sh"
home=/tmp/alice
units="dvm-front dvm-couriers dvm-restored"

# does COMMAND...: what it says is in $out
does() {
	"$@" >$out 2>&1
}
# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	tries=$(($1 * 5))
	shift
	until "$@" >$out 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.2
	done
}
alice() {
	timeout 120 runuser -u alice -- "$@"
}
# What a disposable, or a template that is held open, may have.
held() {
	xl list | awk 'NR > 1 && $2 != 0'
	dmsetup ls | grep '^dvm-'
	losetup -a
	xenstore-ls -f | grep -E \
	    '^/local/domain/([1-9]|0/backend/[a-z]+/[0-9]+/)|^/libxl/[1-9]'
}
nothing_held() {
	[ -z "$(held | tee /dev/stderr)" ]
}
running() {
	dvm ls | awk '$0 ~ "running" { print $1; n++ } END { exit n == 0 }'
}
runs() {
	running | grep -q "^$1$"
}
gone() {
	! xl list | grep -q "^$1 "
}
# keep COMMAND...: a disposable of alice's: $name, and her dvm $kept
keep() {
	alice "$@" >$out.kept 2>&1 </dev/null &
	kept=$!
	wait_for 60 running && name=$(running | head -n 1)
}
no_process() {
	! pgrep -af /dvm-restored
}
# The main process of a unit, or nothing.
pid_of() {
	systemctl show -P MainPID "$1" | grep -vx 0
}
# may UNIT UID CAPABILITIES: what its process is and can, behind a filter
may() {
	awk -v uid="$2" -v caps="$3" '
	/^Uid:/ { good += $2 == uid && $3 == uid }
	/^Cap(Eff|Prm):/ { good += $2 == caps }
	/^CapBnd:/ { good += $2 == caps || $2 == "0000000000000000" }
	/^(NoNewPrivs|Seccomp):/ { good += $2 != 0 }
	{ print } END { exit good != 6 }' "/proc/$(pid_of "$1")/status" >$out
}
is_another() {
	pid=$(pid_of "$1") && [ "$pid" != "$2" ]
}
# What the service itself has said, by now; since `mark`.
log() {
	journalctl -q --no-pager -o cat _SYSTEMD_UNIT=dvm-restored.service \
	    _SYSTEMD_UNIT=dvm-front.service _SYSTEMD_UNIT=dvm-couriers.service
}
mark() {
	nr_before=$(log | wc -l)
}
said() {
	journalctl --sync
	log | tail -n "+$((nr_before + 1))"
}

trap 'systemctl stop dvm-restored.socket dvm-restored' EXIT
mark
does systemctl daemon-reload && does systemctl enable --now dvm-restored.socket dvm-restored
ok $? "systemctl enable --now"
systemctl is-active $units >$out && does timeout 20 dvm ls
ok $? "returns when the service is ready"
may dvm-front "$(id -u dvm-front)" 0000000000000000
ok $? "front is a user of its own and can nothing"
may dvm-restored 0 0000000000200004
ok $? "core is root with SYS_ADMIN and DAC_READ_SEARCH"
may dvm-couriers 0 00000000000001e0
ok $? "the stock of couriers is root with KILL and what lets them become nobody"
does alice dvm ls && grep -q 'no disposables' $out
ok $? "a user of the group dvm may ask"
does runuser -u nobody -- dvm ls
[ $? -ne 0 ] && grep -q 'group dvm' $out
ok $? "nobody else may"

mark
echo stdin | alice dvm run tiny -- sh -c 'cat; echo hi; echo err >&2; exit 7' \
    >$out 2>$out.2
[ $? -eq 7 ] && [ "$(cat $out $out.2)" = "stdin
hi
err" ]
ok $? "dvm run: its stdio and its exit status"
mkdir -p $home && echo 'teh quick brown fox' >$home/note.txt
chown -R alice: $home
does alice dvm open --template tiny $home/note.txt &&
    [ "$(cat $home/note.txt)" = 'the quick brown fox' ]
ok $? "dvm open: the file comes back changed"
does wait_for 60 dvm status --check
ok $? "dvm status --check is clean"
said >$out
! grep -v '^dvm-restored: [a-z]' $out >&2 &&
    [ "$(grep -c 'launch=.* template=tiny uid=' $out)" -eq 2 ] &&
    [ "$(grep -c 'launch=.* gone after' $out)" -eq 2 ]
ok $? "the journal has a line for each event, and no others"
does dvm-restored
[ $? -eq 5 ] && grep -q another $out
ok $? "a second instance refuses"

alice dvm run tiny -- sh -c 'echo begin; sleep 9; echo end; exit 8' >$out.2 \
    2>$out &
kept=$!
wait_for 60 grep -q begin $out.2
pid=$(pid_of dvm-restored)
couriers=$(pid_of dvm-couriers)
kill -9 "$pid"
wait $kept
[ $? -eq 8 ] && grep -qx end $out.2
ok $? "core is killed: a program that ran in a disposable still runs"
is_another dvm-restored "$pid" && ! is_another dvm-couriers "$couriers"
ok $? "and core is another, couriers are not"

keep dvm run tiny
ok $? "a disposable that runs while the service is killed"
for unit in $units; do
	pid=$(pid_of $unit)
	kill -9 "$pid"
	wait_for 60 is_another $unit "$pid" && wait_for 60 runs "$name"
	ok $? "$unit is killed: it is back, and the disposable is still held"
done
does alice dvm run tiny -- echo on && grep -qx on $out
ok $? "and launches go on"
does wait_for 60 dvm status --check
ok $? "all is clean"

cp /guests/tiny.cfg $out.cfg
echo '# changed' >>/guests/tiny.cfg
does systemctl enable --now dvm-cold-boot.socket
ok $? "cold boots are allowed by a socket unit"
does alice dvm run tiny -- echo cold && grep -qx cold $out &&
    grep -q 'booting cold' $out
ok $? "and a template whose image is stale boots"
does systemctl disable --now dvm-cold-boot.socket dvm-cold-boot.service
cp $out.cfg /guests/tiny.cfg
does alice dvm run tiny -- echo on && [ "$(cat $out)" = on ]
ok $? "as it was, it is launched again"

pid=$(pid_of dvm-couriers)
does systemctl restart dvm-restored
ok $? "systemctl restart"
gone "$name" && ! wait $kept && does alice dvm ls &&
    grep -q 'no disposables' $out
ok $? "has ended what ran, and its user's dvm"
wait_for 60 is_another dvm-couriers "$pid"
ok $? "and couriers are others too"
keep dvm run tiny
does systemctl stop dvm-restored.socket dvm-restored
ok $? "systemctl stop, with a disposable"
gone "$name" && ! wait $kept && nothing_held 2>$out
ok $? "leaves nothing"
[ "$(systemctl show -P Result dvm-restored)" = success ]
ok $? "and has not failed"
wait_for 60 no_process && ! does dvm ls
ok $? "no process either"
does systemctl start dvm-restored.socket &&
    ! systemctl -q is-active dvm-restored && does alice dvm ls &&
    systemctl -q is-active dvm-restored
ok $? "a client of the socket starts it"
does systemctl stop dvm-restored.socket && wait_for 60 no_process &&
    wait_for 60 nothing_held
ok $? "and stopping the socket ends all"
finish
