#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: lost.py URI PARENT ADDRESS TYPE

Causes so many events without receiving them that some are lost. In the end, the events that a listener gets must add up to the list.
"""

import sys
import time

import libvirt

import tap

uri, parent, address, type_id = sys.argv[1:5]
MDEV = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV
# More events than fit into the module's buffer; the host determines the size of an event.
CYCLES = 60000
BOUND = 100

libvirt.virEventRegisterDefaultImpl()
libvirt.registerErrorHandler(lambda *_: None, None)
conn = libvirt.open(uri)
first = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id))
defined = conn.nodeDeviceDefineXML(tap.device_xml(parent, type_id))
here = {d.name() for d in conn.listAllDevices(MDEV)}
events = tap.Listener(conn)
# The event loop does not run, so no event is received here.
start, cycles = time.monotonic(), 0
xml = tap.device_xml(parent, type_id)
while cycles < CYCLES and time.monotonic() - start < BOUND:
    conn.nodeDeviceCreateXML(xml).destroy()
    cycles += 1
first.destroy()
defined.undefine()
last = conn.nodeDeviceCreateXML(xml)
kept = conn.nodeDeviceDefineXML(xml)

timer = libvirt.virEventAddTimeout(100, lambda *_: None, None)
deadline = time.monotonic() + tap.TIMEOUT
while events.of(kept.name()) == [] and time.monotonic() < deadline:
    libvirt.virEventRunDefaultImpl()
tap.ok(len(events.seen) < 2 * cycles, f"some of {2 * cycles} events were lost", len(events.seen))
tap.eq("devices removed in that time are reported as removed", (["deleted"], ["undefined"]), (events.of(first.name()), events.of(defined.name())))
tap.eq("devices added in that time are reported as added", (["created"], ["defined"]), (events.of(last.name()), events.of(kept.name())))
sums = dict.fromkeys(here, 1)
for name, what in events.seen:
    if name.startswith("mdev_"):
        sums[name] = sums.get(name, 0) + {"created": 1, "defined": 1, "deleted": -1, "undefined": -1}.get(what, 0)
tap.eq("the events add up to the list", sorted(d.name() for d in conn.listAllDevices(MDEV)), sorted(n for n, s in sums.items() if s))
for dev in last, kept:
    (dev.destroy if dev.isActive() else dev.undefine)()
conn.close()
tap.done()
