# Rule 2: off is inert. Without --execve, an emulator makes the system calls of
# an unpatched one: the same ones with the same arguments in the same order, in
# every process and thread that all cases with one thread make.
#
# Part of contract.sh, which has set $emulator, $upstream, $dir and made ./guest.
#
# What is no difference between the two emulators, and is taken out:
#   - addresses and sizes of memory, since the two files are not equally long,
#     and process ids, times, random bytes, the machine's load: numbers of four
#     digits and more, shorter process ids where they stand, getrandom, sysinfo;
#   - lines that tell what came rather than what was asked for (signals, ends);
#   - futex: which of two threads comes first is chance, and so is whether the
#     loser sleeps;
#   - what a read of /proc/self/maps brings: it depends on the sizes above;
#   - the emulator's own thread, which waits to free memory: how far it has got
#     when its process ends is chance. What executes or ends a process is kept;
#   - what the topic `fixes` adds: memory and a futex by which a vfork's parent
#     waits, how /proc/self/stat and the stack are put together, two limits that
#     are looked up, and one more file of /proc that a path is compared with, for
#     which the process asks for its own number;
#   - what the topic `fast` spares a process that starts: that thread (and what
#     masks signals meanwhile), memory that has no name, symbols for logs;
#   - which of two processes is born first: the order within each is compared.
#
# SPDX-License-Identifier: GPL-2.0-or-later

# system_calls CASES EMULATOR OPTION...: a line for each process
system_calls() {
    cases=$1; cp "$2" traced; chmod 755 traced; shift 2
    rm -rf traced.d traces; mkdir traces
    # shellcheck disable=SC2086
    setarch -R strace -ff -qq -a 0 -s 64 -e signal=none -o traces/t ./traced "$@" ./guest --run "$dir/traced.d" $cases > /dev/null 2>&1
    grep -lE '^(execve|execveat|exit_group)\(' traces/t.* | while read -r trace; do
        sed 's/0x[0-9a-f]*/X/g; s/[0-9]\{4,\}/N/g
             /^\(brk\|munmap\|sysinfo\|rt_sigprocmask\)(/d; /^clone3\?(.*CLONE_THREAD/d; /^rt_sigaction(SIGRT_1, /d
             /^mmap(NULL, N, [^,]*, MAP_PRIVATE|MAP_ANONYMOUS[^,]*, -1, 0)/d; /^mprotect(X, N, PROT_READ|PROT_WRITE)/d
             /^pread64(.*, N, N) = N$/d
             /^prlimit64(0, RLIMIT_\(AS\|DATA\), NULL, /d; /^prlimit64(0, RLIMIT_STACK, /d; /^mprotect(X, N, PROT_NONE) /d
             /^mmap(X, N, PROT_READ|PROT_WRITE[^,]*, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0)/d
             /^mmap(NULL, N, [^,]*, MAP_SHARED|MAP_ANONYMOUS, -1, 0)/d; /^\(set_robust_list\|gettid\)(/d; /^waitid(.*WNOWAIT/d
             /^memfd_create("qemu-open"/,/^lseek(/{/^write(/d; /^open[a-z]*(.*"\/proc\/self\/stat"/d; /^\(read\|fstat\|newfstatat\|close\)(/d
             }
             /^read([0-9]*, "[0-9N]* (/s/.*/read(stat)/
             /^futex/d; /resumed>/d; /^+++/d; /^---/d; /^restart_syscall/d
             /^\(get[a-z]*id\|gettid\|set_tid_address\|v\?fork\|clone3\?\|wait4\|waitid\)(/s/ = [1-9][0-9]*$/ = N/
             s/^\(kill\|tkill\|rt_sigqueueinfo\|wait4\|setpgid\|getpgid\|getsid\)([1-9][0-9]*/\1(N/
             s/^tgkill([1-9][0-9]*, [1-9][0-9]*/tgkill(N, N/; s/^waitid(P_PID, [1-9][0-9]*/waitid(P_PID, N/
             s/\("--pid", "\)[1-9][0-9]*/\1N/
             s/\(_[pt]*id=\[*\)[1-9][0-9]*/\1N/g; s/^\(readlink("\/proc\/self", \).*/\1.../
             s/\(\/proc\/\)[1-9][0-9]*/\1N/g
             s/^getrandom(.*/getrandom/
             /^read([0-9]*, "X-/s/.*/read(maps)/; /^read([0-9]*, "[0-9a-f]*-/s/.*/read(maps)/
             /^pread64/s/"[^"]*"/bytes/' "$trace" |
            awk '!/^getpid\(/ || before !~ /^getpid\(/ { print } { before = $0 }' | tr '\n' '\036'
        echo
    done | sort
}

if [ -z "$upstream" ]; then
    skip "off makes the same system calls as upstream" "no unpatched emulator was given"
elif ! command -v strace > /dev/null || ! setarch -R strace true 2> /dev/null; then
    skip "off makes the same system calls as upstream" "needs strace and setarch, and may use them"
else
    # On a machine that was just started, process ids are as short as other
    # numbers: the shortest are used up.
    short=1000
    while [ "$short" -gt 0 ] && [ "$(sh -c 'echo $$')" -lt 1000 ]; do short=$((short - 1)); done
    # All with one thread, and not those that try all descriptors one by one.
    alone="args_ env_ path_ keep_ at_ script_ exe_ interp_ error_ fds_close_range fds_replace_limit library_"
    system_calls "$alone" "$upstream" > calls.upstream
    system_calls "$alone" "$emulator" > calls.off
    count=$(tr '\036' '\n' < calls.off | wc -l)
    if [ "$count" -gt 5000 ] && cmp -s calls.upstream calls.off; then
        ok "off makes the same system calls as upstream ($count, in $(wc -l < calls.off) processes)"
    else
        diff calls.upstream calls.off | grep '^<' | head -1 | tr '\036' '\n' > a
        diff calls.upstream calls.off | grep '^>' | head -1 | tr '\036' '\n' > b
        bad "off makes the same system calls as upstream" "$count calls; the first process that differs:
$(diff a b | head -20)"
    fi
    # Could it tell? With the option on it has to.
    system_calls exe_ "$upstream" > calls.upstream
    system_calls exe_ "$emulator" --execve self > calls.on
    if cmp -s calls.upstream calls.on; then
        bad "the comparison sees what the option does"
    else
        ok "the comparison sees what the option does"
    fi
fi
