#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Watches how often servers of a HAProxy backend answer with an error."""

from __future__ import annotations

import csv
import io
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.haproxy_socket import NAME, HAProxyError, tell

DOCUMENTATION = r"""
module: haproxy_errors
short_description: Watch how often servers of a HAProxy backend answer with an error
description:
  - Fails as soon as too many answers have been errors, after ten answers at the least.
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
    description: Names of the servers.
    type: list
    elements: str
    required: true
  watch:
    description: Seconds to watch.
    type: int
    required: true
  max_error_percent:
    description: More answers than this with a status of 500 or above, or broken off, are too many.
    type: int
    required: true
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: It watches nothing.
"""

RETURN = r"""
answers:
  description: Answers that were seen.
  type: int
  returned: always
errors:
  description: Those of them that were errors.
  type: int
  returned: always
"""

#: Fewer answers say nothing.
ENOUGH = 10


def count(path: str, backend: str, servers: list[str]) -> tuple[int, int]:
    """Answers and errors since HAProxy started."""
    told = tell(path, "show stat", backend, "4 -1")
    rows = [row for row in csv.DictReader(io.StringIO(told.lstrip("# "))) if row["svname"] in servers]
    if len(rows) < len(servers):
        raise HAProxyError(f"{backend} has not all of these servers")

    def total(*columns: str) -> int:
        return sum(int(row[column] or 0) for row in rows for column in columns)

    broken = total("econ", "eresp")
    errors = total("hrsp_5xx") + broken
    return total("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other") + broken, errors


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec=dict(
            socket=dict(type="str", default="/run/haproxy/admin.sock"),
            backend=dict(type="str", required=True),
            servers=dict(type="list", elements="str", required=True),
            watch=dict(type="int", required=True),
            max_error_percent=dict(type="int", required=True),
        ),
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=False, answers=0, errors=0)
    if not all(map(NAME.match, [given["backend"], *given["servers"]])):
        module.fail_json(msg="names of backends and servers have letters, digits and _ . : - only")
    where = given["socket"], given["backend"], given["servers"]
    deadline = time.monotonic() + given["watch"]
    try:
        first = count(*where)
        while time.monotonic() < deadline:
            time.sleep(0.2)
            answers, errors = (now - before for now, before in zip(count(*where), first))
            if answers >= ENOUGH and errors * 100 > answers * given["max_error_percent"]:
                module.fail_json(msg=f"{errors} of {answers} answers were errors", answers=answers, errors=errors)
    except HAProxyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, answers=answers, errors=errors)


if __name__ == "__main__":
    main()
