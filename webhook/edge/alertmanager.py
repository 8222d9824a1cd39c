"""Asks all Alertmanagers what fires, and hands them alerts of our own, through version 2 of their API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar
from urllib.parse import urlencode

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from webhook.core.alert import Alert, AlertStatus
from webhook.errors import WebhookError
from webhook.exchange import NoReply, Reply, Request, fetch
from webhook.httpconfig import credentials
from webhook.text import clean, one_line
from webhook.world import Alertmanager, Answer, KnownAlert, KnownState, Posted

#: A longer answer is none: about 100,000 alerts.
ANSWER_LIMIT_BYTES: Final = 64 * 1024 * 1024
_WORDS_LIMIT: Final = 200
#: What counts for more when two Alertmanagers differ; one that has yet to look says least.
_WEIGHT: Final = {KnownState.ACTIVE: 2, KnownState.SUPPRESSED: 1, KnownState.UNPROCESSED: 0}

T = TypeVar("T")
#: A time that can be told in UTC.
_Time = Annotated[datetime, Field(ge=datetime.min.replace(tzinfo=UTC), le=datetime.max.replace(tzinfo=UTC))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _WireStatus:
    state: KnownState
    silencedBy: list[str] = field(default_factory=list)
    inhibitedBy: list[str] = field(default_factory=list)
    #: From 0.28 on.
    mutedBy: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WireReceiver:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _WireAlert:
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: _Time
    fingerprint: str
    status: _WireStatus
    receivers: list[_WireReceiver]


@dataclass(frozen=True, slots=True, kw_only=True)
class _WireServer:
    #: Not how long, but since when.
    uptime: AwareDatetime


_WIRE = TypeAdapter(list[_WireAlert])
_STATUS = TypeAdapter(_WireServer)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerClient:
    """Satisfies `ports.Alertmanagers`. Holds no connection, so that any number of threads may share one."""

    alertmanagers: Sequence[Alertmanager]
    #: In which each of them must have answered.
    seconds: float = 5

    def alerts(self, *, matchers: Sequence[str] = ()) -> Answer:
        """What fires now and fits all matchers, asked of all of them side by side."""
        wanted = [(name, "true") for name in ("active", "silenced", "inhibited", "unprocessed")]
        query = urlencode([*wanted, *(("filter", matcher) for matcher in matchers)])
        known, silent = self._each(lambda one: _read(self._send(one, "GET", query=query), one))
        return Answer(alerts=_merged(known.values()), answered=tuple(known), silent=silent)

    def post(self, alerts: Sequence[Mapping[str, object]]) -> Posted:
        """Hands alerts, in the words of their API, to all of them."""
        taken, failures = self._each(lambda one: self._send(one, "POST", json=list(alerts)))
        return Posted(taken_by=tuple(taken), failures=failures)

    def started_at(self) -> datetime | None:
        """When the youngest of those that answer was started; None when none says so."""
        started, _ = self._each(lambda one: _STATUS.validate_json(self._send(one, "GET", path="status").body).uptime)
        return max(started.values(), default=None)

    def _send(
        self, to: Alertmanager, method: str, *, path: str = "alerts", query: str = "", json: object | None = None
    ) -> Reply:
        config = to.server.http_config
        request = Request(
            method=method,
            url=f"{to.server.url}/api/v2/{path}{'?' if query else ''}{query}",
            tls=config.tls,
            headers=credentials(config),
            json=json,
            follow_redirects=config.follow_redirects,
        )
        reply = fetch(request, seconds=self.seconds, limit_bytes=ANSWER_LIMIT_BYTES)
        if reply.status != 200:
            said = reply.body[:_WORDS_LIMIT].decode("utf-8", "replace")
            raise NoReply(f"status {reply.status}: {said}" if said.strip() else f"status {reply.status}")
        return reply

    def _each(self, ask: Callable[[Alertmanager], T]) -> tuple[dict[str, T], dict[str, str]]:
        """What each of them answered, and why the others did not, by URL."""
        if not self.alertmanagers:
            return {}, {}
        with ThreadPoolExecutor(max_workers=len(self.alertmanagers), thread_name_prefix="alertmanager") as pool:
            asked = {one.server.url: pool.submit(ask, one) for one in self.alertmanagers}
        answered: dict[str, T] = {}
        silent: dict[str, str] = {}
        for url, answer in asked.items():
            try:
                answered[url] = answer.result()
            except (WebhookError, ValidationError) as error:
                silent[url] = one_line(str(error), limit=_WORDS_LIMIT)
        return answered, silent


def _read(reply: Reply, source: Alertmanager) -> list[KnownAlert]:
    try:
        wire = _WIRE.validate_json(reply.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NoReply(f"this is no answer of Alertmanager's API: {place} {first['msg']}") from None
    return [_known(alert, source) for alert in wire]


def _known(wire: _WireAlert, source: Alertmanager) -> KnownAlert:
    receivers = tuple(clean(receiver.name) for receiver in wire.receivers)
    status = wire.status
    causes = [("silence", status.silencedBy), ("inhibited by", status.inhibitedBy), ("muted by", status.mutedBy)]
    return KnownAlert(
        alert=_alert(wire),
        state=status.state,
        suppressed_by=tuple(f"{words} {one_line(name, limit=64)}" for words, names in causes for name in names),
        receivers=receivers,
        is_ours=source.receiver in receivers,
    )


def _alert(wire: _WireAlert) -> Alert:
    return Alert(
        status=AlertStatus.FIRING,
        labels={clean(name): clean(value) for name, value in wire.labels.items()},
        annotations={clean(name): clean(value) for name, value in wire.annotations.items()},
        starts_at=wire.startsAt.astimezone(UTC) if wire.startsAt.tzinfo else wire.startsAt.replace(tzinfo=UTC),
        ends_at=None,
        fingerprint=clean(wire.fingerprint)[:64],
    )


def _merged(answers: Iterable[Sequence[KnownAlert]]) -> dict[str, KnownAlert]:
    merged: dict[str, KnownAlert] = {}
    for known in (known for answer in answers for known in answer):
        other = merged.get(known.alert.fingerprint)
        if other is None or _WEIGHT[known.state] > _WEIGHT[other.state]:
            merged[known.alert.fingerprint] = known
    return merged
