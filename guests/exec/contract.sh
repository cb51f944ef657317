#!/bin/sh
# What the execve contract promises and two equal transcripts cannot show.
#
# usage: CONTRACT_CLOSED=CLOSED CONTRACT_CLOSED_NATIVE=NATIVE-CLOSED
#        CONTRACT_CACHE=CACHE CONTRACT_CACHE_NATIVE=NATIVE-CACHE
#        contract.sh EMULATOR GUEST NATIVE [UPSTREAM]
#
#   EMULATOR  the emulator under test, an absolute path
#   GUEST     exec.c, built for the emulator's target
#   NATIVE    exec.c, built for this machine
#   UPSTREAM  the same emulator without the patches, for the check that the
#             option changes nothing when it is off
#   CLOSED, NATIVE-CLOSED
#             closed.c, built for the target and for this machine; without
#             them, whether the emulator's descriptors look closed is skipped
#   CACHE, NATIVE-CACHE
#             cache.c, likewise, for the cache of translations
#
# Output is TAP; exit 0 if nothing failed. What this machine or this user
# cannot do is skipped and says so.
#
# SPDX-License-Identifier: GPL-2.0-or-later

set -u
LC_ALL=C
export LC_ALL
unset QEMU_EXECVE

if [ $# -lt 3 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
emulator=$1 guest=$2 native=$3 upstream=${4:-}
here=$(cd "$(dirname "$0")" && pwd)

n=0 failed=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/contract.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$dir"
cd "$dir" || exit 1
# /proc shows real paths, whatever links TMPDIR goes through.
dir=$(pwd -P)
cp "$emulator" emulator && cp "$guest" guest && cp "$native" native || exit 1
chmod 755 emulator guest native
if [ "${CONTRACT_CLOSED:-}" ]; then
    cp "$CONTRACT_CLOSED" closed && cp "$CONTRACT_CLOSED_NATIVE" closed-native || exit 1
    chmod 755 closed closed-native
fi
if [ "${CONTRACT_CACHE:-}" ]; then
    cp "$CONTRACT_CACHE" cache && cp "$CONTRACT_CACHE_NATIVE" cache-native || exit 1
    chmod 755 cache cache-native
fi
emu=$dir/emulator

ok()   { n=$((n + 1)); echo "ok $n $1"; }
skip() { n=$((n + 1)); echo "ok $n $1 # SKIP $2"; }
bad()  {
    n=$((n + 1)) failed=$((failed + 1)); echo "not ok $n $1"
    printf '%s\n' "${2:-}" | sed 's/^/# /' | cut -c1-400
}
# The output of a command, standard error included, has to match a pattern.
like() {
    name=$1 pattern=$2; shift 2
    out=$("$@" 2>&1 </dev/null)
    # shellcheck disable=SC2254
    case $out in $pattern) ok "$name" ;; *) bad "$name" "wanted $pattern, got: $out" ;; esac
}
# The same, but it must not match.
unlike() {
    name=$1 pattern=$2; shift 2
    out=$("$@" 2>&1 </dev/null)
    # shellcheck disable=SC2254
    case $out in $pattern) bad "$name" "did not want $pattern, got: $out" ;; *) ok "$name" ;; esac
}
child='*argv=\[step\]\[x\]*'

# ---- how it is turned on

out=$("$emu" ./guest --do exec ./guest x 2>&1)
case $out in
*argv=*)
    registered="the kernel runs these programs itself, or binfmt_misc does"
    skip "off by default" "$registered"
    ;;
*ENOEXEC*) ok "off by default"; registered= ;;
*) bad "off by default" "$out"; registered= ;;
esac
off() {
    if [ "$registered" ]; then skip "$1" "$registered"
    else name=$1; shift; like "$name" '*ENOEXEC*' "$@"; fi
}
like "--execve self" "$child" "$emu" --execve self ./guest --do exec ./guest x
like "-execve self" "$child" "$emu" -execve self ./guest --do exec ./guest x
like "--execve 1" "$child" "$emu" --execve 1 ./guest --do exec ./guest x
like "--execve with the path of an emulator" "$child" "$emu" --execve "$emu" ./guest --do exec ./guest x
like "QEMU_EXECVE=self" "$child" env QEMU_EXECVE=self "$emu" ./guest --do exec ./guest x
like "QEMU_EXECVE with a path" "$child" env QEMU_EXECVE="$emu" "$emu" ./guest --do exec ./guest x
off "--execve off" "$emu" --execve off ./guest --do exec ./guest x
off "--execve 0" "$emu" --execve 0 ./guest --do exec ./guest x
off "--execve with nothing" "$emu" --execve "" ./guest --do exec ./guest x
off "QEMU_EXECVE with nothing" env QEMU_EXECVE= "$emu" ./guest --do exec ./guest x
off "the option wins: off" env QEMU_EXECVE=self "$emu" --execve off ./guest --do exec ./guest x
like "the option wins: self" "$child" env QEMU_EXECVE=nonsense "$emu" --execve self ./guest --do exec ./guest x
for which in nonsense relative/path ./emulator 2; do
    out=$("$emu" --execve "$which" ./guest 2>&1); status=$?
    if [ $status = 1 ] && [ "$(printf '%s\n' "$out" | wc -l)" = 1 ]; then
        ok "--execve $which is refused"
    else
        bad "--execve $which is refused" "exit $status: $out"
    fi
done
out=$(QEMU_EXECVE=nonsense "$emu" ./guest 2>&1); status=$?
if [ $status = 1 ]; then ok "QEMU_EXECVE=nonsense is refused"; else bad "QEMU_EXECVE=nonsense is refused" "exit $status: $out"; fi
out=$("$emu" --execve 2>&1); status=$?
if [ $status = 1 ]; then ok "--execve alone is refused"; else bad "--execve alone is refused" "exit $status: $out"; fi
out=$("$emu" --execve "$dir" ./guest 2>&1); status=$?
if [ $status = 1 ]; then ok "a folder for an emulator is refused"; else bad "a folder for an emulator is refused" "exit $status: $out"; fi
out=$("$emu" --execve /nonexistent/emulator ./guest 2>&1); status=$?
if [ $status = 1 ]; then ok "a missing emulator is refused"; else bad "a missing emulator is refused" "exit $status: $out"; fi
for child in "" 1 1,2 8,9,4096,0,0 0,0,0,0,0 x,y,z,0,0; do
    "$emu" --execve-child "$child" ./guest < /dev/null > /dev/null 2>&1; status=$?
    if [ $status = 1 ]; then ok "--execve-child $child is refused"; else bad "--execve-child $child is refused" "exit $status"; fi
done
child='*argv=\[step\]\[x\]*'
like "--help lists it" '*-execve*QEMU_EXECVE*' "$emu" --help

# ---- the first program

printf '#!%s/guest one\n' "$dir" > script
chmod 755 script
mkdir bin
cp guest bin/only-in-path
like "the first program may be a script" "*argv=\\[$dir/guest\\]\\[one\\]\\[./script\\]\\[x\\]*" "$emu" --execve self ./script x
like "a name is looked up in PATH" "*argv=\\[only-in-path\\]\\[x\\]*exe=\\[$dir/bin/only-in-path\\]*" env PATH="$dir/bin" "$emu" --execve self only-in-path x
cp guest bin/guest
like "but the working directory comes first" "*exe=\\[$dir/guest\\]*" env PATH="$dir/bin" "$emu" --execve self guest x
unlike "without the option there is no search" '*argv=*' env PATH="$dir/bin" "$emu" only-in-path x
unlike "a missing program is an error" '*argv=*' "$emu" --execve self ./missing

# refused STATUS NAME REASON FILE: how a program that can't be run is refused, off
# and on: one line on standard error, that names the file and says why.
refused() {
    want=$1 name=$2 reason=$3 file=$4
    for on in "" "--execve self"; do
        # shellcheck disable=SC2086
        "$emu" $on "$file" x > out 2> err < /dev/null; status=$?
        # shellcheck disable=SC2086,SC2069
        piped=$( ("$emu" $on "$file" x 2>&1 >/dev/null < /dev/null; echo "status $?") | cat)
        # shellcheck disable=SC2086
        "$emu" $on "$file" x > /dev/null 2> err.closed <&- >&-; closed=$?
        if [ $status = "$want" ] && [ ! -s out ] && [ "$(wc -l < err)" = 1 ] && grep -q "$file.*: $reason\$" err &&
            [ "$piped" = "$(cat err; echo "status $want")" ] && [ $closed = "$want" ] && cmp -s err err.closed; then
            ok "$name: exit $want${on:+ with $on}"
        else
            bad "$name: exit $want${on:+ with $on}" "exit $status, and $closed with all closed; standard output: $(cat out)
standard error: $(cat err)
piped: $piped"
        fi
    done
}
mkdir refused
cp guest refused/mode; chmod 644 refused/mode
: > refused/empty; chmod 755 refused/empty
echo text > refused/text; chmod 755 refused/text
{ head -c 18 guest; printf '\377\377'; tail -c +21 guest; } > refused/machine; chmod 755 refused/machine
refused 127 "a first program that does not exist" "No such file or directory" nosuch
refused 127 "and not there either" "No such file or directory" ./refused/nosuch
refused 126 "nor below a file" "Not a directory" ./guest/nosuch
if [ "$(id -u)" = 0 ]; then
    # The kernel asks for the permission, and root has it for what has an x.
    refused 126 "a first program that is not executable" "Permission denied" ./refused/mode
fi
refused 126 "a folder for a program" "\\(Permission denied\\|Is a directory\\)" ./refused
refused 126 "a first program for another machine" "\\(Exec format error\\|Invalid ELF image for this architecture\\)" ./refused/machine
refused 126 "an empty file for a program" "\\(Exec format error\\|Invalid ELF image for this architecture\\)" ./refused/empty
refused 126 "a text for a program" "\\(Exec format error\\|Invalid ELF image for this architecture\\)" ./refused/text

# ---- what follows to children

mkdir work
. "$here/options.sh"

# ---- the kernel decides about the rest

want=$(trap '' QUIT; env -i A=1 ./native x 2>&1 | sed 's/argv=[^ ]*//; s/execfn=[^ ]*//; s/cmdline=[^ ]*//')
got=$(trap '' QUIT; env -i A=1 "$emu" --execve self ./guest --do exec ./native x 2>&1 | sed 's/argv=[^ ]*//; s/execfn=[^ ]*//; s/cmdline=[^ ]*//')
if [ "$want" = "$got" ]; then
    ok "a program of the host runs natively and gets nothing of ours"
else
    bad "a program of the host runs natively and gets nothing of ours" "wanted $want
got    $got"
fi
printf '#!%s/native\n' "$dir" > native-script
chmod 755 native-script
like "so does a script for one" '*argv=*native*' "$emu" --execve self ./guest --do exec ./native-script
like "and /bin/sh" 'hello' "$emu" --execve self ./guest --do exec /bin/sh -c 'echo hello'

# ---- where the emulator comes from

cp emulator copy
like "the emulator was deleted" "$child" ./copy --execve self ./guest --do unlink copy exec ./guest x
cp emulator copy
like "the emulator was renamed" "$child" ./copy --execve self ./guest --do rename copy copy2 exec ./guest x
cp emulator copy; printf 'junk' > junk; chmod 755 junk
like "the emulator was replaced" "$child" ./copy --execve self ./guest --do rename junk copy exec ./guest x
cp emulator copy
like "the emulator was deleted, two levels deep" "$child" ./copy --execve self ./guest --do unlink copy exec ./guest --do exec ./guest x
like "all descriptors were closed" "$child" "$emu" --execve self ./guest --do close exec ./guest x
like "and again" "$child" "$emu" --execve self ./guest --do close exec ./guest --do close exec ./guest x
like "few descriptors are left" "*nofile=8/8*" "$emu" --execve self ./guest --do files 8 exec ./guest --do exec ./guest x
cp emulator copy
like "the emulator is no longer executable" "$child" ./copy --execve self ./guest --do mode 0600 copy exec ./guest x
# limited KIND COMMAND...: with 64 descriptors, KIND as for ulimit
limited() {
    # shellcheck disable=SC2016
    sh -c 'ulimit "$1" 64; shift; exec "$@"' sh "$@"
}
if [ "${CONTRACT_ROOT:-}" ]; then
    skip "every number below a limit is taken" "a dynamic emulator wants some for its libraries"
else
    like "every number below a soft limit is taken" "*fds=0-63[, ]*" limited -Sn "$emu" --execve self ./guest --do replace exec ./guest x
    like "and again by the child" "*fds=0-63[, ]*" limited -Sn "$emu" --execve self ./guest --do replace exec ./guest --do replace exec ./guest x
    # The guest gets the last number, too. Without one, a program cannot be handed
    # to an emulator, unless the limit may be raised for it.
    # shellcheck disable=SC3045
    if [ "$registered" ] || (ulimit -n 64 && ulimit -n 70) 2> /dev/null; then wanted=$child; else wanted='*ENOEXEC*'; fi
    like "every number below a hard limit is taken" "$wanted" limited -n "$emu" --execve self ./guest --do replace exec ./guest x
    # Who may raise limits keeps its numbers beyond them.
    if [ "$(id -u)" = 0 ]; then unprivileged="setpriv --bounding-set=-sys_resource"; else unprivileged=; fi
    # shellcheck disable=SC2086
    like "numbers are given in order up to the last" "order: 0 back, EMFILE" $unprivileged sh -c 'ulimit -n 64; exec "$@"' sh "$emu" --execve self ./guest --do order
fi
# shellcheck disable=SC3045
if (ulimit -n 64 && ulimit -n 70) 2> /dev/null; then
    like "the limit was lowered, and no number is left" "*nofile=64/64*" "$emu" --execve self ./guest --do files 64 fill exec ./guest x
else
    skip "the limit was lowered, and no number is left" "a limit: only who may raise limits starts children then"
fi

# ---- other roots: what only root may do, or anybody in a user namespace

if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif unshare --user --map-root-user --mount true 2> /dev/null; then
    as_root="unshare --user --map-root-user --mount"
else
    as_root=
fi
mkdir jail; cp guest jail/guest; cp emulator jail/emulator
# What the emulator needs itself, if it is not static.
if [ "${CONTRACT_ROOT:-}" ]; then cp -r "$CONTRACT_ROOT/." jail; fi
printf '#!/guest arg\n' > jail/script; chmod 755 jail/script
# name PATTERN COMMAND...
rooted() {
    name=$1 pattern=$2; shift 2
    if [ "$as_root" ]; then
        # shellcheck disable=SC2086
        like "$name" "$pattern" $as_root "$@"
    else
        skip "$name" "needs root or user namespaces"
    fi
}
rooted "the emulator lies outside the new root" "$child" "$emu" --execve self ./guest --do chroot jail exec /guest x
rooted "and outside it for children's children" "$child" "$emu" --execve self ./guest --do chroot jail exec /guest --do exec /guest x
rooted "a script in the new root" '*argv=\[/guest\]\[arg\]\[/script\]*' "$emu" --execve self ./guest --do chroot jail exec /script
rooted "a path of an emulator outside the new root" "$child" "$emu" --execve "$emu" ./guest --do chroot jail exec /guest x
rooted "no /proc from the start" "$child" chroot jail /emulator --execve self /guest --do exec /guest x
rooted "no /proc, by path, and deleted" "$child" chroot jail /emulator --execve /emulator /guest --do unlink /emulator exec /guest x
cp emulator jail/emulator
if [ "$as_root" ] && $as_root unshare --mount true 2> /dev/null; then
    rooted "the root was pivoted away" "$child" unshare --mount "$emu" --execve self ./guest --do pivot "$dir/jail" exec /guest x
    rooted "and for a child's child, with the emulator deleted" "$child" unshare --mount "$emu" --execve self ./guest --do pivot "$dir/jail" unlink /emulator exec /guest --do exec /guest x
    cp emulator jail/emulator
    rooted "the guest made a mount namespace and pivoted" "$child" "$emu" --execve self ./guest --do unshare mount pivot "$dir/jail" exec /guest x
    mkdir noexec
    mounted() {
        name=$1 pattern=$2; shift 2
        # shellcheck disable=SC2016
        rooted "$name" "$pattern" unshare --mount sh -c 'mount -t tmpfs -o noexec none noexec && cp guest noexec && cp script noexec/script && chmod 755 noexec/script && exec "$@"' sh "$@"
    }
    mounted "a noexec mount: EACCES" '*EACCES*' "$emu" --execve self ./guest --do exec noexec/guest x
    mounted "a script on a noexec mount: EACCES" '*EACCES*' "$emu" --execve self ./guest --do exec noexec/script x
    printf '#!%s/noexec/guest\n' "$dir" > to-noexec; chmod 755 to-noexec
    mounted "a script's interpreter on a noexec mount: EACCES" '*EACCES*' "$emu" --execve self ./guest --do exec ./to-noexec x
else
    skip "pivoted roots and noexec mounts" "needs mount namespaces"
fi

# ---- dropped privileges

if [ "$(id -u)" = 0 ]; then
    cp emulator copy
    chmod 0700 copy
    like "privileges were dropped, and the emulator is root's" "$child" ./copy --execve self ./guest --do user 65534 exec ./guest x
    like "the same, one level deeper" "$child" ./copy --execve self ./guest --do user 65534 exec ./guest --do exec ./guest x
    like "the same, and the emulator was deleted" "$child" ./copy --execve self ./guest --do unlink copy user 65534 exec ./guest x
    cp emulator copy; chmod 0711 copy
    like "the emulator can be executed but not read" "$child" ./copy --execve self ./guest --do user 65534 exec ./guest --do exec ./guest x
    cp guest unreadable; chmod 0111 unreadable
    if [ "$registered" ]; then
        skip "a program that cannot be read: EACCES" "$registered"
    else
        like "a program that cannot be read: EACCES" '*EACCES*' "$emu" --execve self ./guest --do user 65534 exec ./unreadable x
    fi
    cp native unreadable-native; chmod 0111 unreadable-native
    like "but one of the host runs" '*argv=*' "$emu" --execve self ./guest --do user 65534 exec ./unreadable-native x
    cp guest set-user; chown 1000:1001 set-user; chmod 6755 set-user
    like "a set-user-ID program's mode counts for root's children" '*ids=0,1000,0,1001 *' "$emu" --execve self ./guest --do exec ./set-user x
    like "but not for the first program" '*ids=0,0,0,0 *' "$emu" --execve self ./set-user x
    like "nor where interception is off" '*ids=0,0,0,0 *' "$emu" ./set-user x
else
    skip "dropped privileges" "needs root"
fi

# ---- the emulator in memory, and nobody's to write

# Under an emulator of this machine's own target, a program of the host runs emulated, too.
"$emu" ./native --do > /dev/null 2>&1
if [ $? = 126 ]; then onlooker=yes; else onlooker=; fi
if [ ! -x closed ]; then
    skip "a copy in memory is sealed" "needs closed.c, in CONTRACT_CLOSED and CONTRACT_CLOSED_NATIVE"
elif [ ! "$onlooker" ]; then
    skip "a copy in memory is sealed" "this emulator runs programs of this machine: none looks on"
elif [ "$(id -u)" != 0 ]; then
    skip "a copy in memory is sealed" "needs root, to drop privileges"
else
    cp emulator copy; chmod 0700 copy
    like "a copy in memory is sealed, and nobody can change it" \
        '0 ways for the guest*[1-9] copies seen by a program of the host, 0 ways*a child starts' \
        ./copy --execve self ./guest --do user 65534 exec ./closed memory "$dir/closed-native"
    like "nor is it for a child's child" \
        '0 ways for the guest*[1-9] copies seen by a program of the host, 0 ways*a child starts' \
        ./copy --execve self ./guest --do user 65534 exec ./guest --do exec ./closed memory "$dir/closed-native"
fi

# ---- logs that cannot be opened again

# Where there is no /proc, a sanitizer says what it cannot know; its errors are other lines.
without_warnings() {
    sed -e '/^==[0-9]*==WARNING: \(reading executable name failed\|ASan is ignoring requested\)/d' \
        -e '/^False positive error reports may follow$/d' -e '/^For details see .*sanitizers/d'
}
# logs NAME LINES STEP...: a child after these steps runs, and is in the log.
logs() {
    name=$1 lines=$2; shift 2
    for option in -strace "-d strace"; do
        rm -rf logs.d moved.d; mkdir logs.d; chmod 755 logs.d
        # shellcheck disable=SC2086
        out=$(timeout 20 "$emu" --execve self -D logs.d/log $option ./guest --do "$@" --exit 37 2>&1 < /dev/null); status=$?
        out=$(printf '%s' "$out" | without_warnings)
        found=$(cat logs.d/* moved.d/* 2> /dev/null | grep -c 'exit_group(37)')
        if [ $status = 37 ] && [ -z "$out" ] && [ "$found" -ge "$lines" ]; then
            ok "with $option and -D, $name"
        else
            bad "with $option and -D, $name" "exit $status, $found lines of the child in the log: $out"
        fi
    done
}
logs "a child runs" 1 exec ./guest
logs "a child runs after the log was removed" 0 unlink logs.d/log exec ./guest
logs "a child runs after the log's folder was renamed" 1 rename logs.d moved.d exec ./guest
logs "a child runs after the log's folder was removed" 0 unlink logs.d/log rmdir logs.d exec ./guest
logs "a child's child runs after the log's folder was removed" 0 unlink logs.d/log rmdir logs.d exec ./guest --do exec ./guest
if [ "$(id -u)" = 0 ]; then
    logs "a child runs after setuid" 1 user 65534 exec ./guest
    logs "a child's child runs after setuid" 1 user 65534 exec ./guest --do exec ./guest
    logs "a child runs after setuid, with a log that it may not write" 1 mode 0 logs.d/log user 65534 exec ./guest
    logs "a child runs after setuid, with a folder that it may not enter" 1 mode 0 logs.d user 65534 exec ./guest
    logs "a child runs after chroot" 1 chroot jail exec /guest
    logs "a child's child runs after chroot" 1 chroot jail exec /guest --do exec /guest
    logs "a child runs after chroot and setuid" 1 chroot jail user 65534 exec /guest
    # What the guest can reach must not be what the emulator writes to.
    logs "a child runs when all descriptors were closed" 1 close exec ./guest
else
    logs "a child runs after the log became unwritable" 1 mode 0400 logs.d/log exec ./guest
fi

# ---- the same as natively, in other circumstances

# same NAME LIMIT CASES OPTION...: as natively, under what ulimit is told
same() {
    name=$1 limit=$2 cases=$3; shift 3
    # shellcheck disable=SC2086
    (eval "$limit" && ./native --run "$dir/same.d" $cases > same.native 2>&1
        "$emu" "$@" ./guest --run "$dir/same.d" $cases > same.emulated 2>&1)
    if [ "$(wc -l < same.native)" -gt 1 ] && cmp -s same.native same.emulated; then
        ok "$name"
    else
        bad "$name" "$(diff same.native same.emulated)"
    fi
}
same "no descriptor is lost with a hard limit of 64" "ulimit -n 64" "limit_64 limit_child limit_lowered" --execve self
same "no descriptor is lost with a hard limit of 1024" "ulimit -n 1024" "limit_" --execve self
same "no descriptor is lost with a soft limit of 64" "ulimit -Sn 64" "limit_64 limit_soft limit_raised limit_child limit_lowered" --execve self
same "no descriptor is lost with a soft limit of 1024" "ulimit -Sn 1024" "limit_" --execve self
# Which cases: those whose errno once depended on the kernel's version.
version="error_ at_plain at_file script_to script_simple interp_ keep_descriptors exe_self exe_deleted"
for release in 5.10.0 2.6.32; do
    "$emu" -r $release ./guest --exit 0 > same.native 2>&1 || {
        skip "nothing depends on the name of the system for the guest, $release" "the C library wants a later one: $(head -1 same.native)"
        continue
    }
    same "nothing depends on the name of the system for the guest, $release" : "$version" --execve self -r $release
done
# What uname says may be untrue for the emulator, too: strace changes it. Where a
# kernel answers what is asked (AT_EXECVE_CHECK), it has to look older to matter.
# The field for the release is the third one, and each is 65 bytes long.
lie=$( (printf Linux; head -c 60 /dev/zero; printf host; head -c 61 /dev/zero; printf '5.10.0\0') | od -An -v -tx1 | tr -d ' \n')
lied() { strace -f -qq -o /dev/null -e trace=uname --seccomp-bpf -e "inject=uname:poke_exit=@arg1=$lie" "$@" 2> /dev/null; }
# believes NAME COMMAND...: cases by that command, as natively on the same kernel
believes() {
    name=$1; shift
    # Those kernels do not tell who has a file open (limits.toml): no error_busy.
    errors="error_text error_not_exec at_plain script_not_exec interp_not_exec"
    # shellcheck disable=SC2086
    ./closed-native older ./native --run "$dir/same.d" $errors > same.native 2>&1
    # shellcheck disable=SC2086
    "$@" "$emu" --execve self ./guest --run "$dir/same.d" $errors > same.emulated 2>&1
    if [ "$(wc -l < same.native)" -gt 6 ] && cmp -s same.native same.emulated; then
        ok "nothing depends on what uname says, $name"
    else
        bad "nothing depends on what uname says, $name" "$(diff same.native same.emulated)"
    fi
}
if [ -x closed ]; then
    believes "of a kernel that is older" ./closed-native older
    if [ "$(lied uname -r)" = 5.10.0 ]; then
        believes "of one that is later" lied env
        believes "of one that is much older" lied ./closed-native older
    else
        skip "nothing depends on what uname says, of one that is later" "needs a strace that can change what a call brings (6.1)"
    fi
else
    skip "nothing depends on what uname says" "needs closed.c, in CONTRACT_CLOSED and CONTRACT_CLOSED_NATIVE"
fi
# Between two system calls of an exec, other threads of the guest have their turn.
# strace makes those moments long.
robbed="thread_robs_interpreter thread_robs_children thread_robs_ids"
# robs NAME CALL DELAY EMULATOR STEP...
robs() {
    name="a thread may close what an exec has just $1" call=$2 delay=$3 emulator=$4; shift 4
    # shellcheck disable=SC2086
    strace -f -qq -o strace.log --seccomp-bpf -e "trace=$call" -e "inject=$call:delay_exit=300$delay" \
        "$emulator" --execve self ./guest --do "$@" cases "$dir/same.d" $robbed > same.emulated 2> /dev/null
    if [ "$(wc -l < same.native)" = 4 ] && cmp -s same.native same.emulated; then ok "$name"
    else bad "$name" "$(diff same.native same.emulated)"; fi
}
if strace -f -qq -o /dev/null --seccomp-bpf -e trace=openat -e inject=openat:delay_exit=1 true 2> /dev/null; then
    errors="at_plain script_not_exec error_not_exec"
    # shellcheck disable=SC2086
    ./native --run "$dir/same.d" $errors > same.native 2>&1
    uncloses() { strace -f -qq -o strace.log --seccomp-bpf -e trace=close -e inject=close:error=EIO "$emu" "$@" 2> /dev/null; }
    # shellcheck disable=SC2086
    uncloses --execve self ./guest --run "$dir/same.d" $errors > same.emulated
    if ! uncloses ./guest --exit 0; then
        skip "what an exec closes does not change its error" "a sanitizer starts only if its own can be closed"
    elif cmp -s same.native same.emulated; then ok "what an exec closes does not change its error"
    else bad "what an exec closes does not change its error" "$(diff same.native same.emulated)"; fi
    # shellcheck disable=SC2086
    ./native --run "$dir/same.d" $robbed > same.native 2>&1
    robs opened openat :when=1+2 "$emu"
    robs made memfd_create '' "$emu"
    cp emulator copy
    robs "made of an emulator that nobody may execute" memfd_create :when=1+2 "$dir/copy" mode 0 copy
else
    skip "what an exec closes does not change its error" "needs a strace that can change what a call brings"
    skip "a thread may close what an exec has just made" "needs a strace that can delay a call, and may"
fi
cp guest scratch
./native --own "$dir" open "$dir/native" > same.native 2>&1
"$emu" --execve self ./scratch --own "$dir" open "$dir/scratch" > same.emulated 2>&1
if cmp -s same.native same.emulated && cmp -s guest scratch; then
    ok "the first program's file can't be opened for writing by /proc/self/exe"
else
    bad "the first program's file can't be opened for writing by /proc/self/exe" "$(diff same.native same.emulated)
$(cmp guest scratch)"
fi

# ---- the emulator's descriptors

if [ -x closed ] && [ ! "$onlooker" ]; then
    skip "the emulator's descriptors look closed" "this emulator runs programs of this machine: none looks on"
elif [ -x closed ]; then
    . "$here/closed.sh"
else
    skip "the emulator's descriptors look closed" "needs closed.c, in CONTRACT_CLOSED and CONTRACT_CLOSED_NATIVE"
fi

# ---- the cache of translations

if [ -x cache ]; then
    . "$here/cache.sh"
else
    skip "a cache of translations" "needs cache.c, in CONTRACT_CACHE and CONTRACT_CACHE_NATIVE"
fi

# ---- an emulator's name turns it on

. "$here/named.sh"

# ---- whoever starts a set-user-ID program

. "$here/suid.sh"
. "$here/rights.sh"

# ---- endurance

endures() {
    name=$1; shift
    out=$("$emu" --execve self ./guest --endure "$dir/endured" "$@" 2>&1); status=$?
    if [ $status = 0 ]; then ok "$name (${out##*: })"; else bad "$name" "exit $status: $out"; fi
}
if [ "${CONTRACT_ROOT:-}" ]; then
    skip "failed execs leave nothing behind" "a sanitizer keeps what was freed; it looks for leaks itself"
else
    endures "failed execs leave nothing behind" leak 1000
fi
endures "signals that wait survive execs" queued 300
endures "a signal around an exec is handled or kills" around 100
endures "signals for a process whose execs fail arrive" failing 500

# ---- off is inert

. "$here/inert.sh"

echo "1..$n"
[ $failed = 0 ]
