"""The error family. A refusal, a failed probe and a failed playbook are values, never one of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class WebhookError(Exception):
    """Something went wrong in alertmend."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file that people write. Line and column count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file that people write. Line and column count from 1; 0 means the whole file."""

    file: Path
    line: int = 0
    column: int = 0
    words: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.words}"


class ConfigError(WebhookError):
    """The configuration cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems) or None)


class PayloadError(WebhookError):
    """The body is not a notification of Alertmanager's webhook, version 4."""


class PayloadTooLarge(PayloadError):
    """The body is larger than receive.max_body_bytes allows."""


class AccessDenied(WebhookError):
    """These credentials may not do this."""


class NotAuthenticated(AccessDenied):
    """Credentials are missing or wrong."""


class NotFound(WebhookError):
    """There is no such thing."""


class StateConflict(WebhookError):
    """Someone else was faster: what was read has changed since."""


class WentBack(StateConflict):
    """Redis went back to an earlier time: what was done since stands in the record, and is not done again."""


#: How the database is called when it is not available.
RECORD = "the audit database"


class Unavailable(WebhookError):
    """A dependency does not answer."""

    def __init__(self, dependency: str, words: str = "") -> None:
        self.dependency, self.words = dependency, words
        super().__init__(f"{dependency} is not available{': ' + words if words else ''}")


class Unsealed(Unavailable):
    """What was asked for holds, and is not on the record yet."""

    def __init__(self, words: str = "", *, what: str = "what was asked for") -> None:
        super().__init__(RECORD, words)
        why = f": {words}" if words else ""
        self.args = (f"{what} holds, and goes on the record as soon as {RECORD} takes it{why}",)


class TracingError(WebhookError):
    """Traces are asked for, and cannot be sent from here."""


class AuditBroken(WebhookError):
    """The audit log's chain is broken."""

    def __init__(self, seq: int, words: str) -> None:
        self.seq = seq
        super().__init__(f"the chain breaks at entry {seq}: {words}")
