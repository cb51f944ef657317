#!/bin/sh
# How much of exec.c's transcript is the same under an emulator as natively.
#
# usage: table.sh NATIVE COMMAND...
#
#   NATIVE   exec.c, built for this machine
#   COMMAND  what runs exec.c, built for the target: `qemu-aarch64 --execve self
#            ./exec-aarch64`, or the program alone where binfmt_misc knows it
#
# A line a group of cases: its name, how many lines are the same, how many are
# the same in arguments and environment (or in the errno) at least, how many
# there are. An emulator that hangs or dies loses the rest of the group only.
#
# SPDX-License-Identifier: GPL-2.0-or-later

set -u
LC_ALL=C
export LC_ALL
if [ $# -lt 2 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
native=$1; shift
dir=$(mktemp -d "${TMPDIR:-/tmp}/table.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

"$native" --run "$dir/cases" > "$dir/native" 2> /dev/null || exit 1
for group in $(sed -n 's/^\([a-z]*\)_.*:.*/\1/p' "$dir/native" | sort -u); do
    rm -rf "$dir/cases"
    timeout -k 1 120 "$@" --run "$dir/cases" "${group}_" >> "$dir/seen" 2> /dev/null
done
awk '
    function known(line,    argv, env) {
        if (line !~ / argv=/) return line
        argv = line; sub(/.* argv=/, "", argv); sub(/ env=.*/, "", argv)
        env = line; sub(/.* env=/, "", env); sub(/ execfn=.*/, "", env)
        return argv " " env
    }
    !/^[a-z]+_[^:]*:/ { next }
    { name = $0; sub(/:.*/, "", name); line = substr($0, length(name) + 2) }
    FILENAME == ARGV[1] { seen[name] = line; next }
    {
        group = name; sub(/_.*/, "", group)
        all[group]++; total["all"]++
        same[group] += (name in seen) && seen[name] == line
        near[group] += (name in seen) && known(seen[name]) == known(line)
    }
    END {
        for (group in all) {
            print group, same[group], near[group], all[group]
            s += same[group]; n += near[group]; t += all[group]
        }
        print "~", s, n, t
    }' "$dir/seen" "$dir/native" | sort | sed 's/^~/all/'
