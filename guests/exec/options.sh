# Rule 8: the emulator's settings follow to children, and what is for the first
# program alone does not. Each option that --help lists is looked at, so an
# option that a new series brings has to be put here before the suite passes.
#
# Part of contract.sh, which has set $emu, $dir and made ./guest and ./native.
#
# SPDX-License-Identifier: GPL-2.0-or-later

fact() { grep "^$1 "; }

# follows OPTION FACT ARGUMENT... : with each argument in turn, until one shows.
# A child without environment has to look like a first program with that option.
# What does not show proves nothing, and is told.
follows() {
    option=$1 shown=$2; shift 2
    plain=$("$emu" ./guest --facts 2>/dev/null | fact "$shown")
    [ $# -gt 0 ] || set -- ""
    for value; do
        # An option without an argument stands alone.
        first=$(timeout 5 "$emu" "$option" ${value:+"$value"} ./guest --facts 2>/dev/null | fact "$shown")
        if [ "$first" ] && [ "$first" != "$plain" ]; then
            second=$("$emu" --execve self "$option" ${value:+"$value"} ./guest --do noenv exec ./guest --facts 2>&1 | fact "$shown")
            if [ "$second" = "$first" ]; then
                ok "$option follows${value:+ ($value)}"
            else
                bad "$option follows${value:+ ($value)}" "first program: $first, child: $second"
            fi
            return
        fi
    done
    skip "$option follows" "no value is known that makes a difference for this target"
}

# Lines in all logs of a run that executes a child.
logged() {
    rm -rf logs; mkdir logs
    "$emu" --execve self -D "$dir/logs/%d" "$@" ./guest --do noenv exec ./guest --exit 0 > /dev/null 2>&1
    cat logs/*
}

# A file that the emulator writes, which the first program deletes: it is there
# again if its child writes one too. Both have the same process id.
writes_again() {
    # shellcheck disable=SC2016
    (cd work && sh -c 'file=$(eval echo "$3"); exec "$1" --execve self "$2" ../guest --do unlink "$file" noenv exec ../guest --exit 0' \
        sh "$emu" "$1" "$2" > ../written 2>&1)
    # shellcheck disable=SC2086
    set -- "$1" "$(find /tmp work -maxdepth 1 -name "$3" -newer facts 2> /dev/null)"
    if [ "$2" ] && [ ! -s written ]; then ok "$1 follows"; else bad "$1 follows" "$(cat written)"; fi
    # shellcheck disable=SC2086
    rm -f $2
}

check_option() {
    case $1 in
    -h|-help|-version)
        ok "$1 ends at once: nothing follows" ;;
    -execve)
        like "-execve follows" '*\[step\]\[x\]*' "$emu" --execve self ./guest --do noenv exec ./guest --do exec ./guest x ;;
    -r)
        follows -r release 9.8.7 ;;
    -cpu)
        # shellcheck disable=SC2046
        follows -cpu cpu $cpus $("$emu" -cpu help | tr -s " \t'" '\n' | grep '^[A-Za-z0-9][A-Za-z0-9_.-]*$' | head -60) ;;
    -seed)
        follows -seed random 42 ;;
    -s)
        follows -s stack 4000000 ;;
    -B)
        # Natively the first program is at an address that a 32-bit machine has.
        follows -B base 0x200000000000 0x7000000 ;;
    -R)
        follows -R reaches 0x4000000000 0xa0000000 0x60000000 ;;
    -p)
        follows -p page 65536 ;;
    -tb-size)
        # A cache is mapped beside what this limits, and looks like it.
        QEMU_TB_CACHE=off; export QEMU_TB_CACHE
        follows -tb-size code 8
        unset QEMU_TB_CACHE ;;
    -tb-cache)
        if [ "$(logged -d tb_cache | grep -c translated)" != 2 ]; then
            skip "-tb-cache follows" "this target has no cache"
        elif logged -d tb_cache -tb-cache off | grep -q .; then
            bad "-tb-cache follows" "$(cat logs/*)"
        else
            ok "-tb-cache follows"
        fi ;;
    -tb-cache-limit)
        # Only the first program makes room in the folder: see folder.sh.
        like "-tb-cache-limit is for the first program" '*argv=\[step\]\[x\]*' "$emu" --execve self -tb-cache "$dir/limited" -tb-cache-limit 7 ./guest --do noenv exec ./guest x
        rm -rf limited ;;
    -t)
        # Whatever a caller ignores, as a shell does for programs in the background.
        trap '' QUIT
        follows -t ignored '40 50 1' '69 90 1'
        trap - QUIT ;;
    -L)
        rm -rf root; mkdir -p root/nonexistent; cp guest root/nonexistent/ld.so
        unlike "-L follows" '*ENOENT*' "$emu" --execve self -L "$dir/root" ./guest --do noenv exec prepared/dyn-missing
        unlike "-L follows when relative" '*ENOENT*' "$emu" --execve self -L root ./guest --do chdir / noenv exec "$dir/prepared/dyn-missing"
        unlike "-L follows to a child's child" '*ENOENT*' "$emu" --execve self -L root ./guest --do chdir / noenv exec "$dir/guest" --do exec "$dir/prepared/dyn-missing"
        unlike "-L follows from the environment" '*ENOENT*' env QEMU_LD_PREFIX=root "$emu" --execve self ./guest --do chdir / noenv exec "$dir/prepared/dyn-missing" ;;
    -strace)
        like "-strace follows" '*exit_group(37)*' "$emu" --execve self -strace ./guest --do noenv exec ./guest --exit 37 ;;
    -d)
        if logged -d strace | grep -q 'exit_group(0)'; then ok "-d follows"; else bad "-d follows" "$(ls logs)"; fi ;;
    -D)
        (cd work && "$emu" --execve self -d strace -D log.%d ../guest --do chdir .. noenv exec ./guest --exit 0) > /dev/null 2>&1
        if [ "$(find . -name 'log.*' | wc -l)" = 1 ] && grep -q 'execve(' work/log.* && grep -q 'exit_group(0)' work/log.*; then
            ok "-D follows, means the same file elsewhere, and keeps what is in it"
        else
            bad "-D follows, means the same file elsewhere, and keeps what is in it" "$(ls -R . | head -20)"
        fi
        rm -f work/log.*
        like "the log is not open in a child, nor in its child" '*fds=0-2 *' "$emu" --execve self -d strace -D work/log ./guest --do close exec ./guest --do exec ./guest x ;;
    -dfilter)
        # No code is at 1, so nothing is logged of a program with this filter.
        if logged -d in_asm -dfilter 1+1 | grep -q IN: || ! logged -d in_asm | grep -q IN:; then
            bad "-dfilter follows" "$(logged -d in_asm -dfilter 1+1 | head -5)"
        else
            ok "-dfilter follows"
        fi ;;
    -one-insn-per-tb|-singlestep)
        # Blocks of one instruction are several times as many. The first
        # program alone does not make up for a child that has long ones.
        few=$(logged -d in_asm | grep -c IN:) many=$(logged -d in_asm "$1" | grep -c IN:)
        half=$("$emu" -D "$dir/logs/one" -d in_asm "$1" ./guest --exit 0; grep -c IN: logs/one)
        if [ "$many" -gt $((half + few)) ]; then ok "$1 follows"; else bad "$1 follows" "$few, $half, $many blocks"; fi ;;
    -trace)
        # The child's is the only signal that is caught.
        like "-trace follows" '*user_*' "$emu" --execve self -trace 'user_*' ./guest --do noenv exec ./guest --facts ;;
    -plugin)
        check_plugin ;;
    -perfmap)
        # shellcheck disable=SC2016
        writes_again -perfmap '/tmp/perf-$$.map' 'perf-*.map' ;;
    -jitdump)
        # shellcheck disable=SC2016
        writes_again -jitdump '$PWD/jit-$$.dump' 'jit-*.dump' ;;
    -E)
        like "-E is for the first program" '*\[FOO=bar\]*' "$emu" --execve self -E FOO=bar ./guest x
        unlike "-E does not follow" '*FOO*' "$emu" --execve self -E FOO=bar ./guest --do noenv exec ./guest x
        unlike "QEMU_SET_ENV does not follow" '*\[FOO=bar\]*' env QEMU_SET_ENV=FOO=bar "$emu" --execve self ./guest --do noenv exec ./guest x ;;
    -U)
        # The child gets a variable that its parent was not to see.
        unlike "-U is for the first program" '*\[FOO=*' env FOO=1 "$emu" --execve self -U FOO ./guest x
        like "-U does not follow" '*\[FOO=1\]*' "$emu" --execve self -U FOO ./guest --do setenv FOO=1 exec ./guest x
        like "QEMU_UNSET_ENV does not follow" '*\[FOO=1\]*' env QEMU_UNSET_ENV=FOO "$emu" --execve self ./guest --do setenv FOO=1 exec ./guest x ;;
    -0)
        like "-0 is for the first program" '*argv=\[zero\]\[x\]*' "$emu" --execve self -0 zero ./guest x
        like "-0 does not follow" '*argv=\[step\]\[x\]*' "$emu" --execve self -0 zero ./guest --do exec ./guest x
        like "QEMU_ARGV0 does not follow" '*argv=\[step\]\[x\]*' env QEMU_ARGV0=zero "$emu" --execve self ./guest --do exec ./guest x ;;
    -g)
        # A child that waited for a debugger of its own would wait for ever.
        ./native --continue "$dir/gdb" > /dev/null 2>&1 &
        debugger=$!
        others=$("$emu" --execve self ./guest --do exec ./guest x | sed 's/.*\(fds=[^ ]* \).*/\1/')
        like "-g does not follow: a child neither waits nor has its socket" "*$others*argv=\\[step\\]\\[x\\]*" \
            timeout 20 "$emu" --execve self -g "$dir/gdb" ./guest --do exec ./guest x
        kill $debugger 2> /dev/null; wait $debugger 2> /dev/null ;;
    -xtensa-abi-call0)
        skip "$1 follows" "no compiler for this target" ;;
    *)
        bad "each option of --help is known here" "$1: say in options.sh whether it follows" ;;
    esac
}

# A plugin is found if it says something. The emulator may be too static to
# load any; this machine may have no compiler.
check_plugin() {
    cat > plugin.c <<'EOF'
#include <stdint.h>
#include <unistd.h>
int qemu_plugin_version = VERSION;
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    return write(2, "the plugin is here\n", 19) != 19;
}
EOF
    mkdir -p plugins
    for version in 1 2 3 4 5 6; do
        cc -shared -fPIC -DVERSION=$version -o plugins/plugin.so plugin.c 2> /dev/null || break
        [ "$("$emu" -plugin plugins/plugin.so ./guest --exit 0 2>&1)" = "the plugin is here" ] || continue
        like "-plugin follows, means the same file elsewhere" 'the plugin is here*the plugin is here' \
            "$emu" --execve self -plugin plugins/plugin.so ./guest --do chdir / noenv exec "$dir/guest" --exit 0
        return
    done
    skip "-plugin follows" "this emulator loads no plugin that can be made here"
}

# Models that show in the first program's AT_HWCAP, the likely ones first.
cpus=${CONTRACT_CPU:-cortex-a53 cortex-a7 Nehalem 486 z13 rv64 power8 24Kc 74Kf}

"$emu" ./guest --facts > facts 2>&1
"$native" --run "$dir/prepared" none > /dev/null 2>&1
"$emu" --execve self ./guest --run "$dir/prepared" none > /dev/null 2>&1
like "no interpreter: ENOENT in the caller" '*ENOENT*' "$emu" --execve self ./guest --do exec prepared/dyn-missing

options=$("$emu" --help | sed -n '/^Argument/,/^$/s/^\(-[^ ]*\).*/\1/p')
case $options in
*-execve*-*) ;;
*) bad "the options of --help" "$options" ;;
esac
for option in $options; do
    check_option "$option"
done
like "a setting from the environment follows" '*release 9.8.7*' env QEMU_UNAME=9.8.7 "$emu" --execve self ./guest --do noenv exec ./guest --facts
like "and to a child's child" '*release 9.8.7*' "$emu" --execve self -r 9.8.7 ./guest --do noenv exec ./guest --do exec ./guest --facts
like "the last one wins, as it does for the first program" '*release 2*' "$emu" --execve self -r 1 -r 2 ./guest --do noenv exec ./guest --facts
