/*
 * Read before every source file where toolchains/<host>.toml says so. In a static program nothing comes from
 * outside, but a compiler that cannot know reaches each declared function and variable through a table of
 * addresses. On arm64 that table outgrows the 32 KiB that Debian's C library is compiled for, and
 * the emulators with many helpers do not link as static PIE.
 */
#pragma GCC visibility push(hidden)
