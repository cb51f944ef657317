# What a set-user-ID guest program takes from its caller: with the flag C of
# binfmt_misc, the emulator runs with the program's rights, and so whoever starts
# the program must have no say about the emulator.
#
# A part of contract.sh, which has set $emu, $dir and made ./guest and ./native.
# It starts this file again in a place of its own (registry.sh):
#
#     sh suid.sh inside FOLDER FLAGS EMULATOR
#
# SPDX-License-Identifier: GPL-2.0-or-later

# ---- inside ------------------------------------------------------------

inside() {
    enter "$2"
    register "$here/$2" "$1"
    # One whose name turns --execve on (named.sh)
    flags="$1${2#emulator}"

    # Programs with rights of their own, and what an attacker would like to see
    # used. `evil` is a program of the host: it says what it was started with.
    mkdir prefix prefix/nonexistent links open
    chmod 777 open
    "$here/native" --run "$here/prepared" none > /dev/null
    "$emulator" ./guest --run "$here/prepared" none > /dev/null
    cp guest suid; chmod 4755 suid
    cp guest sgid; chgrp 2000 sgid; chmod 2755 sgid
    cp guest other; chown 2000 other; chmod 4755 other
    cp prepared/dyn-missing dynamic; chmod 4755 dynamic
    cp native evil; chmod 755 evil
    cp guest prefix/nonexistent/ld.so
    cp native native-suid; chmod 4755 native-suid

    as_user ./native-suid x > wanted
    case $(cat wanted) in
    *ids=1000,0,1000,1000*secure=1*) ;;
    *) echo "skip set-user-ID programs ($flags) # not even a native one gets its rights here"; return ;;
    esac
    as_user ./suid x > plain 2>&1
    case $(cat plain) in
    *"[x]"*ids=1000,0,1000,1000*secure=1*) echo "ok a set-user-ID program runs with its rights ($flags)" ;;
    *) echo "not ok a set-user-ID program runs with its rights ($flags)"; detail < plain; return ;;
    esac

    # Where the rights come from does not depend on the flags: the other kinds are looked at once.
    programs=suid
    if [ "$flags" = OC ]; then
        programs="suid sgid"
        cp guest capable
        if setcap cap_dac_read_search+ep capable 2> /dev/null; then
            programs="$programs capable"
        else
            echo "skip a program with file capabilities ($flags) # setcap is missing, or refused"
        fi
    fi
    for program in $programs; do
        as_user "./$program" x > plain 2>&1
        from_environment
        another_emulator
    done
    program=suid
    from_names
    descriptors_of_the_caller
    interpreter_of_the_caller
    unregister
}

# Without what is given in the environment, which is printed as it is.
without_env() { sed 's/ env=.* execfn=/ env execfn=/'; }

# verdict NAME: what did not go well, in the file `faults`
verdict() {
    if [ -s faults ]; then
        echo "not ok $program ($flags): $1"
        cut -c1-230 faults | head -80 | sed 's/^/# /'
    else
        echo "ok $program ($flags): $1"
    fi
    : > faults
}

# unused WHAT: is what came out as it was without an attack, and nothing written?
unused() {
    if ! grep -q ' ids=1000,' plain || [ "$(without_env < plain)" != "$(without_env < came)" ]; then
        echo "$1: $(without_env < came | head -c 160 | tr '\n' ' ')" >> faults
    fi
    find open -mindepth 1 -printf "$1: uid %U has written %f\n" >> faults
    find open -mindepth 1 -delete
}

# Each variable that the emulator knows: --help names them.
from_environment() {
    : > faults
    for variable in $("$emulator" --help | sed -n '/^Argument/,/^$/s/^-.* \(QEMU_[A-Z_0-9]*\) .*/\1/p'); do
        # To use it or to fail because of it are both no.
        case $variable in
        QEMU_LOG_FILENAME|QEMU_JITDUMP|QEMU_PERFMAP|QEMU_GDB) value=$here/open/written ;;
        QEMU_LOG) value=strace,nochain ;;
        QEMU_SET_ENV) value=EVIL=1 ;;
        QEMU_UNSET_ENV) value=KEPT ;;
        QEMU_PLUGIN) value=/nonexistent/plugin.so ;;
        QEMU_STRACE|QEMU_VERSION|QEMU_ARGV0|QEMU_ONE_INSN_PER_TB|QEMU_SINGLESTEP|QEMU_STACK_SIZE|QEMU_TB_SIZE) value=1 ;;
        *) value=nonsense ;;
        esac
        (cd open && env KEPT=kept "$variable=$value" timeout 5 ../native --do user 1000 chdir "$here" exec "./$program" x) > came 2>&1 < /dev/null
        if ! grep -q '\[KEPT=kept\]' came || grep -q '\[EVIL=1\]' came; then
            echo "the environment is another one:" | cat - came > changed && mv changed came
        fi
        unused "$variable=$value"
    done
    env QEMU_LOG_FILENAME="$here/open/log" QEMU_STRACE=1 QEMU_LOG=strace timeout 5 ./native --do user 1000 exec "./$program" x > came 2>&1 < /dev/null
    unused "QEMU_LOG_FILENAME with QEMU_STRACE"
    # What shows elsewhere
    as_user "./$program" --facts > plain.facts 2>&1
    for fact in "release QEMU_UNAME=9.8.7" "stack QEMU_STACK_SIZE=4000000" "base QEMU_GUEST_BASE=0x7000000" "reaches QEMU_RESERVED_VA=0x4000000000" "code QEMU_TB_SIZE=8" "cpu QEMU_CPU=${CONTRACT_CPU:-cortex-a53}"; do
        env "${fact#* }" timeout 5 ./native --do user 1000 exec "./$program" --facts > came 2>&1 < /dev/null
        if [ "$(grep "^${fact%% *} " plain.facts)" != "$(grep "^${fact%% *} " came)" ]; then
            echo "${fact#* }: $(grep "^${fact%% *} " came)" >> faults
        fi
    done
    verdict "no variable of the caller is for the emulator"
}

# Its children run as they would natively: not under what the caller names.
another_emulator() {
    env QEMU_EXECVE="$here/evil" timeout 5 ./native --do user 1000 exec "./$program" --do exec ./guest x > came 2>&1
    if grep -q 'argv=\[[^]]*\]\[x\]' came && ! grep -q execve-child came; then
        echo "ok $program ($flags): a child does not run under the caller's QEMU_EXECVE"
    else
        echo "not ok $program ($flags): a child does not run under the caller's QEMU_EXECVE"; detail < came
    fi
    # Under "self" the rights of a child's file would be lost.
    env QEMU_EXECVE=self timeout 5 ./native --do user 1000 exec "./$program" --do exec ./other x > came 2>&1
    if grep -q 'argv=\[[^]]*\]\[x\].*ids=1000,2000,' came; then
        echo "ok $program ($flags): QEMU_EXECVE=self does nothing, either"
    else
        echo "not ok $program ($flags): QEMU_EXECVE=self does nothing, either"; detail < came
    fi
}

# Each option that the emulator knows, as the name of a link to the program: the
# kernel puts that name where the emulator looks for options.
from_names() {
    : > faults
    for option in $("$emulator" --help | sed -n '/^Argument/,/^$/s/^\(-[^ ]*\).*/\1/p') --execve --strace --D -- -; do
        ln -s ../suid "links/$option"
        # An option's argument, then what could be a program.
        env KEPT=kept timeout 5 ./native --do user 1000 chdir links named "$here/open/written" exec "$option" "$here/open/written" ../guest z > came 2>&1 < /dev/null
        # The name, and with P argv[0], then the arguments as they were given.
        grep -q "argv=\[[^]]*\]\[$here/open/written\]\[../guest\]\[z\].*ids=1000,0,1000,1000" came ||
            echo "$option: $(head -c 160 came | tr '\n' ' ')" >> faults
        find open -mindepth 1 -printf "$option: uid %U has written %f\n" >> faults
        find open -mindepth 1 -delete
        rm "links/$option"
    done
    verdict "a link to it that is named like an option is only ever a name"
}

# A link of the name by which one emulator tells the next what it has open.
descriptors_of_the_caller() {
    ln -s ../suid links/--execve-child
    for version in 2 1; do
        state="7,8,4096,0,0"
        # A version of these words may come first.
        if [ $version = 2 ]; then set -- --; else set -- "$state" --; fi
        timeout 5 ./native --do user 1000 chdir links named "$state" exec --execve-child "$@" name comm "$here/guest" argv0 --do exec "$here/guest" evidence > came 2>&1 7< evil 8< guest
        if grep -q "\[--\]\[name\]\[comm\]\[$here/guest\]\[argv0\]\[--do\].*ids=1000,0,1000,1000" came; then
            echo "ok $program ($flags): a link named --execve-child is only ever a name, way $version"
        else
            echo "not ok $program ($flags): a link named --execve-child is only ever a name, way $version"; detail < came
        fi
    done
}

# The caller's folder must not be where the program's interpreter is looked for.
interpreter_of_the_caller() {
    as_user ./dynamic x > plain 2>&1
    env QEMU_LD_PREFIX="$here/prefix" timeout 5 ./native --do user 1000 exec ./dynamic x > came 2>&1 < /dev/null
    if ! cmp -s plain came; then
        { cat plain; echo "became"; cat came; } > faults
    fi
    verdict "QEMU_LD_PREFIX does not lead to another interpreter"
}

if [ "${1:-}" = inside ]; then
    set -u
    dir=$2
    . "$(dirname "$0")/registry.sh"
    work=$(mktemp -d "$dir/suid.XXXXXX") && chmod 755 "$work" && cd "$work" || exit 3
    inside "$3" "$4"
    exit
fi

# ---- outside -----------------------------------------------------------

. "$here/registry.sh"
problem=$(no_registry)
if [ "$problem" ]; then
    skip "set-user-ID programs" "needs a user namespace with several users, and binfmt_misc in it (Linux 6.7): $problem"
else
    for flags in OC POC FC PFC; do
        relay "set-user-ID programs ($flags)" "$here/suid.sh" inside "$dir" $flags emulator
    done
    relay "set-user-ID programs (FC, by name)" "$here/suid.sh" inside "$dir" FC emulator-execve
fi
