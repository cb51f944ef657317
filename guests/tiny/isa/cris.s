/*
 * cris: tiny.c in assembly, for want of a compiler. For v32, which is what QEMU takes
 * programs to be made for. The instruction after a branch is executed, too.
 *
 * r0 the arguments, r1 argc, r2 the status, r3 the end of argv; on the stack two
 * struct iovec, the word that wait4 fills and a struct utsname
 */
    FORK = 2
    EXECVE = 11
    WAIT4 = 114
    UNAME = 122
    WRITEV = 146
    EXIT = 1

    STATUS = 16
    SYSTEM = 20
    RELEASE = 2 * 65

/* The string r4 gets an end instead of its NUL, and r6 leads to a struct iovec that says where it is. */
    .macro ended_by last
    move.d $r4, [$r6+]
    move.d $r4, $r5
0:  move.b [$r5+], $r7
    bne 0b
    nop
    subq 1, $r5
    move.d \last, $r7
    move.b $r7, [$r5+]
    sub.d $r4, $r5
    move.d $r5, [$r6+]
    .endm

    .globl _start
_start:
    move.d $sp, $r0
    move.d $sp, $r3
    move.d [$r3+], $r1
    move.d $r1, $r4
    lslq 2, $r4
    add.d $r4, $r3
    sub.d 512, $sp
    move.d 40, $r2
    cmpq 3, $r1
    blt line
    nop

    moveq FORK, $r9
    break 13
    cmpq 0, $r10
    bne parent
    nop
    move.d $r0, $r11            ; the child: argv[1], argv + 1, envp
    addq 8, $r11
    move.d [$r11], $r10
    move.d $r3, $r12
    addq 4, $r12
    moveq EXECVE, $r9
    break 13
    neg.d $r10, $r10
    moveq EXIT, $r9
    break 13

parent:
    move.d $sp, $r11
    addq STATUS, $r11
    moveq 1, $r4                ; killed, if there is no child to wait for
    move.d $r4, [$r11]
    moveq 0, $r12
    moveq 0, $r13
    move.d WAIT4, $r9
    break 13
    move.d 99, $r2
    move.d $sp, $r4
    addq STATUS, $r4
    move.d [$r4], $r4
    move.d $r4, $r5
    and.d 0x7f, $r5
    bne line
    nop
    lsrq 8, $r4
    and.d 0xff, $r4
    move.d $r4, $r2

line:
    move.d $sp, $r10
    addq SYSTEM, $r10
    move.d $r10, $r4
    move.d UNAME, $r9
    break 13
    add.d RELEASE, $r4
    move.d $sp, $r6
    ended_by ' '
    subq 4, $r3                 ; argv[argc - 1]
    move.d [$r3], $r4
    ended_by 10
    moveq 1, $r10
    move.d $sp, $r11
    moveq 2, $r12
    move.d WRITEV, $r9
    break 13
    move.d $r2, $r10
    addq 1, $r10
    moveq EXIT, $r9
    break 13
