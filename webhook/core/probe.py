"""Probes: yes/no questions to the world, and how an alert's words go into them.

Asking is an edge's affair, and so is reading them from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar, Protocol, Self

from webhook.core.address import fill_address, fill_url, shown
from webhook.core.placeholder import Filling, Unfit, placeholders


class ProbeKind(Protocol):
    """What is asked: a frozen dataclass of a built-in kind, or of one that an entry point brought."""

    @property
    def key(self) -> str:
        """The key that it stands under in a rule file."""
        ...

    @property
    def asks_target(self) -> bool:
        """No answer is the target's own sickness; False when someone else is asked about it."""
        ...

    def filled(self, fill: Filling) -> Self:
        """The same with every placeholder replaced; raises `Unfit` for a value that would change what is asked."""
        ...

    def __str__(self) -> str:
        """What is asked, in a few words for the record, without secrets."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """Healthy when the answer's status is one of `status` and its body matches."""

    key: ClassVar[str] = "http"
    asks_target: ClassVar[bool] = True

    url: str
    method: str = "GET"
    status: tuple[int, ...] = (200,)
    body_regex: str | None = None

    def filled(self, fill: Filling) -> HttpProbe:
        """The scheme, the host and the port stay the author's: values are percent-encoded."""
        return replace(self, url=fill_url(self.url, fill))

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProbe:
    """Healthy when a connection opens."""

    key: ClassVar[str] = "tcp"
    asks_target: ClassVar[bool] = True

    address: str

    def filled(self, fill: Filling) -> TcpProbe:
        """The host stays the author's."""
        return replace(self, address=fill_address(self.address, fill))

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandProbe:
    """Healthy when a local program ends with status 0; no shell."""

    key: ClassVar[str] = "command"
    asks_target: ClassVar[bool] = True

    argv: tuple[str, ...]

    def filled(self, fill: Filling) -> CommandProbe:
        """A value stays one argument, and becomes an option only after the author's `--`."""
        arguments = tuple(fill(argument, _argument) for argument in self.argv)
        options_end = self.argv.index("--") if "--" in self.argv else len(self.argv)
        for written, argument in zip(self.argv[:options_end], arguments, strict=False):
            if argument.startswith("-") and not written.startswith("-"):
                raise Unfit(f"{placeholders(written)[0]} would be the option {shown(argument)}; put -- before it")
        return replace(self, argv=arguments)

    def __str__(self) -> str:
        return " ".join(self.argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A yes/no question to the world, asked before and after a playbook."""

    kind: ProbeKind
    period: timedelta = timedelta(seconds=2)
    timeout: timedelta = timedelta(seconds=1)
    #: This many sick answers in a row before: it really is sick.
    failure_threshold: int = 3
    #: This many healthy answers in a row after: it really is healthy.
    success_threshold: int = 2
    #: How long after the playbook it may take to become healthy.
    within: timedelta = timedelta(minutes=1)


def filled_probe(probe: Probe, *, target: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Probe:
    """The probe with every placeholder in its texts replaced.

    Raises:
        KeyError: a label or an annotation is missing; ask `missing_names` first.
        Unfit: a value cannot stand where its placeholder does; ask `unfit_words` first.
    """
    return replace(probe, kind=probe.kind.filled(Filling(target=target, labels=labels, annotations=annotations)))


def unfit_words(probe: Probe, *, target: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Why the probe cannot be asked about this alert, in a few words; empty when it can, or when a label is missing."""
    try:
        filled_probe(probe, target=target, labels=labels, annotations=annotations)
    except Unfit as error:
        return str(error)
    except KeyError:
        return ""
    return ""


def _argument(value: str) -> str:
    if "\0" in value:
        raise Unfit("holds the character NUL")
    return value
