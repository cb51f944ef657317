#!/bin/sh
# Installs emulators of an anyarch release, and the program anyarch, for machines without Rust. docs/install.md is its
# manual.
#
# It wants a POSIX shell, curl or wget, tar, xz, and a program that knows SHA-256. All of it is functions, and
# `main` is called by the last line: a script that arrives cut, as in `curl ... | sh`, does nothing.

# The release that this copy belongs to and where that lies; `cargo xtask release` fills them in.
RELEASE='@RELEASE@'
BASE='@BASE@'

# The most bytes that are taken, whatever a server sends: of the sums of a release (they take some 100 kB), of a
# signature, of an archive (2 MB), of an archive unpacked (8 MB). And the memory that unpacking may take (3 MiB).
MOST_SUMS=1048576
MOST_SIGNATURE=65536
MOST_ARCHIVE=33554432
MOST_UNPACKED=268435456
MOST_MEMORY=64MiB
# How often a mirror is asked for a file before the next one is. What brings this many new bytes does not count.
TRIES=5
PROGRESS=65536
# Further than so many addresses, none is followed to the next.
MOST_HOPS=10
# Slower than so many bytes a second, a transfer is given up.
SLOWEST=1000

NEWLINE='
'

help() {
    cat <<'END'
Downloads, verifies and installs anyarch's emulators, and the program anyarch,
into ~/.local.

  sh install.sh --target LIST [OPTION...]

  --target LIST   what to emulate: aarch64, arm, riscv64 ... and as others call
                  them: arm64, armhf, amd64, ppc64el; several with commas; or all;
                  anyarch is the program that runs foreign systems by emulators
  --host HOST     what it is to run on: amd64, arm64, arm/v7 ...; else this machine
  --prefix DIR    folder to install into: DIR/bin/qemu-<target>; default ~/.local
  --release NAME  release to install; default: the one that this script belongs to
  --from PLACE    a mirror: a URL (https, http, file) or a folder that the folder of
                  the release lies in; several times for several, in that order
  --key KEY       the release must be signed with it: a file with an OpenSSH public
                  key, or a key's fingerprint (SHA256:...)
  --list          list the emulators of the release, or those for --target and --host
  --uninstall     remove those of --target from --prefix, with their texts; downloads nothing
  --help          print this

  ANYARCH_FROM         mirrors, separated by spaces, if --from is not given
  ANYARCH_KEY          the key, if --key is not given
  ANYARCH_RETRY_DELAY  seconds before the second try, then doubled; default 1
  ANYARCH_TIMEOUT      seconds until a stalled download is given up; default 30

Prints the path of each file that it installs or removes, one per line; messages go to stderr.
Exit codes: 0 success, 1 failure, 2 usage error, 3 something is missing.
END
}

say() {
    printf 'anyarch: %s\n' "$*" >&2
}

# What was tried did not work.
fail() {
    say "$*"
    exit 1
}

# The command line asks for something that does not exist or does not fit.
misused() {
    say "$*"
    say "\`sh install.sh --help\` lists the options"
    exit 2
}

# The machine has no $1; the packages that have it are $2 in Debian and its relatives, $3 elsewhere.
lacks() {
    if has apt-get; then
        get="apt-get install -y $2"
    elif has apk; then
        get="apk add $3"
    elif has dnf; then
        get="dnf install -y $3"
    elif has zypper; then
        get="zypper install -y $3"
    elif has pacman; then
        get="pacman -S $3"
    else
        get="install the package $2 or $3"
    fi
    say "$1"
    say "  to fix it: $get"
    exit 3
}

has() {
    command -v "$1" >/dev/null 2>&1
}

lower() {
    printf '%s\n' "$1" | tr '[:upper:]' '[:lower:]'
}

size() {
    if [ -f "$1" ]; then
        wc -c <"$1"
    else
        echo 0
    fi
}

# An address without the user's name and password, for messages.
shown() {
    printf '%s\n' "$1" | sed 's|://[^/@]*@|://|'
}

# The command line -------------------------------------------------------------------------------

parse() {
    while [ "$#" -gt 0 ]; do
        option=$1
        shift
        case $option in
        --help | -h)
            help
            exit 0
            ;;
        --list)
            list=yes
            continue
            ;;
        --uninstall)
            uninstall=yes
            continue
            ;;
        --*=*)
            value=${option#*=}
            option=${option%%=*}
            ;;
        --target | --host | --prefix | --release | --from | --key)
            [ "$#" -gt 0 ] || misused "$option wants a value"
            value=$1
            shift
            ;;
        esac
        take "$option"
    done
}

take() {
    case $1 in
    --target) targets=$targets,$value ;;
    --host) host=$value ;;
    --prefix) prefix=$value ;;
    --release) release=$value ;;
    --from) from=$from$value$NEWLINE ;;
    --key) key=$value ;;
    *) misused "there is no option $1" ;;
    esac
}

# What was not said on the command line, and whether what was said can be.
settle() {
    case $release in
    @*@) misused "this copy of the script belongs to no release: name one with --release, as 10.2.2-1" ;;
    '' | .* | *..* | *[!A-Za-z0-9._-]*) misused "no release is named \`$release\`" ;;
    esac
    are_seconds "$delay" || misused "ANYARCH_RETRY_DELAY is whole seconds from 0 to 9999, without zeros in front"
    if ! are_seconds "$patience" || [ "$patience" = 0 ]; then
        misused "ANYARCH_TIMEOUT is whole seconds from 1 to 9999, without zeros in front"
    fi
    settle_mirrors
    if [ "$list" = no ] || [ "$host" ]; then
        host=$(host_named "$(lower "$host")") || exit
    fi
    if [ "$list" = no ]; then
        settle_place
    elif [ -z "${targets#,}" ]; then
        targets=all
    fi
}

# To some shells, 010 is 8, and 08 nothing at all.
are_seconds() {
    case $1 in
    *[!0-9]* | 0?* | ?????*) return 1 ;;
    esac
}

settle_mirrors() {
    if [ -z "$from" ]; then
        case $BASE in
        @*@) base= ;;
        *) base=$BASE ;;
        esac
        for one in ${ANYARCH_FROM:-$base}; do
            from=$from$one$NEWLINE
        done
    fi
    [ "$from" ] || misused "this copy of the script knows no place to download from: name one with --from"
    mirrors=
    IFS=$NEWLINE
    for one in $from; do
        one=$(mirror "$one") || exit
        mirrors=$mirrors$one$NEWLINE
    done
    unset IFS
}

# A mirror without a slash at its end; folders as absolute paths.
mirror() {
    case $1 in
    http://?* | https://?*) place=$1 ;;
    file:*%*) misused "$1: give the folder itself, without file://" ;;
    file:///*) place=${1#file://} ;;
    file://localhost/*) place=${1#file://localhost} ;;
    *://*) misused "$1: --from takes http://, https://, file:///, or a folder" ;;
    /*) place=$1 ;;
    *) place=$PWD/$1 ;;
    esac
    while [ "$place" != "${place%/}" ]; do
        place=${place%/}
    done
    printf '%s\n' "$place"
}

settle_place() {
    [ "${targets#,}" ] || misused "no target: pass --target aarch64, or several, separated by commas"
    if [ -z "$prefix" ]; then
        [ "${HOME:-}" ] || misused "HOME is not set: pass a folder with --prefix"
        prefix=$HOME/.local
    fi
    case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
    esac
}

# Names ------------------------------------------------------------------------------------------

# The file of what is installed under a name: the emulator of a target, or the program.
file_of() {
    case $1 in
    anyarch) echo anyarch ;;
    *) echo "qemu-$1" ;;
    esac
}

# QEMU's name of a target that Debian, Docker, the kernel or toolchains call otherwise. What is not known here is
# looked for in the release as it is.
target_named() {
    case ${1#linux/} in
    arm64 | arm64v8 | arm64/v8) echo aarch64 ;;
    arm64be) echo aarch64_be ;;
    armhf | armv7 | armv7l | arm/v7 | arm32v7 | armel | arm/v6) echo arm ;;
    armv7b) echo armeb ;;
    parisc) echo hppa ;;
    386 | i486 | i586 | i686 | x86) echo i386 ;;
    loong64) echo loongarch64 ;;
    mips64le) echo mips64el ;;
    mipsle) echo mipsel ;;
    openrisc) echo or1k ;;
    powerpc) echo ppc ;;
    powerpc64) echo ppc64 ;;
    ppc64el | powerpc64le) echo ppc64le ;;
    rv64) echo riscv64 ;;
    amd64 | x64 | x86-64) echo x86_64 ;;
    '' | *[!a-z0-9_]*) misused "no target is named \`$1\`" ;;
    *) printf '%s\n' "${1#linux/}" ;;
    esac
}

# A host as it stands in the names of archives: Docker's platform, `arm-v7` for `arm/v7`.
host_named() {
    case ${1#linux/} in
    '' | native) this_host ;;
    x86_64 | x64 | x86-64) echo amd64 ;;
    i386 | i486 | i586 | i686 | x86) echo 386 ;;
    aarch64 | arm64v8 | arm64/v8) echo arm64 ;;
    armhf | armv7 | armv7l | arm | arm32v7 | arm/v7) echo arm-v7 ;;
    armel | armv6 | armv6l | arm32v6 | arm/v6) echo arm-v6 ;;
    loongarch64) echo loong64 ;;
    mips64el) echo mips64le ;;
    mipsel) echo mipsle ;;
    ppc64el | powerpc64le) echo ppc64le ;;
    rv64) echo riscv64 ;;
    *[!a-z0-9/-]*) misused "no host is named \`$1\`" ;;
    *) printf '%s\n' "${1#linux/}" | tr / - ;;
    esac
}

# The host that this machine is. A 64-bit kernel may have only 32-bit programs, and says its own name then.
this_host() {
    system=$(uname -s)
    [ "$system" = Linux ] || misused "the emulators run on Linux, and this is $system; --host names another machine"
    machine=$(uname -m)
    case $machine/$(getconf LONG_BIT 2>/dev/null) in
    x86_64/32 | i?86/*) echo 386 ;;
    x86_64/*) echo amd64 ;;
    aarch64/32 | armv7*/* | armv8*/*) echo arm-v7 ;;
    aarch64/*) echo arm64 ;;
    armv6*/*) echo arm-v6 ;;
    loongarch64/*) echo loong64 ;;
    ppc64le/* | riscv64/* | s390x/*) printf '%s\n' "$machine" ;;
    mips/* | mips64/*)
        # Both byte orders go by one name.
        is_little_endian || misused "there are no emulators for big-endian MIPS hosts"
        case $machine/$(getconf LONG_BIT 2>/dev/null) in
        mips/* | */32) echo mipsle ;;
        *) echo mips64le ;;
        esac
        ;;
    *) misused "there are no emulators known for $machine: pass --host" ;;
    esac
}

is_little_endian() {
    [ "$(printf '\001\000' | od -An -d | tr -d ' ')" = 1 ]
}

# The machine's programs -------------------------------------------------------------------------

find_programs() {
    has tar || lacks 'tar is missing' tar tar
    if has sha256sum; then
        hasher=sha256sum
    elif has shasum; then
        hasher=shasum
    elif has openssl; then
        hasher=openssl
    else
        lacks 'there is no program for SHA-256: sha256sum, shasum or openssl' coreutils coreutils
    fi
    case $mirrors in
    http://* | https://* | *"$NEWLINE"http://* | *"$NEWLINE"https://*) find_fetcher ;;
    esac
    [ -z "$key" ] || has ssh-keygen ||
        lacks 'ssh-keygen is missing, which checks signatures' openssh-client openssh
}

find_fetcher() {
    if has curl; then
        fetcher=curl
    elif ! has wget; then
        lacks 'curl or wget is missing, which downloads files' curl curl
    elif wget --version 2>/dev/null | grep -q 'GNU Wget'; then
        fetcher=wget
    else
        # Busybox's, or one that knows as few options.
        fetcher=small-wget
    fi
}

sha256() {
    case $hasher in
    sha256sum) sha256sum <"$1" ;;
    shasum) shasum -a 256 <"$1" ;;
    openssl) openssl dgst -sha256 -r <"$1" ;;
    esac | cut -d ' ' -f 1
}

# Work and its end -------------------------------------------------------------------------------

# A private folder below $1, for all that is not yet what it should be.
make_work() {
    make_folder "$1" || fail "cannot make $1: pass another folder with --prefix"
    sweep "$1"
    work=$(mktemp -d "$1/.anyarch-install-XXXXXX" 2>/dev/null) ||
        fail "cannot write to $1: pass another folder with --prefix"
}

# Makes a folder, and those above it. What stays empty goes again.
make_folder() {
    [ ! -d "$1" ] || return 0
    case $1 in
    ?*/*) make_folder "${1%/*}" || return 1 ;;
    esac
    mkdir "$1" 2>/dev/null || [ -d "$1" ] || return 1
    made=$1$NEWLINE$made
}

# What runs that were killed outright left in the folder $1 goes when it is a day old: younger, it may be another
# machine's or container's that shares the folder. A shell has no locks, so who works keeps its folder young.
sweep() {
    set +f
    for old in "$1"/.anyarch-install-*; do
        [ -z "$(find "$old" -prune -type d -mtime +0 2>/dev/null)" ] || rm -rf "$old" 2>/dev/null
    done
    set -f
}

# Says that this run lives. Nothing that it does without doing this takes nearly a day.
stay_young() {
    : >"$work/young"
    rm -f "$work/young"
}

clean_up() {
    # Twice is once too often.
    trap '' EXIT HUP INT TERM
    set -f
    # A milder signal is lost on a child that a shell is only just starting.
    for one in $child $watcher; do
        kill -s KILL "$one" 2>/dev/null
    done
    # One that is ended must not write any more.
    for one in $child $watcher; do
        wait "$one" 2>/dev/null
    done
    [ "$is_swapping" = no ] || take_back
    [ -z "$staged" ] || rm -rf "$staged" "$stage"
    [ -z "$work" ] || rm -rf "$work"
    IFS=$NEWLINE
    for one in $made; do
        # Only if it is empty.
        rmdir "$one" 2>/dev/null
    done
}

# Downloads --------------------------------------------------------------------------------------

# Becomes the program that fetches the address $1 to the file $2, behind what the file has. It runs in a process of
# its own, which may not write more than $3 bytes: it gets an error then, and no signal.
request() {
    trap '' XFSZ
    ulimit -f $((($3 + 511) / 512)) 2>/dev/null
    case $1/$fetcher in
    /*) exec cat "$1" >"$2" ;;
    */curl) request_by_curl "$@" ;;
    */wget) exec wget -nv -S --tries=1 --max-redirect=0 -c -O "$2" "$1" ;;
    *) exec wget -q -S -c -O "$2" "$1" ;;
    esac
}

request_by_curl() {
    # Who begins encrypted is not led elsewhere in the clear.
    case $1 in
    https:*) protocols='=https' ;;
    *) protocols='=http,https' ;;
    esac
    output=$2
    set -- --fail --location --max-redirs 10 --globoff --proto "$protocols" -w '  HTTP/ %{http_code}\n' -C - -o "$2" "$1"
    if [ -t 3 ] && [ "$output" = "$work/archive" ]; then
        exec curl --progress-bar "$@" 2>&3
    fi
    exec curl --silent --show-error "$@"
}

# Ends the transfer $1 to the file $2 when that does not grow as it should.
watch() {
    seen=0
    passed=0
    while sleep 1; do
        passed=$((passed + 1))
        [ "$passed" -ge "$patience" ] || continue
        stay_young
        now=$(size "$2")
        # Smaller than before: it began again.
        [ "$now" -ge "$seen" ] || seen=0
        if [ "$((now - seen))" -lt "$((SLOWEST * patience))" ]; then
            : >"$work/stalled"
            kill -s KILL "$1"
            return
        fi
        seen=$now
        passed=0
    done
}

# Waits for the child; a signal to this script ends the waiting, and in `clean_up` the child.
attend() {
    wait "$child" 2>/dev/null
    result=$?
    child=
}

# One transfer, as `request` has it, from the address $1 or where that leads. Sets `result` to the program's exit code,
# `http` to the last answer's status, or nothing, `hops`, and `astray` to how the address leads where it must not.
transfer() {
    place=$1
    hops=0
    astray=
    while :; do
        transfer_from "$place" "$2" "$3"
        case $fetcher/$place in
        # No wget can be told which addresses it may be led to; but this one can be told to stay.
        wget/http*) follow || return ;;
        small-wget/https:*)
            look_back
            return
            ;;
        *) return ;;
        esac
    done
}

transfer_from() {
    stay_young
    rm -f "$work/stalled"
    request "$@" >"$work/log" 2>&1 &
    child=$!
    watch "$child" "$2" </dev/null >/dev/null 2>&1 3>&- &
    watcher=$!
    attend
    kill -s KILL "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    watcher=
    http=$(sed -n 's|.*HTTP/[0-9.]* \([1-5][0-9][0-9]\).*|\1|p' "$work/log" | tail -n 1)
}

# Sets `place` to where the last answer leads, if it leads anywhere that may be asked.
follow() {
    case $http in
    30[12378]) ;;
    *) return 1 ;;
    esac
    # Of the last answer: a proxy may have given one of its own before.
    to=$(awk '
        / HTTP\// { to = "" }
        tolower($0) ~ /^[ \t]*location:/ { to = $0; sub(/^[^:]*:[ \t]*/, "", to); sub(/[ \t\r]*$/, "", to) }
        END { print to }
    ' "$work/log")
    [ "$to" ] && [ "$hops" -lt "$MOST_HOPS" ] || return 1
    hops=$((hops + 1))
    host_of_place=${place#*://}
    without_query=${place%%[?#]*}
    case $to in
    //*) to=${place%%:*}:$to ;;
    /*) to=${place%%://*}://${host_of_place%%/*}$to ;;
    [?#]*) to=$without_query$to ;;
    *)
        case ${to%%[/?#]*} in
        *:*) ;;
        *) to=${without_query%/*}/$to ;;
        esac
        ;;
    esac
    may_lead "$to" || return 1
    place=$to
}

# Whether `place` may lead to the address $1: encrypted, only to what is, too.
may_lead() {
    scheme=$(lower "${1%%:*}" | tr -cd 'a-z0-9+.-')
    case ${place%%:*}/$scheme in
    */https | http/http) return 0 ;;
    esac
    astray="redirects from ${place%%:*} to $scheme"
    return 1
}

# Looks where a wget was led that can't be told to stay: with it, one can only refuse what it brought. What is no
# address and no path it takes for the name of a host, to be asked in the clear.
look_back() {
    if grep -i '^[[:space:]]*location:' "$work/log" |
        grep -qiv '^[[:space:]]*location:[[:space:]]*\(https://\|/\)'; then
        astray='redirects from https to something else'
    fi
}

# What went wrong with the last transfer, in words.
reason() {
    last=$(grep -v -e '^ *HTTP/' -e '^Giving up' "$work/log" | tail -n 1)
    if [ -e "$work/stalled" ]; then
        echo "slower than $SLOWEST bytes per second for $patience s"
    elif [ "${http:-0}" -ge 400 ]; then
        echo "the server says $http"
    elif [ "$hops" -ge "$MOST_HOPS" ]; then
        echo "it redirects too often"
    else
        printf '%s\n' "${last:-the downloader ended with exit code $result}" | sed 's/[.;]*$//'
    fi
}

# Gets the file $2 of the release from the mirror $1 to the file $3, at most $4 bytes. $5 is a function that says
# whether the file is right; where that is known, a transfer that broke goes on from where it did. Says why not.
get() {
    address=$1/$release/$2
    tries=0
    best=0
    rm -f "$3"
    while :; do
        [ "$5" != is_whole ] || rm -f "$3"
        had=$(size "$3")
        transfer "$address" "$3" "$4"
        if [ "$astray" ]; then
            rm -f "$3"
            say "$(shown "$address") $astray, so it is not used"
            return 1
        fi
        "$5" "$3" && return 0
        is_worth_a_try "$3" "$4" || return 1
        pause "$(reason)" || return 1
    done
}

# Whether the transfer went to its end, for files whose hash is not known beforehand.
is_whole() {
    [ "$result" = 0 ]
}

# Whether it is the file that the sums vouch for, however it came.
is_wanted() {
    [ -f "$1" ] && [ "$(sha256 "$1")" = "$wanted" ]
}

# Judges a transfer to the file $1, of at most $2 bytes, that did not bring what it should: whether to try again.
# Nothing stays of a file that can't be continued.
is_worth_a_try() {
    now=$(size "$1")
    if [ "$now" -ge "$2" ]; then
        say "$(shown "$address") is longer than $2 bytes, so it is not an anyarch file"
        return 1
    fi
    ! is_disk_full || fail "cannot write $1: the disk is full"
    if is_final; then
        say "$(shown "$address"): $(reason)"
        return 1
    fi
    if [ "$result" = 0 ] && [ "$had" = 0 ]; then
        say "$(shown "$address") has the wrong content: its sha256 is not the one in SHA256SUMS"
        return 1
    fi
    # The server does not know ranges, or gave another one, or the beginning was wrong.
    case $result/$http in
    0/* | */200 | */416) [ "$had" = 0 ] || rm -f "$1" ;;
    */206) [ "$now" -gt "$had" ] || rm -f "$1" ;;
    esac
    if [ "$now" -ge "$((best + PROGRESS))" ]; then
        best=$now
        tries=0
    fi
}

# A full disk may have no room for a program's message about it.
is_disk_full() {
    if head -c "$PROGRESS" /dev/zero 2>/dev/null >"$work/probe"; then
        rm -f "$work/probe"
        return 1
    fi
}

# Whether another try would end the same way: the server does not have it, the certificate is wrong, the folder is
# one of this machine.
is_final() {
    case $http in
    408 | 416 | 429) return 1 ;;
    4??) return 0 ;;
    esac
    case $address/$fetcher/$result in
    /*/0) return 1 ;;
    /* | */curl/[123] | */curl/60 | */curl/77 | */wget/[25]) return 0 ;;
    esac
    return 1
}

# Waits before the next try, longer each time. There is no next one after the last.
pause() {
    tries=$((tries + 1))
    if [ "$tries" -ge "$TRIES" ]; then
        say "$(shown "$address"): $1; tried $TRIES times"
        return 1
    fi
    seconds=$((delay << (tries - 1)))
    say "$(shown "$address"): $1; again in $seconds s"
    sleep "$seconds" &
    child=$!
    attend
}

# The release ------------------------------------------------------------------------------------

# The sums of the first mirror whose sums can be used: to $work/sums. That mirror is then asked first.
get_sums() {
    IFS=$NEWLINE
    for one in $mirrors; do
        unset IFS
        if has_sums "$one"; then
            mirrors=$one$NEWLINE$(printf '%s' "$mirrors" | grep -vxF -e "$one")$NEWLINE
            return
        fi
    done
    fail "cannot download release $release: every mirror failed, as listed above"
}

has_sums() {
    sums=$work/sums
    get "$1" SHA256SUMS "$sums" "$MOST_SUMS" is_whole || return 1
    if ! are_sums "$sums"; then
        say "$(shown "$1")/$release/SHA256SUMS is truncated or not a list of hashes"
        return 1
    fi
    if [ "$key" ]; then
        if ! get "$1" SHA256SUMS.sig "$work/signature" "$MOST_SIGNATURE" is_whole; then
            say "$(shown "$1")/$release is not signed, but --key requires a signature by the key in $key"
            return 1
        fi
        is_signed "$1" || return 1
    fi
    write_index && return 0
    # Another release's, say, in all else as they should be.
    say "$(shown "$1")/$release/SHA256SUMS lists no emulator of release $release"
    return 1
}

# Whether all lines are those of `sha256sum`, the last one whole, each name once.
are_sums() {
    [ -s "$1" ] && [ -z "$(tail -c 1 "$1")" ] || return 1
    ! grep -Evq '^[0-9a-f]{64}  [A-Za-z0-9][A-Za-z0-9._+-]*$' "$1" || return 1
    [ -z "$(cut -d ' ' -f 3 "$1" | sort | uniq -d)" ]
}

# Whether the sums that the mirror $1 gave are signed by the key.
is_signed() {
    case $key in
    SHA256:*)
        # The signature holds the key, and is checked with it; whose that is, the fingerprint tells.
        ssh-keygen -Y check-novalidate -n anyarch -s "$work/signature" <"$sums" >"$work/log" 2>&1 &&
            grep -qE "^Good \"anyarch\" signature with [A-Z0-9-]+ key $(quoted "$key")\$" "$work/log" && return 0
        ;;
    *) is_signed_by_file && return 0 ;;
    esac
    ! grep -qi -e 'unknown option' -e 'illegal option' "$work/log" ||
        lacks 'this ssh-keygen is too old to check signatures; OpenSSH 8.1 can' openssh-client openssh
    say "$(shown "$1")/$release/SHA256SUMS is not signed by the key in $key"
    return 1
}

# A fingerprint as a regular expression has it.
quoted() {
    printf '%s\n' "$1" | sed 's/+/[+]/g'
}

is_signed_by_file() {
    ssh-keygen -Y verify -f "$work/signers" -I anyarch -n anyarch -s "$work/signature" <"$sums" >"$work/log" 2>&1
}

# Without a key, all depends on the mirror $1, and on the way to it.
say_what_is_trusted() {
    say "no --key: the files are checked only against SHA256SUMS from $(shown "$1")"
    case $fetcher/$1 in
    small-wget/https:*)
        say "  and this wget may not check certificates, so another server could pretend to be that one"
        say "  to be safe: pass --key, or install curl"
        ;;
    esac
}

# The key as a list of those who may sign, for ssh-keygen.
read_key() {
    case $key in
    SHA256:*[!A-Za-z0-9+/]*) misused "\`$key\` is no fingerprint of a key" ;;
    SHA256:*) return ;;
    esac
    [ -r "$key" ] || misused "cannot read the key $key"
    grep -E '^(ssh|ecdsa|sk)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+( |$)' "$key" | sed 's/^/anyarch /' >"$work/signers"
    [ -s "$work/signers" ] || misused "$key contains no OpenSSH public key (a line that begins with ssh-ed25519, for example)"
}

# The archives of the release, a line each: target, host, format, hash, name. There must be some.
write_index() {
    while read -r hash name; do
        case $name in
        qemu-*-"$release"-linux-*.tar.xz | anyarch-"$release"-linux-*.tar.xz) format=xz ;;
        qemu-*-"$release"-linux-*.tar.zst | anyarch-"$release"-linux-*.tar.zst) format=zst ;;
        *) continue ;;
        esac
        pair=${name#qemu-}
        pair=${pair%.tar.*}
        echo "${pair%%-"$release"-linux-*} ${pair#*-"$release"-linux-} $format $hash $name"
    done <"$sums" >"$work/index"
    [ -s "$work/index" ]
}

# The targets that there are for the host, or for any.
targets_there() {
    awk -v host="$host" '(host == "" || $2 == host) && !seen[$1]++ { print $1 }' "$work/index" | tr '\n' ' '
}

hosts_there() {
    awk '!seen[$2]++ { print $2 }' "$work/index" | sort | tr '\n' ' '
}

# QEMU's names of the targets that are asked for, each once, each of which the release has for the host.
resolve_targets() {
    there=$(targets_there)
    [ "$there" ] || misused "release $release has nothing for the host $host; it has $(hosts_there)"
    chosen=
    for one in $(lower "$targets" | tr ',' ' '); do
        if [ "$one" = all ]; then
            choose_all
            continue
        fi
        one=$(target_named "$one") || exit
        case " $there" in
        *" $one "*) choose_targets "$one" ;;
        *) misused "release $release has no $one${host:+ for $host}; it has $there" ;;
        esac
    done
}

# All is all that emulates; a list has everything.
choose_all() {
    for every in $there; do
        case $every/$list in
        anyarch/no) ;;
        *) choose_targets "$every" ;;
        esac
    done
}

# Adds these targets to the chosen ones that they are not yet among.
choose_targets() {
    for each in $1; do
        case "$chosen " in
        *" $each "*) ;;
        *) chosen="$chosen $each" ;;
        esac
    done
}

# Prints what was chosen of the release, a target with its hosts a line.
print_list() {
    awk -v chosen="$chosen" -v only="$host" '
        BEGIN { number = split(chosen, order, " ") }
        (only == "" || $2 == only) && !seen[$1, $2]++ { hosts[$1] = hosts[$1] " " $2 }
        END { for (i = 1; i <= number; i++) print order[i] ":" hosts[order[i]] }
    ' "$work/index"
}

# An emulator, or the program --------------------------------------------------------------------

install_emulator() {
    target=$1
    program=$(file_of "$target")
    emulator=$prefix/bin/$program
    docs=share/doc/anyarch/$program
    if is_current; then
        say "$emulator is up to date"
    else
        choose_format
        get_archive
        unpack
        put_in_place
        say "installed $program of release $release for $host"
        greet
    fi
    printf '%s\n' "$emulator"
}

# Whether the emulator that is there and its texts came from an archive of this release. A file among the texts says
# from which, and what the hashes were: two releases that are installed at once may leave some of each.
is_current() {
    [ -x "$emulator" ] && [ -f "$prefix/$docs/.installed" ] || return 1
    read -r from_archive of_emulator of_texts <"$prefix/$docs/.installed" || return 1
    grep -q "^$target $host [a-z]* ${from_archive:-none} " "$work/index" || return 1
    [ "$(sha256 "$emulator")" = "$of_emulator" ] && [ "$(hash_of_texts "$prefix/$docs")" = "$of_texts" ]
}

# One hash of all texts in the folder $1, and of their names.
hash_of_texts() {
    set +f
    for text in "$1"/*; do
        [ ! -f "$text" ] || printf '%s  %s\n' "$(sha256 "$text")" "${text##*/}"
    done >"$work/texts"
    set -f
    sha256 "$work/texts"
}

# The archive that this machine can unpack. Busybox's xz knows no filters, which most archives were packed with, so
# it comes last.
choose_format() {
    if is_xz_utils && choose xz; then
        unpacker="xz -dc --format=xz --memlimit-decompress=$MOST_MEMORY"
    elif has zstd && choose zst; then
        unpacker="zstd -dcq --memory=$MOST_MEMORY"
    elif has xz && choose xz; then
        unpacker='xz -dc'
    else
        lacks 'xz is missing, which unpacks the archives' xz-utils xz
    fi
}

is_xz_utils() {
    has xz && xz --version 2>/dev/null | grep -q 'XZ Utils'
}

# Sets the name and the hash of the archive in this format, if there is one.
choose() {
    row=$(grep "^$target $host $1 " "$work/index") || return 1
    archive=${row##* }
    wanted=${row% *}
    wanted=${wanted##* }
}

get_archive() {
    IFS=$NEWLINE
    for one in $mirrors; do
        unset IFS
        say "downloading $archive from $(shown "$one")"
        get "$one" "$archive" "$work/archive" "$MOST_ARCHIVE" is_wanted && return
    done
    fail "cannot download $archive: every mirror failed, as listed above"
}

# Unpacks the archive, whose hash was right, to $work/tree, when it holds what it should and nothing else.
unpack() {
    (
        trap '' XFSZ
        ulimit -f $((MOST_UNPACKED / 512)) 2>/dev/null
        # Several words: a program and its options.
        # shellcheck disable=SC2086
        exec $unpacker <"$work/archive" >"$work/tar" 2>"$work/log"
    ) || not_unpacked
    if ! tar -tf "$work/tar" >"$work/names" 2>"$work/log" || ! tar -tvf "$work/tar" >"$work/kinds" 2>>"$work/log"; then
        fail "$archive is not a tar archive: $(tail -n 1 "$work/log")"
    fi
    odd=$(odd_members) || fail "cannot list the files of $archive"
    [ -z "$odd" ] || fail "$archive contains files that do not belong there, so it is not unpacked: $odd"
    tree=$work/tree
    rm -rf "$tree"
    if ! mkdir "$tree" || ! (cd "$tree" && tar -xof ../tar) 2>"$work/log"; then
        ! is_disk_full || fail "cannot write $tree: the disk is full"
        fail "cannot unpack $archive: $(tail -n 1 "$work/log")"
    fi
    # What a tar lists and what it makes may differ.
    [ -z "$(find "$tree" ! -type d \( ! -type f -o -links +1 \))" ] || fail "$archive contains links or devices"
    # A file with holes takes hardly any room in an archive, and may be of any length.
    [ -z "$(find "$tree" -type f -size +$((($(size "$work/tar") + 511) / 512)))" ] ||
        fail "$archive contains a file that is longer than the whole archive, unpacked"
}

not_unpacked() {
    # xz leaves zeros out of files, so it may have come less far than it says.
    if [ "$(size "$work/tar")" -ge "$MOST_UNPACKED" ] || grep -q 'File too large' "$work/log"; then
        fail "$archive unpacks to more than $MOST_UNPACKED bytes"
    fi
    ! is_disk_full || fail "cannot write $work/tar: the disk is full"
    ! grep -qi -e 'memory usage limit' -e 'window size larger' "$work/log" ||
        fail "$archive needs more than $MOST_MEMORY of memory to unpack, so it is not an anyarch archive"
    [ "$unpacker" != 'xz -dc' ] || is_xz_utils ||
        lacks 'this xz cannot unpack the archive: it is a small version without filters' xz-utils xz
    fail "cannot unpack $archive: $(tail -n 1 "$work/log")"
}

# The first member that has no place in an archive, or the emulator if it is not there. $work/names and $work/kinds
# list the same members; the second as `ls -l` does, with `d` or `-` in front, and where a link leads at the end.
odd_members() {
    awk -v emulator="bin/$program" -v docs="$docs" '
        function is_folder(name) { return name == "bin" || index(docs "/", name "/") == 1 }
        function is_text(name) {
            return index(name, docs "/") == 1 && substr(name, length(docs) + 2) ~ /^[A-Za-z0-9][A-Za-z0-9._+-]*$/
        }
        FILENAME == ARGV[1] { kind[FNR] = / -> | link to / ? "l" : substr($0, 1, 1); rows = FNR; next }
        {
            names = FNR
            name = $0
            sub(/\/$/, "", name)
            right = kind[FNR] == "d" ? is_folder(name) : kind[FNR] == "-" && (name == emulator || is_text(name))
            if (!right || seen[name]++) { print (kind[FNR] ~ /[-d]/ ? "" : "a link or device, ") $0; odd = 1; exit }
        }
        END {
            if (!odd && rows != names) print "names of several lines"
            else if (!odd && !seen[emulator]) print "no " emulator
        }
    ' "$work/kinds" "$work/names"
}

# Puts the files where they belong. First all are brought beside their places, to private folders, which shows that
# there is permission and room; then there are only renames, the emulator's last. If one of them fails all the same, or
# a signal comes, `clean_up` takes all of it back.
put_in_place() {
    texts=$prefix/$docs
    stage=$texts/${work##*/}
    staged=$prefix/bin/${work##*/}
    bring_emulator
    bring_texts
    swap
    rm -rf "$staged" "$stage"
    staged=
}

# First of all, as most is wrong with `bin`, if anything is.
bring_emulator() {
    [ ! -d "$emulator" ] || fail "$emulator is a folder, but must be a file"
    make_folder "$prefix/bin" || fail "cannot make $prefix/bin"
    sweep "$prefix/bin"
    of_emulator=$(sha256 "$tree/bin/$program")
    if ! chmod 755 "$tree/bin/$program" || ! mkdir "$staged" || ! mv -f "$tree/bin/$program" "$staged/"; then
        fail "cannot write $emulator"
    fi
}

# The texts, and among them what says where all of it is from; and copies of the old ones.
bring_texts() {
    make_folder "$texts" || fail "cannot make $texts"
    sweep "$texts"
    mkdir "$stage" "$stage/new" "$stage/old" || fail "cannot write to $texts"
    set +f
    for file in "$texts"/* "$texts/.installed"; do
        # Another run may remove it meanwhile.
        [ ! -f "$file" ] || cp -p "$file" "$stage/old/" || [ ! -f "$file" ] || fail "cannot copy $file"
    done
    for file in "$tree/$docs"/*; do
        [ -f "$file" ] || continue
        [ ! -d "$texts/${file##*/}" ] || fail "$texts/${file##*/} is a folder, but must be a file"
        if ! chmod 644 "$file" || ! mv -f "$file" "$stage/new/"; then
            fail "cannot write $texts/${file##*/}"
        fi
    done
    set -f
    printf '%s %s %s\n' "$wanted" "$of_emulator" "$(hash_of_texts "$stage/new")" >"$stage/new/.installed" ||
        fail "cannot write to $texts"
}

# The new texts take the places of the old ones, and then the emulator does.
swap() {
    placed=$NEWLINE
    is_swapping=yes
    set +f
    for file in "$stage/new"/* "$stage/new/.installed"; do
        [ -f "$file" ] || continue
        placed=$placed$texts/${file##*/}$NEWLINE
        mv -f "$file" "$texts/" || fail "cannot write $texts/${file##*/}"
    done
    # What only another release has.
    for file in "$texts"/*; do
        case $placed in
        *"$NEWLINE$file$NEWLINE"*) ;;
        *) [ ! -f "$file" ] || rm -f "$file" || fail "cannot remove $file" ;;
        esac
    done
    set -f
    mv -f "$staged/$program" "$emulator" || fail "cannot write $emulator"
    is_swapping=no
}

# Undoes what `swap` began, unless it has come to its end.
take_back() {
    [ -e "$staged/$program" ] || return 0
    IFS=$NEWLINE
    for file in $placed; do
        rm -f "$file"
    done
    set +f
    for file in "$stage/old"/* "$stage/old/.installed"; do
        [ ! -f "$file" ] || mv -f "$file" "$texts/"
    done
    set -f
}

# The emulator's own words, where it can run.
greet() {
    [ "$is_native" = yes ] || return 0
    words=$("$emulator" --version 2>/dev/null </dev/null | head -n 1)
    say "${words:-$emulator is installed, but does not run here}"
}

# ------------------------------------------------------------------------------------------------

# Removal ----------------------------------------------------------------------------------------

# Takes away what was installed here, and folders that are empty then. What has no texts of ours is somebody else's.
remove_all() {
    docs=$prefix/share/doc/anyarch
    status=0
    for one in $(printf '%s\n' "${targets#,}" | tr , ' '); do
        if [ "$one" = all ]; then
            remove_emulators
        else
            target=$(target_named "$(lower "$one")") || exit
            remove_one "$(file_of "$target")"
        fi
    done
    for folder in "$docs" "$prefix/share/doc" "$prefix/share" "$prefix/bin"; do
        rmdir "$folder" 2>/dev/null || :
    done
    return "$status"
}

remove_emulators() {
    set +f
    for found in "$docs"/qemu-*; do
        [ ! -d "$found" ] || remove_one "${found##*/}"
    done
    set -f
}

# The emulator goes before its texts: a run that is killed between them is repeated.
remove_one() {
    if [ ! -d "$docs/$1" ] || [ -h "$docs/$1" ]; then
        say "$1 was not installed in $prefix by anyarch: left alone"
        status=1
        return 0
    fi
    if ! rm -f "$prefix/bin/$1" || ! rm -rf "${docs:?}/$1"; then
        fail "cannot remove $1 from $prefix"
    fi
    say "removed $1"
    printf '%s\n' "$prefix/bin/$1"
}

main() {
    # Else bash counts `ulimit -f` in other units.
    # shellcheck disable=SC3040
    [ -z "${BASH_VERSION:-}" ] || set -o posix
    set -uf
    umask 022
    unset IFS CDPATH
    LC_ALL=C
    export LC_ALL
    targets=
    host=
    prefix=
    release=$RELEASE
    from=
    key=${ANYARCH_KEY:-}
    list=no
    uninstall=no
    delay=${ANYARCH_RETRY_DELAY:-1}
    patience=${ANYARCH_TIMEOUT:-30}
    child=
    watcher=
    hops=0
    work=
    made=
    staged=
    is_swapping=no
    fetcher=none
    parse "$@"
    if [ "$uninstall" = yes ]; then
        settle_place
        remove_all
        return
    fi
    is_native=no
    [ "$host" ] || is_native=yes
    settle
    find_programs
    # What a progress bar is drawn on, while messages of programs go to a file.
    exec 3>&2
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ "$list" = yes ]; then
        make_work "${TMPDIR:-/tmp}"
    else
        make_work "$prefix"
    fi
    [ -z "$key" ] || read_key
    get_sums
    resolve_targets
    if [ "$list" = yes ]; then
        print_list
        return
    fi
    [ "$key" ] || say_what_is_trusted "${mirrors%%"$NEWLINE"*}"
    for one in $chosen; do
        install_emulator "$one"
    done
    case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) say "$prefix/bin is not in PATH" ;;
    esac
}

main "$@"
