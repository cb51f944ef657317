//! Stands in for an emulator in the tests of this crate: says what the small guest program would, so that everything
//! around it can be tried without a QEMU.
//!
//! With a file `<its name>.broken` beside it, it does not work; with `.shy`, not when the kernel starts it.

#![allow(missing_docs, reason = "it is no library")]

use std::env;
use std::fs;
use std::process::exit;

fn main() {
    // Itself, the program, with the flag P the program's argv[0], and the program's own words.
    let words: Vec<String> = env::args().collect();
    let path = words.get(1).map_or("", String::as_str);
    let is_by_kernel = words.iter().skip(2).any(|word| word == path);
    let is = |kind: &str| env::current_exe().is_ok_and(|own| own.with_extension(kind).exists());
    if is("broken") || is_by_kernel && is("shy") {
        fail("this emulator does not work");
    }
    if !fs::read(path).is_ok_and(|program| program.starts_with(b"\x7fELF")) {
        fail("there is no such program");
    }
    let release = env::var("QEMU_UNAME").unwrap_or_default();
    // The kernel is given a program with a child.
    for _ in 0..=i32::from(is_by_kernel) {
        println!("{release} {}", words.last().map_or("", String::as_str));
    }
    exit(41 + i32::from(is_by_kernel));
}

fn fail(why: &str) -> ! {
    // By this variable's name, emulators of ours are known.
    eprintln!("{why}, whatever QEMU_EXECVE says");
    exit(1)
}
