#!/bin/sh
# Builds the tiny guest of a target.
#
# usage: make.sh TARGET FILE     the program
#        make.sh --hex TARGET    bytes/TARGET.hex, which is committed
#        make.sh --list          the targets
#
# The compilers are Debian 12's. Where it has none, $TINY_BINUTILS names a folder
# with bin/microblaze-linux-gnu-as and so on; README.md says how to make it.
# Exit 3: the compiler is missing, and the message says how to get it.
#
# SPDX-License-Identifier: GPL-2.0-or-later

set -eu
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)

targets="aarch64 aarch64_be alpha arm armeb cris hexagon hppa i386 loongarch64 m68k microblaze microblazeel
mips mips64 mips64el mipsel mipsn32 mipsn32el nios2 or1k ppc ppc64 ppc64le riscv32 riscv64 s390x sh4 sh4eb
sparc sparc32plus sparc64 x86_64 xtensa xtensaeb"

# How a target is made: gcc TRIPLE ISA [FLAG...], clang TRIPLE ISA [FLAG...] or
# assembler TRIPLE ISA [FLAG].
recipe() {
    case $1 in
    aarch64)      echo gcc aarch64-linux-gnu aarch64 ;;
    aarch64_be)   echo clang aarch64_be-linux-gnu aarch64 ;;
    alpha)        echo gcc alpha-linux-gnu alpha -msmall-text -msmall-data ;;
    arm)          echo gcc arm-linux-gnueabihf arm -marm ;;
    armeb)        echo clang armeb-linux-gnueabi arm -march=armv7-a ;;
    cris)         echo assembler cris-linux-gnu cris --march=v32 ;;
    hexagon)      echo clang hexagon-linux-musl hexagon -mcpu=hexagonv60 ;;
    hppa)         echo gcc hppa-linux-gnu hppa ;;
    i386)         echo gcc i686-linux-gnu i386 ;;
    # Without vectors, which 7.2 doesn't have.
    loongarch64)  echo clang loongarch64-linux-gnu loongarch64 -march=loongarch64 -mno-lsx ;;
    m68k)         echo gcc m68k-linux-gnu m68k ;;
    microblaze)   echo assembler microblaze-linux-gnu microblaze -EB ;;
    microblazeel) echo assembler microblaze-linux-gnu microblaze -EL ;;
    mips)         echo gcc mips-linux-gnu mips -mno-abicalls ;;
    mips64)       echo gcc mips64-linux-gnuabi64 mips -mno-abicalls ;;
    mips64el)     echo gcc mips64el-linux-gnuabi64 mips -mno-abicalls ;;
    mipsel)       echo gcc mipsel-linux-gnu mips -mno-abicalls ;;
    mipsn32)      echo gcc mips64-linux-gnuabi64 mips -mno-abicalls -mabi=n32 ;;
    mipsn32el)    echo gcc mips64el-linux-gnuabi64 mips -mno-abicalls -mabi=n32 ;;
    nios2)        echo assembler nios2-linux-gnu nios2 ;;
    or1k)         echo gcc or1k-elf or1k ;;
    ppc)          echo gcc powerpc-linux-gnu ppc ;;
    ppc64)        echo gcc powerpc64-linux-gnu ppc ;;
    ppc64le)      echo gcc powerpc64le-linux-gnu ppc ;;
    riscv32)      echo gcc riscv64-linux-gnu riscv -march=rv32imac -mabi=ilp32 ;;
    riscv64)      echo gcc riscv64-linux-gnu riscv ;;
    s390x)        echo gcc s390x-linux-gnu s390x ;;
    sh4)          echo gcc sh4-linux-gnu sh4 ;;
    # The linker knows the format but not by the name that -mb gives it.
    sh4eb)        echo gcc sh4-linux-gnu sh4 -mb -Wl,-m,shlelf_linux,-EB,--oformat=elf32-shbig-linux ;;
    sparc)        echo gcc sparc64-linux-gnu sparc -m32 -mcpu=v8 ;;
    sparc32plus)  echo gcc sparc64-linux-gnu sparc -m32 -mcpu=v9 -mv8plus ;;
    sparc64)      echo gcc sparc64-linux-gnu sparc ;;
    x86_64)       echo gcc x86_64-linux-gnu x86_64 ;;
    xtensa)       echo assembler xtensa-lx106-elf xtensa ;;
    xtensaeb)     echo assembler xtensa-linux-gnu xtensa ;;
    esac
}

fail() {
    status=$1; shift
    printf 'make.sh: %s\n' "$@" >&2
    exit "$status"
}

# Sets compiler, linker and dump: the tools. Ends with how to get them if they are missing.
tools() {
    case $kind in
    gcc)   compiler=$triple-gcc linker=$triple-ld dump=$triple-objdump get="apt-get install gcc-$triple" ;;
    clang) compiler=clang-19 linker=ld.lld-19 dump=llvm-objdump-19 get="apt-get install clang-19 lld-19 llvm-19" ;;
    assembler)
        prefix=${TINY_BINUTILS:+$TINY_BINUTILS/bin/}
        get="apt-get install binutils-source, make the assembler as README.md says and set TINY_BINUTILS"
        ;;
    esac
    case $triple in
    x86_64-*) get="apt-get install gcc-x86-64-linux-gnu" ;;
    xtensa-lx106-elf) prefix="" get="apt-get install binutils-xtensa-lx106" ;;
    esac
    if [ "$kind" = assembler ]; then
        compiler=$prefix$triple-as linker=$prefix$triple-ld dump=$prefix$triple-objdump
    fi
    for tool in "$compiler" "$linker"; do
        command -v "$tool" > /dev/null || fail 3 "no $tool for $target" "$get"
    done
}

# build FILE [FLAG...]
build() {
    out=$1; shift
    case $kind in
    assembler)
        "$compiler" "$@" -o "$out.o" "$here/isa/$isa.s"
        # Of the flags, the byte order is the linker's, too.
        case ${1:-} in -E?) ;; *) set -- ;; esac
        "$linker" "$@" -static -s -e _start -T "$here/tiny.ld" -o "$out" "$out.o"
        rm "$out.o"
        return
        ;;
    clang) set -- "--target=$triple" -fuse-ld=lld "$@" ;;
    esac
    "$compiler" "$@" -DISA="\"isa/$isa.h\"" -Wall -Wextra -Os -ffreestanding -fno-pic -fomit-frame-pointer \
        -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables \
        -nostdlib -static -s -Wl,--build-id=none -e _start -T "$here/tiny.ld" -o "$out" "$here/tiny.c"
}

# hex PROGRAM: its bytes, then what they say, as comments
hex() {
    case $kind in assembler) source=isa/$isa.s ;; *) source="tiny.c with isa/$isa.h" ;; esac
    echo "# The tiny guest for $target, $source"
    echo "# made by $("$compiler" --version | head -n 1)"
    echo "# remade by sh guests/tiny/make.sh --hex $target"
    od -An -v -tx1 "$1" | tr -d ' \n' | fold -w 64
    echo
    if command -v "$dump" > /dev/null; then
        "$dump" -d --no-show-raw-insn "$1" | tr -s '\t ' ' ' | sed -n 's/ *$//; s/^ *\([0-9a-f]*: \)/# \1/p'
    fi
}

usage() {
    sed -n '/^# usage/,/^#$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

mode=build
case ${1:-} in
--list) [ $# = 1 ] || usage; echo "$targets" | tr ' ' '\n'; exit ;;
--hex) [ $# = 2 ] || usage; mode=hex; target=$2 ;;
-*) usage ;;
*) [ $# = 2 ] || usage; target=$1 file=$2 ;;
esac
# shellcheck disable=SC2046
set -- $(recipe "$target")
[ $# -gt 0 ] || fail 2 "no target $target; make.sh --list names them"
kind=$1 triple=$2 isa=$3; shift 3
tools

if [ $mode = build ]; then
    build "$file" "$@"
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    build "$work/tiny" "$@"
    hex "$work/tiny" > "$work/hex"
    mkdir -p "$here/bytes"
    cat "$work/hex" > "$here/bytes/$target.hex"
fi
