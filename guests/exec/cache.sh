# A cache of translations (--tb-cache): programs do what they do without it, and only
# those have it who may. cache.c does it.
#
# Part of contract.sh, which has set $emu, $dir and made ./guest, ./cache and
# ./cache-native: cache.c for the target and for this machine.
#
# SPDX-License-Identifier: GPL-2.0-or-later

if ! "$emu" --help | grep -q -e '^-tb-cache'; then
    skip "a cache of translations" "this series has none"
    return
fi

like "a value of --tb-cache that makes no sense is told" "*--tb-cache takes 'tree'*not 'full'*" "$emu" --tb-cache full ./guest x

# Files are opened by fewer system calls in this series.
./cache-native names > names.native 2>&1 < /dev/null
"$emu" --execve self ./cache names > names.guest 2>&1 < /dev/null
sed -i 's|: [^ ]*cache[^ ]* names$|: its own|' names.native names.guest
if cmp -s names.native names.guest && grep -q '^descriptor of self: its own$' names.native; then ok "files by many names"
else bad "files by many names" "$(diff names.native names.guest)"; fi

# How many blocks the programs of a tree have translated, in the order in which they end
translated() { "$@" 2>&1 | sed -n 's/^tb_cache: \([0-9]*\) blocks translated.*/\1/p' | tr '\n' ' '; }

# shellcheck disable=SC2086
three=$(translated "$emu" --execve self -d tb_cache ./guest --do exec ./guest --do exec ./guest --do exec ./guest --exit 0)
first=${three%% *} last=$(echo "$three" | cut -d ' ' -f 3)
# Which emulators have one, as docs/fast.md says: a cache that is off in one of them is a fault.
target=$("$emu" --version | sed -n 's/^qemu-\([^ ]*\) version.*/\1/p')
case "$(uname -m) $(getconf PAGESIZE) $target" in
"x86_64 4096 "*|"aarch64 4096 "*) has_cache=yes ;;
*) has_cache= ;;
esac
case $target in
aarch64|arm|i386|x86_64|riscv*|s390x|ppc64le|mips64el|mipsel|mipsn32el|loongarch64) ;;
*) has_cache= ;;
esac
if [ ! "$three" ] && [ "$has_cache" ]; then
    bad "a cache of translations" "$("$emu" --execve self -d tb_cache ./guest --exit 0 2>&1)"
elif [ ! "$three" ]; then
    skip "a cache of translations" "this target has none, or this host"
else
    # What is in no file (Arm has a page of the kernel's) is translated each time.
    if [ "$((last * 50))" -le "$first" ]; then ok "a program that ran before has nothing to translate ($three)"
    else bad "a program that ran before has nothing to translate" "$three"; fi
    like "off is off" '' translated "$emu" --execve self -d tb_cache --tb-cache off ./guest --do exec ./guest --exit 0
    like "so in the environment" '' translated env QEMU_TB_CACHE=off "$emu" --execve self -d tb_cache ./guest --do exec ./guest --exit 0
    like "off is the default without --execve" '' translated "$emu" -d tb_cache ./guest --exit 0
    like "who watches translations sees them all" '' translated "$emu" --execve self -d tb_cache,in_asm -D in_asm.log ./guest --do exec ./guest --exit 0
    rm -f in_asm.log

    # ---- the same results

    for seed in 1 2 3 4; do
        ./cache-native mappings $seed 6000 > cache.native 2>&1
        for mode in tree paranoid; do
            "$emu" --execve self --tb-cache $mode ./cache mappings $seed 6000 > cache.$mode 2>&1
            if cmp -s cache.native cache.$mode; then ok "code that is mapped, changed and moved ($mode, $seed)"
            else bad "code that is mapped, changed and moved ($mode, $seed)" "$(cat cache.$mode)"; fi
        done
    done
    like "twenty processes at once, of which some are killed" '*0 of 80 ended badly' "$emu" --execve self ./cache crowd

    # ---- what translators know of Arm

    arm=
    case $target in
    aarch64) arm="max cortex-a53 neoverse-n1" ;;
    arm) arm="max cortex-a15 cortex-a9" ;;
    esac
    for cpu in $arm; do
        # A child is told of fewer registers: of those that it can reach.
        all=$("$emu" -cpu "$cpu" --execve self ./cache registers)
        like "a child has the registers that the first program has ($cpu)" "$all" \
            "$emu" -cpu "$cpu" --execve self ./guest --do exec ./cache registers
        like "some of them can be read ($cpu)" "[1-9]* registers, *" echo "$all"
    done
    if [ "$target" = aarch64 ]; then
        # As the architecture has it: after "br x1" from a guarded page only "bti j" is a place to land.
        for mode in off tree paranoid; do
            for way in guarded guarded-back; do
                like "branches into guarded pages ($mode, $way)" '2 guarded to guarded: not to bti c;2 guarded to guarded: not to nop;2 plain to guarded: not to nop;' \
                    sh -c '"$@" | sort | uniq -c | sed "s/^ *//" | tr "\n" ";"' sh \
                    "$emu" --execve self --tb-cache $mode ./cache $way
            done
        done
        # What one program has translated of a page does not fit another, which has the page guarded.
        for mode in tree paranoid; do
            like "another program's pages, guarded otherwise ($mode)" '4 guarded to guarded: not to bti c;4 guarded to guarded: not to nop;4 plain to guarded: not to nop;' \
                sh -c '"$@" | sort | uniq -c | sed "s/^ *//" | tr "\n" ";"' sh \
                "$emu" --execve self --tb-cache $mode ./cache guarded-both
        done
    fi

    # ---- limits

    limited() {
        name=$1 limit=$2 why=$3; shift 3
        # shellcheck disable=SC2016
        like "under $limit: $name" "*argv=\\[step\\]\\[x\\]*" sh -c 'eval "$1"; shift; exec "$@"' sh "$limit" "$emu" --execve self ./guest --do exec ./guest x
        # shellcheck disable=SC2016
        like "under $limit: said with -d" "$why" sh -c 'eval "$1"; shift; exec "$@"' sh "$limit" "$emu" --execve self -d tb_cache ./guest --do exec ./guest x
    }
    limited "no cache" "ulimit -v 16000000" "tb_cache: off: memory is limited*"
    limited "no cache" "ulimit -d 16000000" "tb_cache: off: memory is limited*"
    limited "no new cache" "ulimit -f 1000" "tb_cache: off: there is no room*"
    limited "a cache" "ulimit -n 24" "*blocks translated*"

    # What a container says of its memory, whichever control group and version of them this process is in. The mount is
    # in a namespace of its own, also for root: the machine's control groups stay where they are.
    in_container() {
        mkdir -p fake/memory
        echo "$1" > fake/memory.max
        echo "$1" > fake/memory/memory.limit_in_bytes
        shift
        # shellcheck disable=SC2086,SC2016
        $as_root unshare --mount sh -c 'mount --bind fake /sys/fs/cgroup && exec "$@"' sh "$@"
    }
    if [ "$as_root" ] && $as_root unshare --mount true 2> /dev/null && in_container max true 2> /dev/null; then
        for memory in 67108864 134217727; do
            like "no cache in a container of $memory bytes" "tb_cache: off: there is no room*" in_container $memory "$emu" --execve self -d tb_cache ./guest --exit 0
        done
        for memory in 134217728 max 9223372036854771712; do
            like "a cache in a container of $memory bytes" "tb_cache: [1-9]* blocks translated*" in_container $memory "$emu" --execve self -d tb_cache ./guest --exit 0
        done
    else
        skip "a cache in containers with little memory" "no mounts of one's own"
    fi

    # ---- who has it

    if [ "$(id -u)" != 0 ] || [ ! "$onlooker" ]; then
        skip "a cache ends with a change of privileges" "needs root, and a program of this machine that looks on"
    else
        like "what is no change keeps it" 'first first first ' "$emu" --execve self ./cache privileges "$dir/cache-native" nothing
        for change in setuid seteuid setgid setgroups capset no_new_privs unshare_user unshare_mount; do
            like "$change closes it, and children begin anew" 'first none other ' "$emu" --execve self ./cache privileges "$dir/cache-native" $change
        done
        cp cache cache-user; chown 1000 cache-user; chmod 4755 cache-user
        cp cache cache-group; chgrp 1000 cache-group; chmod 2755 cache-group
        for program in cache-user cache-group; do
            like "a child with ids of its own begins anew ($program)" 'first first other ' "$emu" --execve self ./$program privileges "$dir/cache-native" nothing
        done
        like "a full one is followed by another" 'first other other ' "$emu" --execve self ./cache privileges "$dir/cache-native" full
        like "paranoid notices what somebody has written there" '*changes*is not what it would be now*' \
            "$emu" --execve self --tb-cache paranoid ./cache spoiled "$dir/cache-native"
    fi
    # shellcheck source=guests/exec/folder.sh
    . "$here/folder.sh"
fi
