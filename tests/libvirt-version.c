// SPDX-License-Identifier: LGPL-2.1-or-later
/* For LD_PRELOAD: virGetVersion() returns the release in $LIBVIRT_SEEMS, 9.0.0 by default. */

#include <stdlib.h>

int virGetVersion(unsigned long *version, const char *type, unsigned long *type_version);

int virGetVersion(unsigned long *version, const char *type, unsigned long *type_version)
{
	const char *seems = getenv("LIBVIRT_SEEMS");

	(void)type;
	if (type_version)
		*type_version = 0;
	*version = seems ? strtoul(seems, NULL, 10) : 9000000;
	return 0;
}
