# Which rights a set-user-ID program gets from --execve alone: those that its
# caller may take by system calls. What root gets, exec.c compares with what the
# kernel does (rights.h); this is about those who get less.
#
# A part of contract.sh, which has set $emu, $dir and made ./guest and ./native.
# It starts this file again in a user namespace (registry.sh):
#
#     sh rights.sh inside FOLDER
#
# SPDX-License-Identifier: GPL-2.0-or-later

# ---- inside ------------------------------------------------------------

# ids NAME NATIVE EMULATED FILE STEP...: the ids that a program has, natively and here, when it is executed after these
# steps. $before starts both.
before=
ids() {
    name=$1 native=$2 emulated=$3 file=$4; shift 4
    # shellcheck disable=SC2086
    of_kernel=$(timeout 20 $before ./native --do "$@" exec "./native-$file" x 2>&1 < /dev/null)
    # shellcheck disable=SC2086
    of_emulator=$(timeout 20 $before "$emu" --execve self ./guest --do "$@" exec "./guest-$file" x 2>&1 < /dev/null)
    case "$of_kernel / $of_emulator" in
    *" ids=$native "*" / "*" ids=$emulated "*) echo "ok $name" ;;
    *) echo "not ok $name"; printf '%s\n' "$of_kernel" "$of_emulator" | sed 's/.* ids=/# ids=/' ;;
    esac
}
same() { name=$1 ids=$2; shift 2; ids "$name" "$ids" "$ids" "$@"; }

# own NAME USER GROUP MODE: programs of this name for both
own() {
    for kind in guest native; do
        cp $kind "$kind-$1" && chown "$2:$3" "$kind-$1" && chmod "$4" "$kind-$1" || exit 3
    done
}

inside() {
    mkdir fs && mount -t tmpfs -o mode=0755 none fs && cp "$dir/guest" "$dir/native" fs && cd fs || exit 3
    own root 0 0 6755
    own other 1000 1001 6755
    own user 1000 0 4755
    own nobody 65534 65534 6755

    same "root of a user namespace gets other ids" 0,1000,0,1001 other
    same "and its own again" 0,0,0,0 root ids 0 1000
    before="unshare --user --map-root-user"
    same "ids that are not mapped are not taken" 0,0,0,0 other
    same "nor is one of two" 0,0,0,0 user
    before=
    same "who may not gain privileges gets none" 0,0,0,0 other alone
    # The limits: where the kernel has rights to give that this process has not.
    ids "a user does not become root" 1000,0,1000,0 1000,1000,1000,1000 root user 1000
    ids "nor somebody else" 1002,1000,1002,1001 1002,1002,1002,1002 other user 1002
    ids "nor root again by the saved id" 1000,0,0,0 1000,1000,0,0 root saved 1000
    ids "who has no CAP_SETUID gets no other user" 0,1000,0,0 0,0,0,0 user without 7
    ids "who has no CAP_SETGID gets no other user either, if the group is another one, too" \
        0,1000,0,1001 0,0,0,0 other without 6
    before="./native --do forbid exec"
    ids "so it is where a filter of system calls forbids it" 0,1000,0,1001 0,0,0,0 other
    before=
    ids "programs of nobody look like those of owners who are not mapped" 0,65534,0,65534 0,0,0,0 nobody
}

if [ "${1:-}" = inside ]; then
    set -u
    dir=$2 emu=$2/emulator
    work=$(mktemp -d "$dir/rights.XXXXXX") && chmod 755 "$work" && cd "$work" || exit 3
    inside
    exit
fi

# ---- outside -----------------------------------------------------------

. "$here/registry.sh"
problem=$(in_namespace true 2>&1 | head -1)
if [ ! "$onlooker" ]; then
    skip "who gets the rights of a program" "the kernel starts programs of this machine itself"
elif [ "$problem" ]; then
    skip "who gets the rights of a program" "needs a user namespace with several users: $problem"
else
    relay "who gets the rights of a program" "$here/rights.sh" inside "$dir"
fi
