// SPDX-License-Identifier: LGPL-2.1-or-later
/* The node that libvirt's clients use as the root of the tree. In a daemon, libvirt's own driver has this node. */

#include <stdlib.h>
#include <string.h>

#include "module.h"

/* Without the vendor and serial number of the machine, which libmdev does not provide. */
char *computer_xml(struct host *host)
{
	(void)host;
	return strdup("<device>\n"
		      "  <name>" COMPUTER "</name>\n"
		      "  <capability type='system'>\n"
		      "    <hardware>\n"
		      "      <uuid>00000000-0000-0000-0000-000000000000</uuid>\n"
		      "    </hardware>\n"
		      "    <firmware/>\n"
		      "  </capability>\n"
		      "</device>\n");
}
