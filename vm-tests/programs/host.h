/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface between the files of the host program. */
#ifndef HOST_H
#define HOST_H

#include "host-api.h"

extern struct host_api api;

/* Reports a violation of a rule that holds on every host. */
extern int host_faults;

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void host_fault(const char *fmt, ...);

/* The sequence of steps, one line each on standard output. */
void host_steps(struct mdev_conn *conn, const char *uri);

/* Compares every list and type with a plain read of sysfs. */
void host_compare_sysfs(struct mdev_conn *conn);

#endif
