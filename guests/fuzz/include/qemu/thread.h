/*
 * Stands in for QEMU's header of this name: a lock that ends the process if it is
 * taken twice, or given back by somebody who has not got it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_THREAD_H
#define QEMU_THREAD_H

#include <pthread.h>

typedef pthread_mutex_t QemuMutex;

static inline void qemu_mutex_init(QemuMutex *mutex)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static inline void qemu_mutex_lock(QemuMutex *mutex)
{
    if (pthread_mutex_lock(mutex)) {
        abort();
    }
}

static inline void qemu_mutex_unlock(QemuMutex *mutex)
{
    if (pthread_mutex_unlock(mutex)) {
        abort();
    }
}

#endif
