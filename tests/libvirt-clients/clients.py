#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: clients.py URI CLIENTS SECONDS PARENT:ADDRESS:TYPE...

Runs clients of one daemon, each in a process of its own. Each client creates, dumps, lists and destroys its own devices until
the time is up, and gets the events of the devices of all clients. At the end, every client has got exactly one event per change.
"""

import multiprocessing
import sys
import time
import uuid
from collections import Counter

import libvirt

import tap

MDEV = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV


def cycle(conn, target):
    parent, address, type_id = target
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


def client(uri, target, seconds, ready, total, results):
    tap.event_loop()
    conn = libvirt.open(uri)
    events = tap.Listener(conn)
    ready.wait()
    cycles, wrong = 0, None
    deadline = time.monotonic() + seconds
    while not wrong and time.monotonic() < deadline:
        try:
            wrong = cycle(conn, target)
            cycles += 1
        except libvirt.libvirtError as e:
            wrong = str(e)
    with total.get_lock():
        total.value += cycles
    ready.wait()
    wanted = total.value
    kinds = lambda: Counter(what for name, what in events.seen if name.startswith("mdev_"))
    events.wait(lambda: kinds()["deleted"] >= wanted)
    # A surplus event would arrive late, but before the result of a call that is made now.
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
    targets = [target.split("|") for target in sys.argv[4:]]
    conn = libvirt.open(uri)
    before = sorted(d.name() for d in conn.listAllDevices(MDEV))
    conn.close()
    context = multiprocessing.get_context("fork")
    ready, total, results = context.Barrier(clients), context.Value("q", 0), context.Queue()
    workers = [
        context.Process(target=client, args=(uri, targets[i % len(targets)], seconds, ready, total, results)) for i in range(clients)
    ]
    for worker in workers:
        worker.start()
    seen = [results.get(timeout=seconds + 2 * tap.TIMEOUT) for _ in workers]
    for worker in workers:
        worker.join()
    wanted = {"created": total.value, "deleted": total.value}
    for i, (cycles, kinds, wrong) in enumerate(seen):
        tap.ok(not wrong and cycles > 0, f"client {i}: {cycles} devices were created and destroyed", wrong)
        tap.eq(f"client {i}: got each event exactly once", wanted, kinds)
    tap.eq("every client exits with 0", [0] * clients, [w.exitcode for w in workers])
    conn = libvirt.open(uri)
    tap.eq("the devices are as before", before, sorted(d.name() for d in conn.listAllDevices(MDEV)))
    conn.close()
    print(f"# {total.value} devices, {2 * total.value} events to each of {clients} clients, in {seconds:.0f} s")


main()
tap.done()
