/*
 * Stands in for QEMU's header of this name: the C library declares everything that
 * execve-proof.c uses of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
