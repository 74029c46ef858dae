# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# What the scripts that run in dom0 share; sourced.  The caller sets `out`, the
# file with what the last command said.
passed=0 failed=0

# ok STATUS CLAIM
ok() {
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		echo "ok - $2"
	else
		failed=$((failed + 1))
		echo "not ok - $2"
		sed 's/^/# /' "$out" | tail -n 15
	fi
}
# shown NAME TRIED LOST SEED: a campaign's line, if $SHOWN names a file
shown() {
	[ -z "${SHOWN-}" ] || printf '%s\t%s\t%s\t%s\n' "$@" >>"$SHOWN"
}
# The last line, and the exit status.
finish() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
