/*
 * microblaze, microblazeel: tiny.c in assembly, for want of a compiler.
 *
 * r19 the arguments, r20 argc, r21 the status; on the stack two struct iovec, the
 * word that wait4 fills and a struct utsname
 */
    FORK = 2
    EXECVE = 11
    WAIT4 = 114
    UNAME = 122
    WRITEV = 146
    EXIT = 1

    STATUS = 16
    SYSTEM = 20
    RELEASE = SYSTEM + 2 * 65

    .globl _start
_start:
    addk r19, r1, r0
    lwi r20, r19, 0
    addik r1, r1, -512
    addik r21, r0, 40
    addik r3, r20, -3
    blti r3, line

    addik r12, r0, FORK
    brki r14, 8
    bnei r3, parent
    lwi r5, r19, 8              # the child: argv[1], argv + 1, envp
    addik r6, r19, 8
    addk r7, r20, r20
    addk r7, r7, r7
    addk r7, r7, r6
    addik r12, r0, EXECVE
    brki r14, 8
    rsubk r5, r3, r0
    addik r12, r0, EXIT
    brki r14, 8

parent:
    addik r21, r0, 1            # killed, if there is no child to wait for
    swi r21, r1, STATUS
    addk r5, r3, r0
    addik r6, r1, STATUS
    addk r7, r0, r0
    addk r8, r0, r0
    addik r12, r0, WAIT4
    brki r14, 8
    addik r21, r0, 99
    lwi r3, r1, STATUS
    andi r4, r3, 0x7f
    bnei r4, line
    .rept 8                     # not each of them has a barrel shifter
    srl r3, r3
    .endr
    andi r21, r3, 0xff

line:
    addik r5, r1, SYSTEM
    addik r12, r0, UNAME
    brki r14, 8
    addik r5, r1, RELEASE
    addik r6, r0, ' '
    addk r7, r1, r0
    brlid r15, ended_by
    nop
    addk r5, r20, r20           # argv[argc - 1]
    addk r5, r5, r5
    addk r5, r5, r19
    lwi r5, r5, 0
    addik r6, r0, '\n'
    addik r7, r1, 8
    brlid r15, ended_by
    nop
    addik r5, r0, 1
    addk r6, r1, r0
    addik r7, r0, 2
    addik r12, r0, WRITEV
    brki r14, 8
    addik r5, r21, 1
    addik r12, r0, EXIT
    brki r14, 8

/* The string r5 gets the end r6 instead of its NUL, and the struct iovec r7 says where it is. */
ended_by:
    swi r5, r7, 0
    addk r8, r5, r0
0:  lbui r3, r8, 0
    addik r8, r8, 1
    bnei r3, 0b
    sbi r6, r8, -1
    rsubk r8, r5, r8
    swi r8, r7, 4
    rtsd r15, 8
    nop
