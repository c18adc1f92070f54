/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interface between killed.c and killed-group.c. */
#ifndef KILLED_H
#define KILLED_H

#include <stddef.h>

#include <libmdev.h>

#define FACTS "/run/libmdev/devices"
#define GROUPS "/run/libmdev/groups"

/* Of the kill: the system call, counted twice. */
extern int point;

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void fault(const char *fmt, ...);
struct mdev_conn *open_conn(void);
void request(char *xml, size_t size, const char *uuid, const char *params, const char *elements, const char *name);
int devices(struct mdev_conn *conn);
void has_params(struct mdev_device *dev, const char *wanted);
void serve_next(struct mdev_conn *conn, const char *params);
void age_record(const char *uuid);
void no_files(const char *path);

/* killed-group.c: the function to kill, the checks after a kill, and the counts. */
int create_group(void);
void look_at_group(void);
void print_groups(void);

#endif
