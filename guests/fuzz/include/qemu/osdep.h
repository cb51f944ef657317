/*
 * Stands in for QEMU's header of this name, for the two files of the patches that
 * need nothing of QEMU: execve-script.c (the C library) and execve-args.c (GLib).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_OSDEP_H
#define QEMU_OSDEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<glib.h>)
#include <glib.h>
#endif

#endif
