/*
 * Stands in for QEMU's header of this name, for those files of the patches that need
 * next to nothing of QEMU: execve-script.c (the C library), execve-args.c (GLib),
 * execve-proof.c, own-proc.c and reserved-fd.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_OSDEP_H
#define QEMU_OSDEP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __has_include(<glib.h>)
#include <glib.h>
#endif

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#endif

#define CONFIG_DUP3 1

unsigned long qemu_getauxval(unsigned long type);

#endif
