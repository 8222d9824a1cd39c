"""Probes: yes/no questions to the world, and how an alert's words go into them.

Asking is an edge's affair, and so is reading them from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar, Protocol, Self

from webhook.core.address import address_text, domain_text, fill_address, fill_url, shown
from webhook.core.httpconfig import Server, Tls
from webhook.core.placeholder import Filling, Unfit, placeholders
from webhook.core.promql import fill_promql


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
class JsonCheck:
    """One value in a JSON body, and what it has to be."""

    #: As `core.jsonpath` understands it.
    path: str
    equals: str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """Healthy when the answer's status is one of `status`, and its body matches and holds what it should."""

    key: ClassVar[str] = "http"
    asks_target: ClassVar[bool] = True

    url: str
    method: str = "GET"
    status: tuple[int, ...] = (200,)
    body_regex: str | None = None
    json: JsonCheck | None = None
    tls: Tls | None = None

    def filled(self, fill: Filling) -> HttpProbe:
        """The scheme, the host and the port stay the author's: values are percent-encoded."""
        json, tls = self.json, self.tls
        if json and isinstance(json.equals, str):
            json = replace(json, equals=fill(json.equals))
        return replace(self, url=fill_url(self.url, fill), json=json, tls=filled_tls(tls, fill))

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
class GrpcProbe:
    """Healthy when the server says SERVING of a service, by `grpc.health.v1`."""

    key: ClassVar[str] = "grpc"
    asks_target: ClassVar[bool] = True

    address: str
    #: Empty: the server as a whole.
    service: str = ""
    tls: Tls | None = None

    def filled(self, fill: Filling) -> GrpcProbe:
        """The host stays the author's."""
        tls = filled_tls(self.tls, fill)
        return replace(self, address=fill_address(self.address, fill), service=fill(self.service), tls=tls)

    def __str__(self) -> str:
        return f"{self.address} {self.service}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromqlProbe:
    """Healthy when Prometheus finds something, and nothing that is zero."""

    key: ClassVar[str] = "promql"
    asks_target: ClassVar[bool] = False

    expr: str
    #: None: the configuration's.
    prometheus: Server | None = None

    def filled(self, fill: Filling) -> PromqlProbe:
        """A value stays within its string."""
        return replace(self, expr=fill_promql(self.expr, fill))

    def __str__(self) -> str:
        return self.expr


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsProbe:
    """Healthy when a name has an address; one of those that are expected, where some are."""

    key: ClassVar[str] = "dns"

    name: str
    expect: tuple[str, ...] = ()
    #: host:port or [v6]:port; None: the system's resolvers.
    server: str | None = None

    @property
    def asks_target(self) -> bool:
        """A server that is named is what the probe is about; the system's resolvers are not."""
        return self.server is not None

    def filled(self, fill: Filling) -> DnsProbe:
        """The server's host stays the author's; what is looked up must be a name, and what is expected addresses."""
        server = fill_address(self.server, fill) if self.server else None
        expect = tuple(address_text(fill(address)) for address in self.expect)
        return replace(self, name=domain_text(fill(self.name)), expect=expect, server=server)

    def __str__(self) -> str:
        return self.name + (f" @{self.server}" if self.server else "")


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
    except Exception as error:
        # A kind that a package brought may be broken; it must not keep anything from being decided.
        return f"this kind of probe is broken: {type(error).__name__}: {error}"
    return ""


def filled_tls(tls: Tls | None, fill: Filling) -> Tls | None:
    """The options with their placeholders replaced: there may be some in the server's name."""
    return replace(tls, server_name=fill(tls.server_name)) if tls and tls.server_name else tls


def _argument(value: str) -> str:
    if "\0" in value:
        raise Unfit("holds the character NUL")
    return value
