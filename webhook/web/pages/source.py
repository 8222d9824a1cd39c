"""The playbook behind a run, as it lies there now."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.core.run import Run
from webhook.errors import WebhookError

if TYPE_CHECKING:
    from webhook.wiring.desk import Desk

MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A playbook's text, cut where it is very long, and the SHA-256 of the whole file."""

    text: str
    hash: str
    note: str


def read_source(desk: Callable[[], Desk], run: Run) -> Source | None:
    """The run's playbook; None when it cannot be read any more."""
    try:
        folder = desk().current.config.playbooks
        content = (folder / run.playbook).read_bytes()
    except (OSError, WebhookError):
        return None
    note = "As it lies there now; the roles that it uses are beside it."
    text = content[:MOST_BYTES].decode(errors="replace")
    return Source(text=text, hash=hashlib.sha256(content).hexdigest(), note=note)
