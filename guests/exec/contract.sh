#!/bin/sh
# What the execve contract promises and two equal transcripts cannot show.
#
# usage: contract.sh EMULATOR GUEST NATIVE [UPSTREAM]
#
#   EMULATOR  the emulator under test, an absolute path
#   GUEST     exec.c, built for the emulator's target
#   NATIVE    exec.c, built for this machine
#   UPSTREAM  the same emulator without the patches, for the check that the
#             option changes nothing when it is off
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

n=0 failed=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/contract.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$dir"
cd "$dir" || exit 1
cp "$emulator" emulator && cp "$guest" guest && cp "$native" native || exit 1
chmod 755 emulator guest native
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

# ---- what follows to children

like "-r follows, even without environment" '*release 9.8.7*' "$emu" --execve self -r 9.8.7 ./guest --do noenv exec ./guest --facts
like "-r from the environment follows" '*release 9.8.7*' env QEMU_UNAME=9.8.7 "$emu" --execve self ./guest --do noenv exec ./guest --facts
like "and to a child's child" '*release 9.8.7*' "$emu" --execve self -r 9.8.7 ./guest --do noenv exec ./guest --do exec ./guest --facts
direct=$("$emu" -seed 42 ./guest --facts | grep random)
like "-seed follows" "*$direct*" "$emu" --execve self -seed 42 ./guest --do noenv exec ./guest --facts
like "-strace follows" '*exit_group(37)*' "$emu" --execve self -strace ./guest --do noenv exec ./guest --exit 37
cpu=
for c in ${CONTRACT_CPU:-cortex-a53 cortex-a7 Nehalem z13 rv64 power8 24Kc 74Kf m68040}; do
    if "$emu" -cpu "$c" ./guest --facts > facts 2> /dev/null &&
       [ "$(grep hwcap facts)" != "$("$emu" ./guest --facts | grep hwcap)" ]; then
        cpu=$c; break
    fi
done
if [ "$cpu" ]; then
    like "-cpu follows" "*$(grep hwcap facts)*" "$emu" --execve self -cpu "$cpu" ./guest --do noenv exec ./guest --facts
else
    skip "-cpu follows" "no CPU model known that shows; set CONTRACT_CPU"
fi
mkdir work
(cd work && "$emu" --execve self -d strace -D log.%d ../guest --do chdir .. exec ./guest --exit 0) > /dev/null 2>&1
if [ "$(find work -name 'log.*' | wc -l)" = 1 ] && grep -q 'execve(' work/log.* && grep -q 'exit_group(0)' work/log.*; then
    ok "-D follows, means the same file elsewhere, and keeps what is in it"
else
    bad "-D follows, means the same file elsewhere, and keeps what is in it" "$(ls -R . | head -20)"
fi
like "the log is not open in a child's child" '*fds=0-3 *' "$emu" --execve self -d strace -D work/log ./guest --do close exec ./guest --do exec ./guest x
unlike "-E is for the first program" '*FOO*' "$emu" --execve self -E FOO=bar ./guest --do noenv exec ./guest x
like "-0 is for the first program" '*argv=\[step\]*' "$emu" --execve self -0 zero ./guest --do exec ./guest x

# ---- -L, and programs with an interpreter

"$native" --run "$dir/prepared" none > /dev/null 2>&1
"$emu" --execve self ./guest --run "$dir/prepared" none > /dev/null 2>&1
like "no interpreter: ENOENT in the caller" '*ENOENT*' "$emu" --execve self ./guest --do exec prepared/dyn-missing
mkdir -p root/nonexistent
cp guest root/nonexistent/ld.so
unlike "an interpreter below -L is found" '*ENOENT*' "$emu" --execve self -L "$dir/root" ./guest --do exec prepared/dyn-missing
unlike "below a relative -L, too" '*ENOENT*' "$emu" --execve self -L root ./guest --do chdir / exec "$dir/prepared/dyn-missing"
unlike "and in a child's child" '*ENOENT*' "$emu" --execve self -L root ./guest --do chdir / exec "$dir/guest" --do exec "$dir/prepared/dyn-missing"

# ---- the kernel decides about the rest

want=$(env -i A=1 ./native x 2>&1 | sed 's/argv=[^ ]*//; s/execfn=[^ ]*//; s/cmdline=[^ ]*//')
got=$(env -i A=1 "$emu" --execve self ./guest --do exec ./native x 2>&1 | sed 's/argv=[^ ]*//; s/execfn=[^ ]*//; s/cmdline=[^ ]*//')
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

if [ "$(id -u)" = 0 ]; then
    if (ulimit -n 64 && ulimit -n 70) 2> /dev/null; then
        like "every descriptor is in use, below a hard limit" "*nofile=64/64*" "$emu" --execve self ./guest --do files 64 fill exec ./guest x
    else
        skip "every descriptor is in use, below a hard limit" "root may not raise limits here"
    fi
    chmod 0700 copy
    like "privileges were dropped, and the emulator is root's" "$child" ./copy --execve self ./guest --do user 65534 exec ./guest x
    like "the same, one level deeper" "$child" ./copy --execve self ./guest --do user 65534 exec ./guest --do exec ./guest x
    chmod 0711 copy
    like "the emulator can be executed but not read" "$child" ./copy --execve self ./guest --do user 65534 exec ./guest --do exec ./guest x
    cp guest unreadable; chmod 0111 unreadable
    if [ "$registered" ]; then
        skip "a program that cannot be read: EACCES" "$registered"
    else
        like "a program that cannot be read: EACCES" '*EACCES*' "$emu" --execve self ./guest --do user 65534 exec ./unreadable x
    fi
    cp native unreadable-native; chmod 0111 unreadable-native
    like "but one of the host runs" '*argv=*' "$emu" --execve self ./guest --do user 65534 exec ./unreadable-native x
    mkdir jail; cp guest jail/guest; cp emulator jail/emulator
    if [ "${CONTRACT_ROOT:-}" ]; then cp -r "$CONTRACT_ROOT/." jail; fi
    printf '#!/guest arg\n' > jail/script; chmod 755 jail/script
    like "the emulator lies outside the new root" "$child" "$emu" --execve self ./guest --do chroot jail exec /guest x
    like "and outside it for children's children" "$child" "$emu" --execve self ./guest --do chroot jail exec /guest --do exec /guest x
    like "a script in the new root" '*argv=\[/guest\]\[arg\]\[/script\]*' "$emu" --execve self ./guest --do chroot jail exec /script
    like "a path of an emulator outside the new root" "$child" "$emu" --execve "$emu" ./guest --do chroot jail exec /guest x
    like "no /proc from the start" "$child" chroot jail /emulator --execve self /guest --do exec /guest x
    like "no /proc, by path, and deleted" "$child" chroot jail /emulator --execve /emulator /guest --do unlink /emulator exec /guest x
    mkdir noexec
    if mount -t tmpfs -o noexec none noexec 2> /dev/null; then
        cp guest noexec/guest
        printf '#!%s/guest\n' "$dir" > noexec/script; chmod 755 noexec/script
        like "a noexec mount: EACCES" '*EACCES*' "$emu" --execve self ./guest --do exec noexec/guest x
        like "a script on a noexec mount: EACCES" '*EACCES*' "$emu" --execve self ./guest --do exec noexec/script x
        umount noexec
    else
        skip "a noexec mount: EACCES" "cannot mount"
        skip "a script on a noexec mount: EACCES" "cannot mount"
    fi
else
    skip "changed roots, dropped privileges, mounts" "needs root"
fi

# ---- off is inert

if [ -z "$upstream" ] || ! command -v strace > /dev/null; then
    skip "off makes the same system calls as upstream" "needs UPSTREAM and strace"
else
    # One name for both, no addresses, no process ids, and nothing that
    # depends on which thread comes first.
    trace() {
        rm -rf traced.d traces; mkdir traces
        cp "$1" traced && chmod 755 traced
        setarch -R strace -ff -o traces/t ./traced ./guest --run "$dir/traced.d" fds_ > /dev/null 2>&1
        sed 's/0x[0-9a-f]*/X/g; s/[0-9]\{4,\}/N/g; s/ = [0-9]*$/ = N/
             /^futex/d; /^+++/d; /^---/d; /^rt_sigreturn/d
             s/^sigaltstack.*/sigaltstack/; s/^read(\([0-9]*\), .*/read(\1)/
             s/^getrandom.*/getrandom/' traces/t.* | sort | uniq -c
    }
    trace "$upstream" > trace.up
    trace "$emulator" > trace.off
    if [ -s trace.up ] && diff trace.up trace.off > trace.diff; then
        ok "off makes the same system calls as upstream"
    else
        bad "off makes the same system calls as upstream" "$(head -20 trace.diff)"
    fi
fi

echo "1..$n"
[ $failed = 0 ]
