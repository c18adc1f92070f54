# SPDX-License-Identifier: LGPL-2.1-or-later
"""Functions that the test programs share: assertions that print TAP, an event loop, and a listener that waits for events."""

import sys
import threading
import time

import libvirt

LIFECYCLE = libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE
UPDATE = libvirt.VIR_NODE_DEVICE_EVENT_ID_UPDATE
WORDS = {
    libvirt.VIR_NODE_DEVICE_EVENT_CREATED: "created",
    libvirt.VIR_NODE_DEVICE_EVENT_DELETED: "deleted",
    libvirt.VIR_NODE_DEVICE_EVENT_DEFINED: "defined",
    libvirt.VIR_NODE_DEVICE_EVENT_UNDEFINED: "undefined",
}
# Timeout in seconds for events that must occur; on an emulated machine they can be late.
TIMEOUT = 30

_count = 0
_failed = 0


def ok(good, name, *why):
    global _count, _failed
    _count += 1
    print(f"{'ok' if good else 'not ok'} {_count} - {name}", flush=True)
    if not good:
        _failed += 1
        for line in "\n".join(str(w) for w in why).splitlines():
            print(f"#   {line}", flush=True)
    return good


def eq(name, wanted, seen):
    return ok(wanted == seen, name, f"wanted: {wanted!r}", f"seen:   {seen!r}")


def has(name, part, text):
    return ok(part in text, name, f"wanted in it: {part!r}", f"seen: {text!r}")


def refused(name, code, call, *parts):
    """Asserts that the call fails with this code, or one of these codes, of libvirt, and that the message contains these parts."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        seen = call()
    except libvirt.libvirtError as e:
        good = e.get_error_code() in codes and all(p in e.get_error_message() for p in parts)
        ok(good, name, f"wanted: {codes} {parts}", f"seen: {e.get_error_code()} {e.get_error_message()}")
        return e
    ok(False, name, f"wanted error {codes}, seen: {seen!r}")
    return None


def done():
    print(f"1..{_count}\n# {_count - _failed} passed, {_failed} failed", flush=True)
    sys.exit(1 if _failed else 0)


def event_loop():
    """Runs libvirt's event loop in a thread. Call before the first connection."""
    libvirt.virEventRegisterDefaultImpl()
    # The tests report errors themselves.
    libvirt.registerErrorHandler(lambda *_: None, None)

    def run():
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, daemon=True).start()


class Listener:
    """Records lifecycle events ("created", ...) and updates ("updated") of one device or of all."""

    def __init__(self, conn, dev=None):
        self.conn = conn
        self.seen = []
        self.changed = threading.Condition()
        self.ids = [
            conn.nodeDeviceEventRegisterAny(dev, LIFECYCLE, self.lifecycle, None),
            conn.nodeDeviceEventRegisterAny(dev, UPDATE, self.update, None),
        ]

    def add(self, name, what):
        with self.changed:
            self.seen.append((name, what))
            self.changed.notify_all()

    def lifecycle(self, _conn, dev, event, detail, _opaque):
        self.add(dev.name(), WORDS.get(event, f"event {event}") if detail == 0 else f"detail {detail}")

    def update(self, _conn, dev, _opaque):
        self.add(dev.name(), "updated")

    def of(self, name):
        with self.changed:
            return [what for n, what in self.seen if n == name]

    def wait(self, condition, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self.changed.wait(left)
        return True

    def wait_for(self, name, *whats):
        """Waits for as many lifecycle events of a device as `whats` has; returns them all, in order, without updates."""
        lifecycle = lambda: [w for n, w in self.seen if n == name and w != "updated"]
        self.wait(lambda: len(lifecycle()) >= len(whats))
        return lifecycle()

    def close(self):
        for i in self.ids:
            self.conn.nodeDeviceEventDeregisterAny(i)


def device_xml(parent, type_id, uuid=None, attrs=()):
    uuid = f"<uuid>{uuid}</uuid>" if uuid else ""
    attrs = "".join(f"<attr name='{n}' value='{v}'/>" for n, v in attrs)
    return (
        f"<device><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>{uuid}{attrs}</capability></device>"
    )


def node_name(uuid, address):
    return "mdev_" + "".join(c if c.isalnum() else "_" for c in f"{uuid}_{address}")
