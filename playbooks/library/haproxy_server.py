#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Looks at servers of a HAProxy backend, and sets their state and weight, over its runtime socket."""

from __future__ import annotations

import csv
import io
import time
from typing import Any, Callable, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.haproxy_socket import NAME, HAProxyError, order, tell

DOCUMENTATION = r"""
module: haproxy_server
short_description: Look at servers of a HAProxy backend, or set their state and weight
description:
  - Talks to the runtime socket, which needs C(stats socket ... level admin) in HAProxy's configuration.
  - What it sets holds until HAProxy is reloaded, unless a server state file carries it over.
options:
  socket:
    description: The runtime socket.
    type: str
    default: /run/haproxy/admin.sock
  backend:
    description: Name of the backend.
    type: str
    required: true
  servers:
    description: Names of the servers that are set. All servers of the backend are looked at.
    type: list
    elements: str
    default: []
  state:
    description: V(ready) takes requests, V(drain) none but those of sessions that it has, V(maint) none, unchecked.
    type: str
    choices: [ready, drain, maint]
  weight:
    description: Share of the requests, in proportion to the other servers, 0 to 256.
    type: int
  wait_idle:
    description: Seconds to wait until the servers have no session. What is left then is told, and is no failure.
    type: int
  wait_up:
    description: Seconds within which the servers have to be up.
    type: int
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: Sets nothing, and waits for nothing.
"""

RETURN = r"""
before:
  description: >-
    All servers by name, as they were. Each has C(state) (V(ready), V(drain), V(maint)), C(is_up), C(weight) and
    C(sessions), with those that wait for it.
  type: dict
  returned: always
after:
  description: All servers by name, as they are.
  type: dict
  returned: always
"""

#: Bits of srv_admin_state in "show servers state". 0x04 says only that it began so, by `disabled` in the configuration.
MAINTAINED, DRAINED = 0x01 | 0x02 | 0x20 | 0x40, 0x08 | 0x10
#: Of srv_op_state: running.
RUNNING = "2"

Server = Dict[str, Any]


def look(path: str, backend: str) -> dict[str, Server]:
    """The servers of a backend.

    Raises:
        HAProxyError: there is none of that name.
    """
    told = tell(path, "show servers state", backend).splitlines()
    if len(told) < 2 or not told[1].startswith("# "):
        raise HAProxyError(" ".join(told) or f"there is no backend {backend}")
    columns = told[1][2:].split()
    rows = [dict(zip(columns, line.split())) for line in told[2:]]
    sessions = count_sessions(path, backend)
    return {row["srv_name"]: server(row, sessions.get(row["srv_name"], 0)) for row in rows}


def server(row: dict[str, str], sessions: int) -> Server:
    """A server, from its line."""
    admin = int(row["srv_admin_state"])
    return {
        "state": "maint" if admin & MAINTAINED else "drain" if admin & DRAINED else "ready",
        "is_up": row["srv_op_state"] == RUNNING and not admin & MAINTAINED,
        "weight": int(row["srv_uweight"]),
        "sessions": sessions,
    }


def count_sessions(path: str, backend: str) -> dict[str, int]:
    """Sessions by server, with those that wait for it."""
    told = tell(path, "show stat", backend, "4 -1")
    rows = csv.DictReader(io.StringIO(told.lstrip("# ")))
    return {row["svname"]: int(row["scur"] or 0) + int(row["qcur"] or 0) for row in rows}


def wait(servers: Callable[[], list[Server]], is_done: Callable[[Server], bool], seconds: int) -> bool:
    """Whether it came true of all of them in time."""
    deadline = time.monotonic() + seconds
    while not all(map(is_done, servers())):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


class Change:
    """What is asked for."""

    def __init__(self, module: AnsibleModule) -> None:
        self.given = module.params
        self.path = self.given["socket"]
        self.backend = self.given["backend"]
        self.before = look(self.path, self.backend)
        unknown = [name for name in self.given["servers"] if name not in self.before]
        if unknown:
            raise HAProxyError(f"{self.backend} has no server {', '.join(unknown)}")

    def orders(self) -> list[tuple[str, str, str]]:
        """What has to be said, none where all is as it should be."""
        found = []
        for name in self.given["servers"]:
            for what in ("weight", "state"):
                wanted = self.given[what]
                if wanted is not None and self.before[name][what] != wanted:
                    found.append((name, what, str(wanted)))
        return found

    def carry_out(self) -> None:
        """Do it, and wait for what is to be waited for."""
        for name, what, value in self.orders():
            order(self.path, "set server", f"{self.backend}/{name}", what, value)
        if self.given["wait_idle"] is not None:
            wait(self._now, lambda server: server["sessions"] == 0, self.given["wait_idle"])
        if self.given["wait_up"] is not None and not wait(
            self._now, lambda server: server["is_up"], self.given["wait_up"]
        ):
            raise HAProxyError(f"not up within {self.given['wait_up']} s: {', '.join(self._down())}")

    def _now(self) -> list[Server]:
        now = look(self.path, self.backend)
        return [now[name] for name in self.given["servers"]]

    def _down(self) -> list[str]:
        now = look(self.path, self.backend)
        return [name for name in self.given["servers"] if not now[name]["is_up"]]


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec=dict(
            socket=dict(type="str", default="/run/haproxy/admin.sock"),
            backend=dict(type="str", required=True),
            servers=dict(type="list", elements="str", default=[]),
            state=dict(type="str", choices=["ready", "drain", "maint"]),
            weight=dict(type="int"),
            wait_idle=dict(type="int"),
            wait_up=dict(type="int"),
        ),
        supports_check_mode=True,
    )
    names = [module.params["backend"], *module.params["servers"]]
    if not all(map(NAME.match, names)):
        module.fail_json(msg="names of backends and servers have letters, digits and _ . : - only")
    weight = module.params["weight"]
    if weight is not None and not 0 <= weight <= 256:
        module.fail_json(msg="a weight is 0 to 256")
    try:
        change = Change(module)
        changed = bool(change.orders())
        if not module.check_mode:
            change.carry_out()
        after = look(change.path, change.backend)
    except HAProxyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, before=change.before, after=after)


if __name__ == "__main__":
    main()
