/*
 * nios2: tiny.c in assembly, for want of a compiler.
 *
 * r16 the arguments, r17 argc, r18 the status; on the stack two struct iovec, the
 * word that wait4 fills and a struct utsname
 */
    CLONE = 220
    EXECVE = 221
    WAIT4 = 260
    UNAME = 160
    WRITEV = 66
    EXIT = 93
    SIGCHLD = 17

    STATUS = 16
    SYSTEM = 20
    RELEASE = SYSTEM + 2 * 65

    .globl _start
_start:
    mov r16, sp
    ldw r17, 0(r16)
    addi sp, sp, -512
    movi r18, 40
    movi r3, 3
    blt r17, r3, line

    movi r4, SIGCHLD
    mov r5, zero
    mov r6, zero
    mov r7, zero
    mov r8, zero
    movi r2, CLONE
    trap
    bne r7, zero, parent        # an error is positive and sets r7
    bne r2, zero, parent
    ldw r4, 8(r16)              # the child: argv[1], argv + 1, envp
    addi r5, r16, 8
    slli r6, r17, 2
    add r6, r6, r5
    movi r2, EXECVE
    trap
    mov r4, r2
    movi r2, EXIT
    trap

parent:
    movi r18, 1                 # killed, if there is no child to wait for
    stw r18, STATUS(sp)
    mov r4, r2
    addi r5, sp, STATUS
    mov r6, zero
    mov r7, zero
    movi r2, WAIT4
    trap
    movi r18, 99
    ldw r3, STATUS(sp)
    andi r4, r3, 0x7f
    bne r4, zero, line
    srli r3, r3, 8
    andi r18, r3, 0xff

line:
    addi r4, sp, SYSTEM
    movi r2, UNAME
    trap
    addi r4, sp, RELEASE
    movi r5, ' '
    mov r6, sp
    call ended_by
    slli r4, r17, 2             # argv[argc - 1]
    add r4, r4, r16
    ldw r4, 0(r4)
    movi r5, '\n'
    addi r6, sp, 8
    call ended_by
    movi r4, 1
    mov r5, sp
    movi r6, 2
    movi r2, WRITEV
    trap
    addi r4, r18, 1
    movi r2, EXIT
    trap

/* The string r4 gets the end r5 instead of its NUL, and the struct iovec r6 says where it is. */
ended_by:
    stw r4, 0(r6)
    mov r8, r4
0:  ldbu r3, 0(r8)
    addi r8, r8, 1
    bne r3, zero, 0b
    stb r5, -1(r8)
    sub r8, r8, r4
    stw r8, 4(r6)
    ret
