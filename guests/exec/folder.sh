# Translations that are kept in a folder (--tb-cache /FOLDER): the next run has them,
# nobody else can put anything there, and whatever goes wrong, programs run.
#
# Part of cache.sh, for emulators that have a cache.
#
# SPDX-License-Identifier: GPL-2.0-or-later

folder=$dir/kept
# The blocks that the two programs of a run translate, together. What they are to say, they must say.
run() {
    out=$("$@" 2>&1)
    case $out in
    *'argv=[step][x]'*) printf '%s\n' "$out" | awk '/^tb_cache: [0-9]+ blocks/ { n += $2 } END { print n + 0 }' ;;
    *) printf '%s\n' "wrong: $out" ;;
    esac
}
in_folder() { run "$emu" --execve self --tb-cache "$folder" -d tb_cache ./guest --do exec ./guest x; }
is_cold() { [ "$2" -gt "$((all / 2))" ] 2> /dev/null && ok "$1" || bad "$1" "translated $2 of $all"; }
# What is in no file (Arm has a page of the kernel's) is translated each time.
is_warm() { [ "$(($2 * 50))" -le "$all" ] 2> /dev/null && ok "$1" || bad "$1" "translated $2 of $all"; }
start_anew() { rm -rf "$folder"; in_folder > /dev/null; }

all=$(run "$emu" --execve self --tb-cache tree -d tb_cache ./guest --do exec ./guest x)
is_cold "a folder that is not there yet" "$(in_folder)"
file=$(echo "$folder"/*.tb-cache)
like "the folder is for its user alone" 700 stat -c %a "$folder"
like "its file is, too" 600 sh -c 'stat -c %a "$1"/*.tb-cache' sh "$folder"
is_warm "the next run has nothing to translate" "$(in_folder)"
is_warm "so by the environment" "$(QEMU_TB_CACHE=$folder run "$emu" --execve self -d tb_cache ./guest --do exec ./guest x)"
like "and writes nothing" 1 sh -c 'ls -A "$1" | wc -l' sh "$folder"

like "a folder without a path is told" "*--tb-cache takes 'tree'*the absolute path of a folder, not 'kept'*" "$emu" --execve self --tb-cache kept ./guest x
like "a limit of nothing is told" "*usage:*" "$emu" --execve self --tb-cache "$folder" --tb-cache-limit 0 ./guest x

# ---- what is in the folder, and should not be

# damaged NAME COMMAND...: the file is not used, and the next run has a good one again
damaged() {
    name=$1; shift
    start_anew
    "$@"
    is_cold "a file that is $name is not used" "$(in_folder)"
    is_warm "a file that is $name is replaced" "$(in_folder)"
}
overwrite() { dd if=/dev/zero of="$file" bs=1 seek="$1" count="$2" conv=notrunc 2> /dev/null; }
damaged "cut off" truncate -s 100000 "$file"
damaged "empty" truncate -s 0 "$file"
damaged "longer than it should be" truncate -s +4096 "$file"
damaged "all zero" sh -c 'size=$(stat -c %s "$1"); truncate -s 0 "$1"; truncate -s "$size" "$1"' sh "$file"
damaged "of another build or processor" overwrite 20 4
damaged "readable by others" chmod 644 "$file"
damaged "a symbolic link" sh -c 'mv "$1" "$2/elsewhere"; ln -s "$2/elsewhere" "$1"' sh "$file" "$dir"
damaged "a second name of another file" ln "$file" "$dir/second"
damaged "a pipe" sh -c 'rm "$1"; mkfifo "$1"' sh "$file"
rm -f elsewhere second
# A file of another boot: the clock by which that is told can be set in a namespace.
start_anew
uptime() { cut -d . -f 1 /proc/uptime; }
in_new_boot() { unshare -T --fork --boottime "-$(($(uptime) - 1))" --monotonic 0 "$@"; }
if [ "$(uptime)" -gt 10 ] && in_new_boot true 2> /dev/null; then
    booted() { run in_new_boot "$emu" --execve self --tb-cache "$folder" -d tb_cache ./guest --do exec ./guest x; }
    is_warm "a file that is older than the boot is used if it is whole" "$(booted)"
    overwrite "$(($(stat -c %s "$file") / 2))" 64
    is_cold "a file that a loss of power has spoiled is not used" "$(booted)"
else
    skip "files that are older than the boot" "needs a namespace of its own for clocks"
fi

# ---- the folder itself

refused() {
    name=$1 why=$2; shift 2
    like "a folder that is $name is not used" "*not kept in $folder: $why*argv=\\[step\\]\\[x\\]*" "$emu" --execve self --tb-cache "$folder" -d tb_cache ./guest --do exec ./guest x
}
start_anew; chmod 755 "$folder"; refused "open to others" "its folder is open to others"
start_anew; mv "$folder" real; ln -s real "$folder"; refused "a symbolic link" "its folder is none"
rm -rf "$folder" real; echo > "$folder"; refused "a file" "its folder is none"
rm -f "$folder"; folder=$dir/no/such; refused "in no folder" "its folder is not there"; folder=$dir/kept

# ---- killed, crowded, too large

for i in 1 2 3 4 5 6 7 8; do
    rm -rf "$folder"
    timeout -s KILL "0.0$i" "$emu" --execve self --tb-cache "$folder" ./guest --do exec ./guest x > /dev/null 2>&1
    case $(in_folder) in wrong*) echo wrong ;; esac
done > killed
if [ -s killed ]; then bad "who is killed while it writes leaves nothing of harm" "$(wc -l < killed) of 8 went wrong"
else ok "who is killed while it writes leaves nothing of harm"; fi
start_anew
for i in 1 2 3 4 5 6 7 8; do in_folder & done > crowd; wait
if grep -q wrong crowd; then bad "eight at once use one folder" "$(cat crowd)"; else ok "eight at once use one folder"; fi
like "twenty processes at once, of which some are killed, in a folder" '*0 of 80 ended badly' "$emu" --execve self --tb-cache "$folder" ./cache crowd

start_anew
touch -d '2 days ago' "$folder/.unfinished-1-a.tb-cache"; touch "$folder/.unfinished-2-b.tb-cache"
truncate -s 1M "$folder/old.tb-cache" "$folder/older.tb-cache"; touch -d '1 day ago' "$folder/old.tb-cache"
touch -d '2 days ago' "$folder/older.tb-cache"; touch "$folder/other"; rm "$file"
"$emu" --execve self --tb-cache "$folder" --tb-cache-limit 1 ./guest --do exec ./guest x > /dev/null 2>&1
stays=$(printf '%s\n' .unfinished-2-b.tb-cache "${file##*/}" old.tb-cache other | sort | tr '\n' ' ')
like "what was used last stays, what nobody finished goes" "${stays% }" sh -c 'cd "$1"; ls -A | sort | tr "\n" " " | sed "s/ $//"' sh "$folder"

# ---- other file systems, other users

if [ "$(id -u)" != 0 ] || ! unshare -m true 2> /dev/null; then
    skip "folders on other file systems, and of other users" "needs root, and may mount"
else
    # mounted OPTIONS SCRIPT: on a file system of its own, with what the folder had
    mounted() {
        rm -rf stash; cp -a "$folder" stash
        # shellcheck disable=SC2016
        unshare -m sh -c 'mount -t tmpfs -o "$1,mode=700" tmpfs "$2" && eval "$3"' sh "$1" "$folder" "$2"
    }
    command="\"$emu\" --execve self --tb-cache \"$folder\" -d tb_cache ./guest --do exec ./guest x"
    start_anew
    is_cold "a disk that is full: no file, and no error" "$(run mounted size=500k "$command")"
    # shellcheck disable=SC2016
    like "and nothing is left there" 0 mounted size=500k "$command > /dev/null 2>&1; ls -A \"$folder\" | wc -l"
    is_cold "noexec: not used" "$(run mounted noexec "cp stash/* \"$folder\"; $command")"
    is_warm "read-only: used" "$(run mounted size=100m "cp stash/* \"$folder\"; mount -o remount,ro \"$folder\"; $command")"

    start_anew; chown 65534 "$folder"; refused "another user's" "its folder is another user's"
    damaged "another user's" chown 65534 "$file"
    start_anew
    # A user without privileges can read what root has handed on, but gets a cache of its own.
    before=$(stat -c %Y%s "$file")
    is_cold "another user begins with nothing" "$(run "$emu" --execve self --tb-cache "$folder" -d tb_cache ./guest --do user 65534 exec ./guest x | awk -v all="$all" '{ print $1 * 2 }')"
    like "and writes nothing there" "$before" stat -c %Y%s "$file"
    if [ ! "$onlooker" ]; then
        skip "no_new_privs closes it, and children begin anew" "this emulator runs programs of this machine: none looks on"
    else
        like "no_new_privs closes it, and children begin anew" 'first none other ' \
            "$emu" --execve self --tb-cache "$folder" ./cache privileges "$dir/cache-native" no_new_privs
    fi
    mkdir -p jail; cp guest jail/guest
    # What is new is lost, since the folder is not there when the process ends. So only the second program counts.
    # shellcheck disable=SC2086
    set -- $(translated "$emu" --execve self --tb-cache "$folder" -d tb_cache ./guest --do chroot "$dir/jail" exec /guest x)
    is_warm "a child in another root directory has it" "${2:-none}"
fi
rm -rf "$folder" jail stash
