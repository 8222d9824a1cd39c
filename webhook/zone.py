"""Time zones by their names, as Alertmanager finds them."""

from __future__ import annotations

import os
from datetime import tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

#: The machine's own.
LOCAL: Final = "Local"
#: Where Go, and so Alertmanager, looks for it when TZ does not name it.
_LOCALTIME: Final = Path("/etc/localtime")


def find_zone(name: str) -> tzinfo:
    """The time zone of an IANA name, or of `Local`; its `str` is that name.

    Raises:
        LookupError, ValueError, OSError: there is none of that name, which leads out of the database, or to a folder.
    """
    if name != LOCAL:
        return ZoneInfo(name)
    here = os.environ.get("TZ")
    if here is not None or not _LOCALTIME.exists():
        return ZoneInfo((here or "").removeprefix(":") or "UTC")
    with _LOCALTIME.open("rb") as file:
        return ZoneInfo.from_file(file, key=LOCAL)
