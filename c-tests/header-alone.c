/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header compiles without an earlier include, and can be included twice. */
#include <libmdev.h>
#include <libmdev.h>

extern int header_alone;
int header_alone = sizeof(struct mdev_driver) > 0;
