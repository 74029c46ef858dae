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
# The pid that has a role, or nothing.
pid_of() {
	case $1 in
	parent) systemctl show -P MainPID dvm-restored | grep -vx 0 ;;
	*) pgrep -f -- "--role $1 " ;;
	esac
}
is_another() {
	pid=$(pid_of "$1") && [ "$pid" != "$2" ]
}
# What the service itself has said, by now; since `mark`.
log() {
	journalctl -q --no-pager -o cat _SYSTEMD_UNIT=dvm-restored.service
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
systemctl is-active dvm-restored >$out && said >>$out && grep -q ready $out
ok $? "returns when the service is ready"
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

keep dvm run tiny
ok $? "a disposable that runs while the service is killed"
for role in front core parent; do
	pid=$(pid_of $role)
	kill -9 "$pid"
	wait_for 60 is_another $role "$pid" && wait_for 60 runs "$name"
	ok $? "$role is killed: it is back, and has the disposable again"
done
does alice dvm run tiny -- echo on && grep -qx on $out
ok $? "and launches go on"
does wait_for 60 dvm status --check
ok $? "all is clean"

does systemctl restart dvm-restored
ok $? "systemctl restart"
gone "$name" && ! wait $kept && does alice dvm ls &&
    grep -q 'no disposables' $out
ok $? "has ended what ran, and its user's dvm"
keep dvm run tiny
does systemctl stop dvm-restored.socket dvm-restored
ok $? "systemctl stop, with a disposable"
gone "$name" && ! wait $kept && nothing_held 2>$out
ok $? "leaves nothing"
[ "$(systemctl show -P Result dvm-restored)" = success ]
ok $? "and has not failed"
[ -z "$(pgrep -f /dvm-restored)" ] && ! does dvm ls
ok $? "no process either"
does systemctl start dvm-restored.socket &&
    ! systemctl -q is-active dvm-restored && does alice dvm ls &&
    systemctl -q is-active dvm-restored
ok $? "a client of the socket starts it"
does systemctl stop dvm-restored.socket dvm-restored
finish
