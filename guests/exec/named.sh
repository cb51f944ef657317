# An emulator whose file name turns interception on, as one that is registered
# with binfmt_misc has to. It leaves programs with rights of their own to the
# kernel.
#
# A part of contract.sh, which has set $emu, $dir and made ./guest and ./native.
# It starts this file again in a place of its own (registry.sh):
#
#     sh named.sh inside FOLDER FLAGS
#
# SPDX-License-Identifier: GPL-2.0-or-later

# ---- inside ------------------------------------------------------------

# says NAME PATTERN COMMAND...: like `like` of contract.sh
says() {
    name="$1 ($flags)" pattern=$2; shift 2
    out=$(timeout 20 "$@" 2>&1 < /dev/null)
    # shellcheck disable=SC2254
    case $out in
    $pattern) echo "ok $name" ;;
    *) echo "not ok $name"; echo "wanted $pattern, got: $out" | detail ;;
    esac
}

# A variable of the first emulator is a setting of all that it starts. The
# kernel's children have no environment here.
starts() { says "$1" '*release 9.8.7*' env QEMU_UNAME=9.8.7 ./native --do user "$2" exec ./guest --do noenv exec "$3" --facts; }
leaves() {
    says "$1" '*release [!9]*' env QEMU_UNAME=9.8.7 ./native --do user "$2" exec ./guest --do noenv exec "$3" --facts
}
# A user's program executes another one, which has these ids.
has_ids() {
    name=$1 ids=$2; shift 2
    says "$name" "*\\[x\\]*ids=$ids *" ./native --do user 1000 exec ./guest --do exec "$@" x
}

inside() {
    enter qemu-execve
    register "$here/qemu-execve" "$1"
    cp guest suid; chmod 4755 suid
    cp guest sgid; chgrp 2000 sgid; chmod 2755 sgid
    # Without the group's x, this bit means something else.
    cp guest locking; chgrp 2000 locking; chmod 2705 locking
    cp guest other; chown 2000 other; chmod 4755 other
    cp guest unreadable; chmod 4711 unreadable
    printf '#!%s/suid\n' "$here" > suid-script; chmod 755 suid-script
    printf '#!%s/suid --facts\n' "$here" > suid-facts; chmod 755 suid-facts
    printf '#!%s/guest --facts\n' "$here" > facts; chmod 4755 facts

    starts "the kernel starts the first program, and the emulator its children" 0 ./guest
    starts "so it does for a user" 1000 ./guest
    says "and for children's children" '*release 9.8.7*' \
        env QEMU_UNAME=9.8.7 ./guest --do noenv exec ./guest --do exec ./guest --facts
    argv0=./guest
    case $flags in *P*) argv0=zero ;; esac
    says "arguments arrive" "*argv=\\[$argv0\\]\\[x\\]\\[--\\]\\[-h\\]*" ./native --do named zero exec ./guest x -- -h
    says "and those of children" '*argv=\[zero\]\[x\]\[--\]\[-h\]*' ./guest --do named zero exec ./guest x -- -h
    says "the first program executes itself" '*argv=\[step\]\[x\]*' ./guest --do exec /proc/self/exe x
    cp guest gone
    says "so it does when its file is gone" '*argv=\[step\]\[x\]*' ./gone --do unlink gone exec /proc/self/exe x
    says "a child with no descriptor of its own" '*argv=\[step\]\[x\]*' ./guest --do close exec ./guest x

    says "QEMU_EXECVE=off wins over the name" '*release [!9]*' \
        env QEMU_EXECVE=off QEMU_UNAME=9.8.7 ./guest --do noenv exec ./guest --facts
    says "QEMU_EXECVE=self means what it does elsewhere: no set-user-ID" '*ids=1000,1000,1000,1000 *' \
        env QEMU_EXECVE=self ./native --do user 1000 exec ./guest --do exec ./suid x

    # In a root without /proc it cannot open itself.
    if mkdir root && cp guest suid root && chmod 4755 root/suid; then
        case $flags in
        *F*)
            says "without /proc the kernel starts all of them" '*argv=\[*\]\[x\]*' \
                ./native --do chroot root exec /guest --do exec /guest x
            # What was opened before goes along.
            says "but /proc is needed once only" '*release 9.8.7*' \
                env QEMU_UNAME=9.8.7 ./guest --do chroot root noenv exec /guest --facts ;;
        esac
    fi

    leaves "a set-user-ID program is left to the kernel" 1000 ./suid
    leaves "so is a set-group-ID program" 1000 ./sgid
    leaves "and one that a script leads to" 1000 ./suid-facts
    leaves "root's too" 0 ./other
    says "a set-user-ID program executes itself" '*argv=\[step\]\[x\]*' ./suid --do exec /proc/self/exe x
    starts "but not every set-group-ID bit means that" 1000 ./locking
    starts "nor do the bits of a script" 1000 ./facts
    case $flags in
    *C*) suid=1000,0,1000,1000 sgid=1000,1000,1000,2000 other=1000,2000,1000,1000 ;;
    *) suid=1000,1000,1000,1000 sgid=$suid other=$suid ;;
    esac
    has_ids "a set-user-ID program has the rights that the kernel gives it" "$suid" ./suid
    has_ids "so has a set-group-ID program" "$sgid" ./sgid
    has_ids "and one that a script leads to" "$suid" ./suid-script
    has_ids "and a child's child" "$suid" ./guest --do exec ./suid
    case $flags in
    *C*)
        has_ids "and one that cannot be read" "$suid" ./unreadable
        says "it is told that it has them" '*secure=1*' ./native --do user 1000 exec ./guest --do exec ./suid x
        # Like sudo. The kernel's child takes the variable, and the emulator's its setting.
        says "the name means nothing in it, but in its children" '*release 9.8.7*' \
            ./native --do user 1000 exec ./suid --do user 0 setenv QEMU_UNAME=9.8.7 exec ./guest --do noenv exec ./guest --facts ;;
    esac
    has_ids "a set-user-ID program executes another one" "$other" ./suid --do exec ./other

    cp guest capable
    if setcap cap_dac_read_search+ep capable 2> /dev/null; then
        leaves "so is one with file capabilities" 1000 ./capable
        case $flags in
        *C*) says "which the kernel gives it" '*secure=1*' ./native --do user 1000 exec ./guest --do exec ./capable x ;;
        esac
    else
        echo "skip so is one with file capabilities ($flags) # setcap is missing, or refused"
    fi

    # The second program finds almost all that it does.
    three=$(QEMU_LOG=tb_cache ./guest --do exec ./guest --do exec ./guest --exit 0 2>&1 |
        sed -n 's/^tb_cache: \([0-9]*\) blocks translated.*/\1/p' | tr '\n' ' ')
    first=${three%% *} second=$(echo "$three" | cut -d ' ' -f 2)
    if [ ! "$three" ]; then
        echo "skip children share translations ($flags) # this emulator has no cache"
    else
        if [ $((${second:-$first} * 10)) -lt "$first" ]; then
            echo "ok children share translations ($flags)"
        else
            echo "not ok children share translations ($flags)"; echo "translated: $three" | detail
        fi
        says "QEMU_TB_CACHE=off is off" '' env QEMU_LOG=tb_cache QEMU_TB_CACHE=off ./guest --do exec ./guest --exit 0
    fi

    # The same cases as natively. Errors are not the same where all that begins
    # like a program is one to the kernel.
    cases="args_ env_ path_ keep_ at_dir script_level exe_ library_"
    # shellcheck disable=SC2086
    ./native --run "$here/same" $cases > same.native 2>&1
    # shellcheck disable=SC2086
    ./guest --run "$here/same" $cases > same.emulated 2>&1
    if [ "$(wc -l < same.native)" -gt 50 ] && cmp -s same.native same.emulated; then
        echo "ok $(wc -l < same.native) lines as natively ($flags)"
    else
        echo "not ok lines as natively ($flags)"; diff same.native same.emulated | detail
    fi

    # Another name: does all this show what the name does?
    unregister
    cp qemu-execve plain
    register "$here/plain" "$1"
    leaves "with another name the kernel starts all programs" 0 ./guest
    unregister
}

if [ "${1:-}" = inside ]; then
    set -u
    dir=$2
    . "$(dirname "$0")/registry.sh"
    work=$(mktemp -d "$dir/named.XXXXXX") && chmod 755 "$work" && cd "$work" || exit 3
    inside "$3"
    exit
fi

# ---- outside: started directly -----------------------------------------

by_name() {
    cp emulator "$1"
    like "$1: on" '*argv=\[step\]\[x\]*' "./$1" ./guest --do exec ./guest --do exec ./guest x
    rm "$1"
}
not_by_name() {
    cp emulator "$1"
    off "$1: off" "./$1" ./guest --do exec ./guest x
    rm "$1"
}
by_name qemu-execve
by_name buildkit-qemu-any
# Where BuildKit mounts that
by_name .buildkit_qemu_emulator
for name in qemu qemu-execve.old qemuexecve execve qemu-execve-static my-buildkit-qemu-any buildkit; do
    not_by_name $name
done
mkdir named-execve; cp emulator named-execve/emulator; cp emulator qemu-execve
off "a folder's name does not count" named-execve/emulator ./guest --do exec ./guest x
ln -s emulator link-execve; ln -s qemu-execve link
like "a link's name counts" '*argv=\[step\]\[x\]*' ./link-execve ./guest --do exec ./guest x
off "and not that of its target" ./link ./guest --do exec ./guest x
off "argv[0] does not count" ./native --do named qemu-execve exec ./emulator ./guest --do exec ./guest x
like "nor does it turn it off" '*argv=\[step\]\[x\]*' ./native --do named qemu exec ./qemu-execve ./guest --do exec ./guest x
cp guest guest-execve
off "nor does a program's name" ./emulator ./guest-execve --do exec ./guest x
off "the option wins over the name" ./qemu-execve --execve off ./guest --do exec ./guest x
off "so does QEMU_EXECVE" env QEMU_EXECVE=0 ./qemu-execve ./guest --do exec ./guest x
off "and QEMU_EXECVE with nothing" env QEMU_EXECVE= ./qemu-execve ./guest --do exec ./guest x
# shellcheck disable=SC3045
if [ "${CONTRACT_ROOT:-}" ]; then
    skip "it starts with few descriptors" "a dynamic emulator wants some for its libraries"
else
    # shellcheck disable=SC2016
    like "it starts with few descriptors" '*argv=\[./guest\]\[x\]*' sh -c 'ulimit -n 4; exec "$@"' sh ./qemu-execve ./guest x
fi
if [ "$(id -u)" = 0 ] && [ ! "$registered" ]; then
    like "where none is registered, root's children have the ids of set-user-ID programs" '*\[x\]*ids=0,1000,0,1001 *' \
        ./qemu-execve ./guest --do exec ./set-user x
fi
mkdir bare; cp guest bare; cp emulator bare/qemu-execve
if [ "${CONTRACT_ROOT:-}" ]; then cp -r "$CONTRACT_ROOT/." bare; fi
rooted "in a root without /proc, too" '*argv=\[step\]\[x\]*' chroot bare /qemu-execve /guest --do exec /guest x

# ---- outside: registered -----------------------------------------------

. "$here/registry.sh"
problem=$(no_registry)
if [ ! "$onlooker" ]; then
    skip "registered by a name that turns it on" "the kernel starts programs of this machine itself"
elif [ "$problem" ]; then
    skip "registered by a name that turns it on" "needs a user namespace with several users, and binfmt_misc in it (Linux 6.7): $problem"
else
    # F alone, with P and without O: the emulator finds out in another way.
    for flags in F PF OF POCF; do
        relay "registered by a name that turns it on ($flags)" "$here/named.sh" inside "$dir" $flags
    done
fi
