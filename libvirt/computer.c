// SPDX-License-Identifier: LGPL-2.1-or-later
/* The node that libvirt's clients take for the root of the tree; libvirt's own driver has it in a daemon. */

#include <stdlib.h>
#include <string.h>

#include "module.h"

/* What cannot be asked through libmdev, the machine's vendor and serial number, is not told. */
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
