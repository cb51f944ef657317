# A binfmt_misc and a file system of one's own, in a user namespace with many
# users (Linux 6.7). Nothing is registered on the machine, and "root" is the
# namespace's. Root can do that, and whoever has a range in /etc/subuid.
#
# Read by suid.sh and named.sh. They start themselves again inside, where they
# print "ok NAME", "not ok NAME", "skip NAME # why", and "# ..." for details.
#
# SPDX-License-Identifier: GPL-2.0-or-later

# ---- inside ------------------------------------------------------------

# The emulator, $dir/emulator, by another name, and the guest programs lie in fs,
# which is the working directory then.
enter() {
    mkdir registry fs || exit 3
    mount -t tmpfs -o mode=0755 none fs || exit 3
    mount -t binfmt_misc none registry || exit 3
    cp "$dir/guest" "$dir/native" fs || exit 3
    cp "$dir/emulator" "fs/$1" || exit 3
    cd fs || exit 3
    here=$(pwd)
}

# register EMULATOR FLAGS: for programs of the guest's kind
register() {
    emulator=$1 flags=$2
    # The first 20 bytes say class, byte order and machine. The OS does not
    # matter, nor whether the program can be moved.
    # shellcheck disable=SC2046
    set -- $(od -An -tx1 -v -N 20 guest)
    magic='' mask='' i=0
    for byte; do
        case $i in 7) care=00 ;; 16|17) care=fe ;; *) care=ff ;; esac
        magic="$magic\\x$byte" mask="$mask\\x$care" i=$((i + 1))
    done
    printf '%s' ":ours:M::$magic:$mask:$emulator:$flags" > ../registry/register || exit 3
}

unregister() { echo -1 > ../registry/ours; }

detail() { head -5 | cut -c1-600 | sed 's/^/# /'; }

# as_user PROGRAM ARGUMENT...: by an ordinary user, who may not debug us.
as_user() { timeout 5 ./native --do user 1000 exec "$@" < /dev/null; }

# ---- outside -----------------------------------------------------------

# In a user namespace with other users than oneself in it. Who is root writes
# the map, and others have those that /etc/subuid gives them.
in_namespace() {
    if [ "$(id -u)" != 0 ]; then
        unshare --map-root-user --map-auto --mount "$@"
        return
    fi
    rm -f mapped; mkfifo mapped
    # shellcheck disable=SC2016
    unshare --user --mount sh -c 'read -r now < mapped && exec "$@"' sh "$@" &
    other=$! tries=0
    # Until it has its namespace, this is refused.
    until { echo "0 0 65536" > "/proc/$other/uid_map"; } 2> /dev/null; do
        tries=$((tries + 1))
        if [ $tries = 1000 ] || [ ! -e /proc/$other ]; then kill $other; wait $other; return 1; fi
    done
    echo "0 0 65536" > "/proc/$other/gid_map"
    echo now > mapped
    wait $other
}

# Why there is no such namespace here, or nothing
no_registry() {
    in_namespace sh -c 'mount -t tmpfs none /tmp && mount -t binfmt_misc none /tmp' 2>&1 | head -1
}

# relay NAME SCRIPT ARGUMENT...: what it prints inside, as checks of our own
relay() {
    name=$1; shift
    in_namespace sh "$@" > relayed 2> relayed.err || {
        bad "$name" "it did not run to its end: $(cat relayed.err)"
        return
    }
    details='' failure=
    # The details of a failure follow its name.
    while IFS= read -r line; do
        case $line in
        "# "*) details="$details${line#\# }
" ; continue ;;
        esac
        if [ "$failure" ]; then bad "$failure" "$details"; fi
        failure='' details=
        case $line in
        "ok "*) ok "${line#ok }" ;;
        "skip "*) skip "$(echo "${line#skip }" | sed 's/ # .*//')" "${line##*# }" ;;
        "not ok "*) failure=${line#not ok } ;;
        end) ;;
        esac
    done <<END
$(cat relayed)
end
END
}
