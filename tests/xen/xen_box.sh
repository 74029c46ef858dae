#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tests scripts/box itself: commands, files, limits, saved state, the guest
# tiny. Starts its own box and ends it; refuses to touch one that runs. Takes
# a few minutes. Prints TAP and, last, "N passed, N failed".
set -u

box=$(cd "$(dirname "$0")/../../scripts" && pwd)/box
run=${DVM_BOX_RUN:-/run/dvm-box}
work=$(mktemp -d)
passed=0
failed=0

# check TITLE COMMAND...: one test, passed if the command succeeds
check() {
	title=$1
	shift
	if "$@" >"$work/log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $title"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $title"
		sed 's/^/# /' "$work/log" | tail -n 20
	fi
}

status_is() {
	wanted=$1
	shift
	"$@"
	got=$?
	echo "status $got, wanted $wanted"
	[ "$got" -eq "$wanted" ]
}

output_is() {
	wanted=$1
	shift
	got=$("$@") && echo "got: $got" && [ "$got" = "$wanted" ]
}

if "$box" status >/dev/null 2>&1; then
	echo "Bail out! a box is running; end it first: scripts/box down"
	exit 1
fi
trap '"$box" down; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

check "run without a box is refused" status_is 126 "$box" run true
"$box" up || { echo "Bail out! the box does not start"; exit 1; }
check "status says it runs" "$box" status
check "a second up is refused" status_is 125 "$box" up
check "the refused up did no harm" "$box" run true

check "one word goes to the shell as it is" output_is 3 "$box" run 'echo $((1 + 2))'
check "several words arrive as they are" \
	output_is 'a  b $HOME ;' "$box" run echo 'a  b' '$HOME' ';'
check "the exit status comes back" status_is 7 "$box" run exit 7
check "stderr stays apart" output_is out "$box" run 'echo out; echo err >&2'
stdin_forwarded() {
	[ "$(head -c 1000000 /dev/zero | "$box" run 'wc -c')" = 1000000 ]
}
check "stdin is forwarded to its end" stdin_forwarded
early_reader() {
	[ "$(head -c 3000000 /dev/zero | "$box" run 'head -c 5 | wc -c')" = 5 ]
}
check "a command need not read its stdin" early_reader
check "a process left behind keeps nobody waiting" \
	timeout 20 "$box" run 'sleep 60 & echo started'
check "a long output is whole" \
	output_is "$(seq 100000 | md5sum)" sh -c "'$box' run -n seq 100000 | md5sum"

check "time's end ends a command" status_is 124 "$box" run --timeout 2 'sleep 1234 | cat'
check "and nothing of it is left in dom0" status_is 1 "$box" run pgrep -f 'sleep 123[4]'
client_killed() {
	"$box" run -n 'echo on; sleep 4321' >"$work/out" &
	pid=$!
	tries=0
	while ! grep -q on "$work/out" && [ $tries -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -9 $pid
	wait $pid
	sleep 1
	status_is 1 "$box" run pgrep -f 'sleep 432[1]'
}
check "a killed client takes its command along" client_killed
concurrent() {
	"$box" run -n 'touch /tmp/a; until [ -e /tmp/b ]; do sleep 0.1; done; echo one' \
		>"$work/one" &
	"$box" run -n 'touch /tmp/b; until [ -e /tmp/a ]; do sleep 0.1; done; echo two' \
		>"$work/two"
	wait $!
	[ "$(cat "$work/one" "$work/two")" = "one
two" ]
}
check "two commands run at the same time" concurrent

head -c 20000000 /dev/urandom >"$work/file"
mkdir "$work/tree" "$work/back"
cp "$work/file" "$work/tree/with space"
ln -s nowhere "$work/tree/link"
roundtrip() {
	"$box" put "$work/file" /root/other.name &&
		"$box" run sha256sum /root/other.name | grep -q "^$(sha256sum <"$work/file" | cut -d' ' -f1)" &&
		"$box" get /root/other.name "$work/copy" && cmp "$work/file" "$work/copy"
}
check "a file comes back the same" roundtrip
tree_roundtrip() {
	"$box" put "$work/tree" "$work/file" /root/new/ &&
		"$box" get /root/new/tree "$work/back" &&
		diff -r --no-dereference "$work/tree" "$work/back/tree" &&
		"$box" run test -f /root/new/file
}
check "so does a directory" tree_roundtrip
check "put of a missing file fails" status_is 2 "$box" put "$work/none" /root/
missing_get() { ! "$box" get /root/none "$work/none2"; }
check "get of a missing file fails" missing_get
clock_right() {
	there=$("$box" run date +%s) && here=$(date +%s) &&
		echo "$there $here" && [ $((here - there)) -le 3 ] && [ $((there - here)) -le 3 ]
}
check "dom0's clock is right" clock_right

check "xl info works" "$box" run 'xl info | grep "^virt_caps.*pv hvm hap"'
log=/var/log/xen/console/guest-tiny.log
check "tiny is created" "$box" run xl create /guests/tiny.cfg
check "tiny boots" "$box" run --timeout 120 "until grep -q 'tiny: up' $log; do sleep 1; done"
check "tiny is destroyed" "$box" run 'xl destroy tiny && ! xl domid tiny'
check "an agent is installed into the guests" "$box" run '
	cd /guests && sha256sum tiny-base.initrd >/tmp/before &&
	printf "#!/bin/sh\necho agent: \$((40 + 2)) >/dev/hvc0\n" >/root/agent &&
	./install-agent /root/agent && ./install-agent /root/agent &&
	sha256sum -c /tmp/before'
check "tiny starts it" "$box" run --timeout 240 "
	sleep 3; rm -f $log; xl create -q /guests/tiny.cfg &&
	for i in \$(seq 60); do grep 'agent: 42' $log && exit; sleep 1; done; cat $log; exit 1"

check "down ends it" "$box" down
gone() { [ ! -e "$run" ] && ! "$box" status; }
check "nothing of it is left" gone
check "up restores the saved state" sh -c "'$box' up 2>&1 | grep 'restored in'"
check "commands work at once after it" output_is yes "$box" run echo yes
died() {
	"$box" run -n --timeout 60 'sleep 5; echo c >/proc/sysrq-trigger; sleep 60'
	status=$?
	echo "status $status"
	[ $status -eq 125 ]
}
check "a crash of dom0 is noticed" died

echo "1..$((passed + failed))"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
