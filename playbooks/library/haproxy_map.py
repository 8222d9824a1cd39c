#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Sets an entry of a HAProxy map, in the running process and in the file that it is read from."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.haproxy_socket import NAME, HAProxyError, order, tell

DOCUMENTATION = r"""
module: haproxy_map
short_description: Set an entry of a HAProxy map
description:
  - Sets it in the file first, so that a HAProxy that is reloaded in between knows it, then in the running process.
  - The map has to be used in HAProxy's configuration.
options:
  socket:
    description: The runtime socket.
    type: str
    default: /run/haproxy/admin.sock
  map:
    description: The map's file, as HAProxy's configuration names it.
    type: str
    required: true
  key:
    description: The entry's key.
    type: str
    required: true
  value:
    description: The entry's value.
    type: str
    required: true
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: Sets nothing.
"""

RETURN = r"""
before:
  description: The value in the running process; nothing when it had none.
  type: str
  returned: always
"""


def running(path: str, file: str, key: str) -> str | None:
    """The value in the running process.

    Raises:
        HAProxyError: it uses no such map.
    """
    told = tell(path, "show map", file)
    if told.lower().startswith("unknown"):
        raise HAProxyError(f"HAProxy's configuration uses no map {file}")
    for line in told.splitlines():
        # A number for the entry, its key, its value.
        fields = line.split()
        if len(fields) == 3 and fields[1] == key:
            return fields[2]
    return None


def written(file: str, key: str, value: str) -> str | None:
    """The file's new content; None when it is as it should be."""
    with open(file, encoding="utf-8") as old:
        lines = old.read().splitlines()
    kept = [line for line in lines if line.split()[:1] != [key]]
    wanted = [*kept, f"{key} {value}"]
    is_there = [line.split() for line in lines if line not in kept] == [[key, value]]
    return None if is_there else "\n".join(wanted) + "\n"


def write(module: AnsibleModule, file: str, content: str) -> None:
    """Replace the file in one step; owner and mode stay."""
    new = f"{file}.alertmend-{os.getpid()}"
    with open(new, "w", encoding="utf-8") as out:
        out.write(content)
    module.atomic_move(new, file)


def main() -> None:
    """Run as a module."""
    text = dict(type="str", required=True)
    module = AnsibleModule(
        argument_spec=dict(
            socket=dict(type="str", default="/run/haproxy/admin.sock"),
            map=text,
            key=dict(type="str", required=True, no_log=False),
            value=text,
        ),
        supports_check_mode=True,
    )
    path, file, key, value = (module.params[name] for name in ("socket", "map", "key", "value"))
    if not all(map(NAME.match, (key, value))):
        module.fail_json(msg="key and value have letters, digits and _ . : - only")
    try:
        before, content = running(path, file, key), written(file, key, value)
        if not module.check_mode:
            if content is not None:
                write(module, file, content)
            if before != value:
                order(path, "add map" if before is None else "set map", file, key, value)
    except (HAProxyError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=content is not None or before != value, before=before)


if __name__ == "__main__":
    main()
