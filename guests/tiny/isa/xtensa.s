/*
 * xtensa, xtensaeb: tiny.c in assembly, for want of a compiler for either byte order.
 * Register windows stay where they are.
 *
 * a12 the arguments, a13 argc, a14 the status; on the stack two struct iovec, the
 * word that wait4 fills and a struct utsname
 */
    CLONE = 116
    EXECVE = 117
    WAIT4 = 121
    UNAME = 208
    WRITEV = 25
    EXIT = 118
    SIGCHLD = 17

    STATUS = 16
    SYSTEM = 20
    RELEASE = SYSTEM + 2 * 65

/* The number is in a2, the arguments in a6, a3, a4, a5. */
    .globl _start
_start:
    mov a12, a1
    l32i a13, a12, 0
    addmi a1, a1, -512
    movi a14, 40
    blti a13, 3, line

    movi a6, SIGCHLD
    movi a3, 0
    movi a4, 0
    movi a5, 0
    movi a2, CLONE
    syscall
    bnez a2, parent
    l32i a6, a12, 8             # the child: argv[1], argv + 1, envp
    addi a3, a12, 8
    slli a4, a13, 2
    add a4, a4, a3
    movi a2, EXECVE
    syscall
    neg a6, a2
    movi a2, EXIT
    syscall

parent:
    movi a3, 1                  # killed, if there is no child to wait for
    s32i a3, a1, STATUS
    mov a6, a2
    addi a3, a1, STATUS
    movi a4, 0
    movi a5, 0
    movi a2, WAIT4
    syscall
    movi a14, 99
    l32i a3, a1, STATUS
    extui a4, a3, 0, 7
    bnez a4, line
    extui a14, a3, 8, 8

line:
    addi a6, a1, SYSTEM
    movi a2, UNAME
    syscall
    movi a6, RELEASE
    add a6, a6, a1
    movi a3, ' '
    mov a4, a1
    call0 ended_by
    slli a6, a13, 2             # argv[argc - 1]
    add a6, a6, a12
    l32i a6, a6, 0
    movi a3, '\n'
    addi a4, a1, 8
    call0 ended_by
    movi a6, 1
    mov a3, a1
    movi a4, 2
    movi a2, WRITEV
    syscall
    addi a6, a14, 1
    movi a2, EXIT
    syscall

/* The string a6 gets the end a3 instead of its NUL, and the struct iovec a4 says where it is. */
    .align 4
ended_by:
    s32i a6, a4, 0
    mov a8, a6
0:  l8ui a5, a8, 0
    addi a8, a8, 1
    bnez a5, 0b
    addi a5, a8, -1
    s8i a3, a5, 0
    sub a8, a8, a6
    s32i a8, a4, 4
    ret
