#!/bin/sh
# Is the table of what guests mean by descriptors (guest-fd.list) complete, and spelled as the kernel spells?
#
#     table.sh LINUX_USER
#
# Compares it with descriptors.txt, for all system calls that the targets in QEMU's folder linux-user have. Those that
# guest-fd.c or syscall.c look at themselves are named below, and those that QEMU does not carry out are passed over.
# Exit 0: nothing is missing or wrong.

set -eu
linux_user=$1
here=$(dirname "$0")

# Looked at in another place: by what another argument says (guest-fd.c), or where it is carried out.
elsewhere='dup3 waitid kcmp mmap mmap2'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "name args" of the table, such as "splice 1 3"
sed -n 's/^ *\[TARGET_NR_\([a-z0-9_]*\)\] = \(.*\),$/\1 \2/p' "$linux_user/guest-fd.list" > "$work/raw"
while read -r name meaning; do
    echo "$name$(echo "$meaning" | grep -o '\<FD([1-6])' | tr -dc '0-9\n' | sed 's/^/ /' | tr -d '\n')"
done < "$work/raw" | sort > "$work/table"
grep -v '^#' "$here/descriptors.txt" | sort > "$work/wanted"

# All names that some target has: tables of the kernel, headers, and what syscall.c defines besides
{
    find "$linux_user" -name 'syscall*.tbl' -exec awk '!/^#/ && NF > 2 { print $3 }' {} +
    find "$linux_user" -name '*syscall*.[ch]' -exec sed -n 's/^# *define *TARGET_NR_\([a-z0-9_]*\).*/\1/p' {} +
} | sort -u > "$work/known"
grep -oh 'TARGET_NR_[a-z0-9_]*' "$linux_user/syscall.c" | sed 's/TARGET_NR_//' | sort -u > "$work/carried-out"
# Each name has an #ifdef of its own
sed -n 's/^#ifdef TARGET_NR_//p' "$linux_user/guest-fd.list" | sort > "$work/asked"

failures=0
complain() {
    echo "$1"
    failures=$((failures + 1))
}

cut -d ' ' -f 1 "$work/table" | sort > "$work/names"
cmp -s "$work/names" "$work/asked" || complain "an #ifdef is not the name that follows"
for name in $(uniq -d "$work/names"); do
    complain "$name: twice"
done
for name in $(comm -23 "$work/names" "$work/known"); do
    # Newer than QEMU's tables, or of nobody: then the kernel has to have it
    grep -qx "$name\( .*\)\?" "$work/wanted" || complain "$name: no target has this call"
done
while read -r name args; do
    line=$(grep "^$name\( \|\$\)" "$work/table" || true)
    case " $elsewhere " in
    *" $name "*) continue ;;
    esac
    if [ -n "$line" ]; then
        [ "$line" = "$name $args" ] || complain "$name: descriptors are the arguments $args, not those of '$line'"
    elif grep -qx "$name" "$work/carried-out"; then
        complain "$name: missing, though QEMU carries it out"
    fi
done < "$work/wanted"
while read -r name args; do
    [ -z "$args" ] || grep -q "^$name " "$work/wanted" || complain "$name: takes a descriptor? descriptors.txt has none"
done < "$work/table"

[ "$(wc -l < "$work/table")" -gt 100 ] || complain "the table is not read"
echo "$(wc -l < "$work/table") calls in the table, $(wc -l < "$work/wanted") with descriptors, $failures complaints"
[ "$failures" -eq 0 ]
