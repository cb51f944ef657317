/*
 * Stands in for QEMU's header of this name: a lock that ends the process if it is
 * taken twice, or given back by somebody who has not got it. There is one thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_THREAD_H
#define QEMU_THREAD_H

typedef struct QemuMutex {
    bool is_locked;
} QemuMutex;

static inline void qemu_mutex_init(QemuMutex *mutex)
{
    mutex->is_locked = false;
}

static inline void qemu_mutex_lock(QemuMutex *mutex)
{
    if (mutex->is_locked) {
        abort();
    }
    mutex->is_locked = true;
}

static inline void qemu_mutex_unlock(QemuMutex *mutex)
{
    if (!mutex->is_locked) {
        abort();
    }
    mutex->is_locked = false;
}

#endif
