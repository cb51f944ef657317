/*
 * Stands in for QEMU's header of this name: what reserved-fd.c uses of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_CUTILS_H
#define QEMU_CUTILS_H

/* As QEMU's does: the whole string has to be a number if there is no @end. */
static inline int qemu_strtoi(const char *text, const char **end, int base, int *result)
{
    char *last;
    long long value;

    errno = 0;
    value = strtoll(text, &last, base);
    if (value < INT_MIN || value > INT_MAX) {
        errno = ERANGE;
    }
    *result = value < INT_MIN ? INT_MIN : value > INT_MAX ? INT_MAX : (int)value;
    if (end) {
        *end = last;
    }
    return last == text || (!end && *last) ? -EINVAL : -errno;
}

#endif
