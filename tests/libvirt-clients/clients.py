#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: clients.py URI CLIENTS SECONDS PARENT:ADDRESS:TYPE...

Clients on one daemon, each in a process of its own, create, dump, list and destroy devices, each its own, until the time is
up. Each of them hears of all devices of all; at the end the counts must be equal to the last one.
"""

import multiprocessing
import sys
import time
import uuid
from collections import Counter

import libvirt

import tap

MDEV = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV


def cycle(conn, spot):
    parent, address, type_id = spot
    device = str(uuid.uuid4())
    name = tap.node_name(device, address)
    dev = conn.nodeDeviceCreateXML(tap.device_xml(parent, type_id, device))
    if dev.name() != name or device not in dev.XMLDesc():
        return f"{dev.name()} is not {name}"
    if name not in [d.name() for d in conn.listAllDevices(MDEV)]:
        return f"{name} is not in the list"
    dev.destroy()
    if name in [d.name() for d in conn.listAllDevices(MDEV)]:
        return f"{name} is still in the list"
    return None


def client(uri, spot, seconds, ready, total, results):
    tap.event_loop()
    conn = libvirt.open(uri)
    events = tap.Listener(conn)
    ready.wait()
    cycles, wrong = 0, None
    deadline = time.monotonic() + seconds
    while not wrong and time.monotonic() < deadline:
        try:
            wrong = cycle(conn, spot)
            cycles += 1
        except libvirt.libvirtError as e:
            wrong = str(e)
    with total.get_lock():
        total.value += cycles
    ready.wait()
    wanted = total.value
    kinds = lambda: Counter(what for name, what in events.seen if name.startswith("mdev_"))
    events.wait(lambda: kinds()["deleted"] >= wanted)
    # A surplus would come late; it would come before the answer to a call that is made now.
    conn.listAllDevices(0)
    order = Counter()
    for name, what in events.seen:
        if name.startswith("mdev_"):
            order[name] += 1 if what == "created" else -1
            if order[name] not in (0, 1):
                wrong = wrong or f"{name} was {what} out of order"
    results.put((cycles, dict(kinds()), wrong))
    events.close()
    conn.close()


def main():
    uri, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    spots = [spot.split("|") for spot in sys.argv[4:]]
    conn = libvirt.open(uri)
    before = sorted(d.name() for d in conn.listAllDevices(MDEV))
    conn.close()
    context = multiprocessing.get_context("fork")
    ready, total, results = context.Barrier(clients), context.Value("q", 0), context.Queue()
    workers = [
        context.Process(target=client, args=(uri, spots[i % len(spots)], seconds, ready, total, results)) for i in range(clients)
    ]
    for worker in workers:
        worker.start()
    seen = [results.get(timeout=seconds + 2 * tap.PATIENCE) for _ in workers]
    for worker in workers:
        worker.join()
    wanted = {"created": total.value, "deleted": total.value}
    for i, (cycles, kinds, wrong) in enumerate(seen):
        tap.ok(not wrong and cycles > 0, f"client {i}: {cycles} devices came and went", wrong)
        tap.eq(f"client {i}: heard of each exactly once", wanted, kinds)
    tap.eq("every client ended well", [0] * clients, [w.exitcode for w in workers])
    conn = libvirt.open(uri)
    tap.eq("no device is left", before, sorted(d.name() for d in conn.listAllDevices(MDEV)))
    conn.close()
    print(f"# {total.value} devices, {2 * total.value} events to each of {clients} clients, in {seconds:.0f} s")


main()
tap.done()
