"""The time, and ids that sort by it."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def new_id() -> str:
    """An id that nobody has, and that sorts by the time it was made."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(4)}"
