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


def read_source(desk: Callable[[], Desk], run: Run, *, then: str = "") -> Source | None:
    """The run's playbook; None when it cannot be read any more. `then` it had this SHA-256, if that is known."""
    try:
        folder = desk().current.config.playbooks
        content = (folder / run.playbook).read_bytes()
    except (OSError, WebhookError):
        return None
    text, hash = content[:MOST_BYTES].decode(errors="replace"), hashlib.sha256(content).hexdigest()
    words = "As it lies there now"
    if then == hash:
        words = "As it was when this was decided"
    elif then:
        words += f"; it was another one, {then[:16]}…, when this was decided"
    return Source(text=text, hash=hash, note=f"{words}. The roles that it uses are beside it.")
