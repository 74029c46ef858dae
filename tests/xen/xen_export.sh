#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# xen_export.sh: in dom0, with the template tiny prepared: dvm-savefile tells,
# checks and exports the real savefile, and xl restores the export.
set -u
out=/tmp/export.out
. "$(dirname "$0")/xen_lib.sh"
gen=$(readlink -f /var/lib/dvm/tiny/current)
file=$gen/savefile

dvm-savefile info "$file" >$out 2>&1; ok $? "info"
dvm-savefile info --json "$file" >$out 2>&1 &&
    python3 -m json.tool <$out >/dev/null
ok $? "info --json is JSON"
dvm-savefile verify --key /var/lib/dvm/host.key "$file" >$out 2>&1
ok $? "verify with the host key"
python3 /root/tests/sf_verify.py --key /var/lib/dvm/host.key "$file" >$out 2>&1
ok $? "the independent verifier agrees"
dvm-savefile diff "$file" "$file" >$out 2>&1; ok $? "diff: the same"

# The recorded disk: the origin and what preparing wrote over it.
dvm-savefile export --xl "$file" /tmp/tiny.xl >$out 2>&1; ok $? "export --xl"
origin=$(losetup -f --show -r /guests/tiny.img)
cp "$gen/xvda.delta" /tmp/delta
delta=$(losetup -f --show /tmp/delta)
dmsetup create export-test --table \
    "0 $(blockdev --getsz "$origin") snapshot $origin $delta P 8"
dmsetup mknodes export-test
sed -e "s#^disk.*#disk = [ 'phy:/dev/mapper/export-test,xvda,w' ]#" \
    -e 's/^name.*/name = "exported"/' /guests/tiny.cfg >/tmp/exported.cfg
xl restore -e /tmp/exported.cfg /tmp/tiny.xl >$out 2>&1
ok $? "xl restore takes the export"
domid=$(xl domid exported 2>/dev/null)
# It is everybody's twin: its agent answers, and lets nothing else run.
i=0 said=
while [ -n "$domid" ] && [ -z "$said" ] && [ $i -lt 300 ]; do
	sleep 0.2
	i=$((i + 1))
	said=$(xenstore-read "/local/domain/$domid/data/dvm-agent/failed" \
	    2>/dev/null)
done
echo "$said" >$out
case $said in *"without a launch page"*) true ;; *) false ;; esac
ok $? "and its guest answers that it has no identity of its own"
xl destroy exported >/dev/null 2>&1
sleep 2
dmsetup remove export-test
losetup -d "$origin"
losetup -d "$delta"
rm -f /tmp/delta /tmp/tiny.xl
finish
