#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Finds processes of one program that use too much, and ends those that it is told to end."""

from __future__ import annotations

import os
import pwd
import signal
import time
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: runaway_process
short_description: Find processes of one program that use too much, or end such processes
description:
  - Without O(end) it only looks.
  - With O(end) it ends the processes listed there, each only while it is still the process that was found.
  - Kernel threads, the first process and the ancestors of the module itself are never found.
options:
  program:
    description: Base name of the program's file.
    type: str
    required: true
  user:
    description: Name of the user whose processes they are.
    type: str
    required: true
  cpu_percent:
    description: Use of one processor that is too much.
    type: int
  memory_mib:
    description: Resident memory that is too much.
    type: int
  min_age:
    description: Seconds for which a process must have lived.
    type: int
    default: 0
  sample:
    description: Seconds over which processor time is measured.
    type: int
    default: 1
  end:
    description: Processes to end, as they were found.
    type: list
    elements: dict
    options:
      pid:
        description: Number of the process.
        type: int
        required: true
      started:
        description: When it started, in clock ticks after the boot. Tells it from a later one with the same number.
        type: int
        required: true
      cpu_percent:
        description: What it used when it was found. Not looked at.
        type: int
      memory_mib:
        description: What it held when it was found. Not looked at.
        type: int
  grace:
    description: Seconds between asking a process to end and killing it.
    type: int
    default: 10
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: Ends nothing.
"""

RETURN = r"""
found:
  description: Processes that use too much. Only without O(end).
  type: list
  elements: dict
  returned: always
ended:
  description: Processes that were ended, each with the signal that did it.
  type: list
  elements: dict
  returned: always
surviving:
  description: Processes that could not be ended.
  type: list
  elements: dict
  returned: always
"""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: Bit of the flags in /proc/PID/stat.
KERNEL_THREAD = 0x00200000

Process = Dict[str, Any]


def read(pid: int) -> Process | None:
    """What /proc says of a process; None when there is none, or only its zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("utf-8", "replace")
        owner = os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in brackets and may hold any character, brackets too.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in ("Z", "X"):
        return None
    return {
        "pid": pid,
        "parent": int(fields[1]),
        "flags": int(fields[6]),
        "ticks": int(fields[11]) + int(fields[12]),
        "started": int(fields[19]),
        "memory_mib": int(fields[21]) * PAGE_BYTES // (1 << 20),
        "uid": owner,
    }


def program(pid: int) -> str:
    """Base name of the file that a process runs; what it calls itself is not asked."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return os.path.basename(path[: -len(" (deleted)")] if path.endswith(" (deleted)") else path)


def ancestors() -> list[int]:
    """This process and those above it."""
    found = [os.getpid()]
    while found[-1] > 1:
        above = read(found[-1])
        if above is None:
            break
        found.append(above["parent"])
    return found


def candidates(name: str, uid: int, min_age: int) -> list[Process]:
    """Processes of the program and the user that are old enough."""
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    untouchable = {1, *ancestors()}
    found = []
    for entry in os.listdir("/proc"):
        process = read(int(entry)) if entry.isdigit() else None
        if process is None or process["pid"] in untouchable or process["flags"] & KERNEL_THREAD:
            continue
        age = uptime - process["started"] / TICKS_PER_SECOND
        if process["uid"] == uid and age >= min_age and program(process["pid"]) == name:
            found.append(process)
    return found


def look(name: str, uid: int, min_age: int, sample: int, cpu: int | None, memory: int | None) -> list[Process]:
    """Those of the candidates that use too much."""
    before = candidates(name, uid, min_age)
    began = time.monotonic()
    if before and cpu is not None:
        time.sleep(sample)
    elapsed = max(time.monotonic() - began, 0.001)
    found = []
    for process in before:
        now = read(process["pid"])
        if now is None or now["started"] != process["started"]:
            continue
        used = round((now["ticks"] - process["ticks"]) / TICKS_PER_SECOND / elapsed * 100)
        if (cpu is not None and used >= cpu) or (memory is not None and now["memory_mib"] >= memory):
            shown = {key: now[key] for key in ("pid", "started", "memory_mib")}
            found.append(dict(shown, cpu_percent=used if cpu is not None else None))
    return sorted(found, key=lambda process: process["pid"])


def is_alive(process: Process) -> bool:
    """Whether it is still the same process."""
    now = read(process["pid"])
    return now is not None and now["started"] == process["started"]


def send(process: Process, number: int) -> None:
    """Signal a process, and no other that got its number in the meantime."""
    try:
        if not hasattr(os, "pidfd_open"):
            if is_alive(process):
                os.kill(process["pid"], number)
            return
        descriptor = os.pidfd_open(process["pid"])
        try:
            # Looked at after it is held: from here on the number cannot mean another.
            if is_alive(process):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        return


def wait(processes: list[Process], seconds: float) -> list[Process]:
    """Those that are still there after so many seconds, or at once when none is."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [process for process in alive if is_alive(process)]
    return alive


def end(processes: list[Process], grace: int) -> dict[str, list[Process]]:
    """Ask them to end, then kill; what became of them."""
    there = [process for process in processes if is_alive(process)]
    for process in there:
        send(process, signal.SIGTERM)
    stubborn = wait(there, grace)
    for process in stubborn:
        send(process, signal.SIGKILL)
    surviving = wait(stubborn, 5)
    ended = [
        dict(pid=process["pid"], signal="KILL" if process in stubborn else "TERM")
        for process in there
        if process not in surviving
    ]
    return {"ended": ended, "surviving": surviving}


def main() -> None:
    """Run as a module."""
    listed = dict(
        pid=dict(type="int", required=True),
        started=dict(type="int", required=True),
        cpu_percent=dict(type="int"),
        memory_mib=dict(type="int"),
    )
    module = AnsibleModule(
        argument_spec=dict(
            program=dict(type="str", required=True),
            user=dict(type="str", required=True),
            cpu_percent=dict(type="int"),
            memory_mib=dict(type="int"),
            min_age=dict(type="int", default=0),
            sample=dict(type="int", default=1),
            end=dict(type="list", elements="dict", options=listed),
            grace=dict(type="int", default=10),
        ),
        required_one_of=[("cpu_percent", "memory_mib", "end")],
        supports_check_mode=True,
    )
    given = module.params
    try:
        uid = pwd.getpwnam(given["user"]).pw_uid
    except KeyError:
        module.fail_json(msg="there is no user of that name on this host")
    if given["end"] is None:
        found = look(
            given["program"], uid, given["min_age"], given["sample"], given["cpu_percent"], given["memory_mib"]
        )
        module.exit_json(changed=False, found=found, ended=[], surviving=[])
    ours = {(process["pid"], process["started"]) for process in candidates(given["program"], uid, 0)}
    processes = [process for process in given["end"] if (process["pid"], process["started"]) in ours]
    if module.check_mode:
        module.exit_json(changed=bool(processes), found=[], ended=[], surviving=[])
    became = end(processes, given["grace"])
    if became["surviving"]:
        module.fail_json(msg="it did not end, not even when it was killed", found=[], **became)
    module.exit_json(changed=bool(became["ended"]), found=[], **became)


if __name__ == "__main__":
    main()
