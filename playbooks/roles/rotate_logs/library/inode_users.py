#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Waits until no process has a file open, be it renamed or removed by now."""

from __future__ import annotations

import os
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: inode_users
short_description: Wait until no process has a file open
description:
  - Fails when any has it open still after O(within) seconds.
  - The file is named by its numbers, so that it is found after it was renamed or removed.
options:
  device:
    description: Number of the device, as M(ansible.builtin.stat) returns it.
    type: int
    required: true
  inode:
    description: Number of the inode, as M(ansible.builtin.stat) returns it.
    type: int
    required: true
  within:
    description: Seconds to wait.
    type: int
    default: 0
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: It only looks.
"""


def has_open(pid: str, device: int, inode: int) -> bool:
    """Whether a process has it open."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        # It ended while it was looked for.
        return False
    for name in names:
        try:
            found = os.stat(f"{folder}/{name}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (device, inode):
            return True
    return False


def users(device: int, inode: int) -> list[int]:
    """The processes that have it open."""
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and has_open(pid, device, inode)]


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec=dict(
            device=dict(type="int", required=True),
            inode=dict(type="int", required=True),
            within=dict(type="int", default=0),
        ),
        supports_check_mode=True,
    )
    device, inode = module.params["device"], module.params["inode"]
    deadline = time.monotonic() + module.params["within"]
    while pids := users(device, inode):
        if time.monotonic() >= deadline:
            shown = ", ".join(map(str, sorted(pids)))
            module.fail_json(msg=f"the old file is open still, in the processes {shown}")
        time.sleep(0.1)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
