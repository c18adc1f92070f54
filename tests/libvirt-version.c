// SPDX-License-Identifier: LGPL-2.1-or-later
/* For LD_PRELOAD: the libvirt of the process seems to be another release, $LIBVIRT_SEEMS. */

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
