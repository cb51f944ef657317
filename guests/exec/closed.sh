# Rule 16: to the guest, the descriptors that an emulator keeps look closed,
# whatever it does with their numbers. closed.c does it, with --execve and
# without; what differs is a fault.
#
# Part of contract.sh, which has set $emu, $dir and made ./closed and
# ./closed-native, closed.c for the target and for this machine.
#
# SPDX-License-Identifier: GPL-2.0-or-later

# swept LIMIT OFF ON NUMBERS
swept() {
    # shellcheck disable=SC2086,SC2154
    (eval "$1" && "$emu" ./closed sweep "$2" $4 > sweep.off 2>&1 &&
        "$emu" --execve self ./closed keeps "$dir/closed-native" sweep "$3" $4 > sweep.on 2>&1)
}

# check_sweep NAME LIMIT NUMBERS
check_sweep() {
    if swept "$2" off.1 on.1 "$3"; then
        ok "a sweep over all system calls leaves its descriptors as they are, $1"
    else
        bad "a sweep over all system calls leaves its descriptors as they are, $1" "$(cat sweep.off sweep.on)"
    fi
    # What is not always the same is no difference: that takes a second time.
    "$emu" ./closed compare off.1 off.1 on.1 on.1 > compared 2>&1 || {
        swept "$2" off.2 on.2 "$3"
        "$emu" ./closed compare off.1 off.2 on.1 on.2 > compared 2>&1
    }
    case $(tail -1 compared) in
    *", 0 differ") ok "to all system calls its descriptors look closed, $1 ($(tail -1 compared))" ;;
    *) bad "to all system calls its descriptors look closed, $1" "$(tail -1 compared)
$(head -25 compared)" ;;
    esac
    rm -f off.[12] on.[12]
}

# check_closed NAME LIMIT: the emulator's numbers depend on the limit, as ulimit
# takes it. A low one puts them where select reaches them.
check_closed() {
    under=$1 limit=$2
    numbers=$(eval "$limit" && "$emu" --execve self ./closed which "$dir/closed-native" | tr '\n' ' ')
    if [ -z "$numbers" ]; then
        bad "descriptors of the emulator are found, $under" "none: is --execve on?"
        return
    fi
    # Under a limit, one of them will do: the last, which is nearest to it, or beyond.
    if [ "$limit" = : ]; then check_sweep "$under" "$limit" "$numbers"
    else numbers=$(echo "$numbers" | awk '{ print $NF }'); fi
    for number in $numbers; do
        (eval "$limit" && "$emu" ./closed calls "$number") > calls.off 2>&1
        (eval "$limit" && "$emu" --execve self ./closed keeps "$dir/closed-native" calls "$number") > calls.on 2> changed
        # An unpatched emulator dies of a select with a high number, and 7.2's has
        # no execveat without --execve: that is no measure, and this machine is.
        (eval "$limit" && ./closed-native calls "$number") > calls.native 2>&1
        awk -F': ' 'FILENAME == "calls.native" { native[$1] = $0; next }
            FILENAME == "calls.on" { on[$1] = $2; next }
            $2 ~ /^(killed|something else|ENOSYS)/ && on[$1] != $2 {
                print ($1 in native) && native[$1] !~ /ENOSYS/ ? native[$1] : $1 ": " on[$1]; next
            }
            { print }' calls.native calls.on calls.off > calls.wanted && mv calls.wanted calls.off
        if [ ! -s changed ] && [ "$(wc -l < calls.on)" -gt 700 ]; then
            ok "calls by name leave descriptor $number as it is, $under"
        else
            bad "calls by name leave descriptor $number as it is, $under" "$(cat changed)"
        fi
        if cmp -s calls.off calls.on; then
            ok "to $(wc -l < calls.on) calls by name descriptor $number looks closed, $under"
        else
            bad "to calls by name descriptor $number looks closed, $under" \
                "$(diff calls.off calls.on | grep -c '^>') differ, wanted < but got >
$(diff calls.off calls.on | grep '^[<>]' | sort -k2 | head -50)"
        fi
    done
}

check_closed "with this machine's limits" :
# shellcheck disable=SC3045
if (ulimit -Sn 900 2> /dev/null); then
    check_closed "with a soft limit of 900" "ulimit -Sn 900"
    check_closed "with a hard limit of 900" "ulimit -n 900"
fi
