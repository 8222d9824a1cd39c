"""What the record is found by: exact names and labels, and the words of reasons, comments and output.

How the index is kept and asked is the ledger's affair.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from webhook.core.audit import timestamp
from webhook.core.duration import DurationError, parse_duration

#: What each listing may be asked for by, besides labels, times and words.
NAMES: Mapping[str, tuple[str, ...]] = {
    "incidents": ("rule", "target", "state", "alertname", "decision", "guard", "outcome", "resolved_by"),
    "runs": ("rule", "target", "state", "outcome", "incident", "alertname", "playbook"),
    "audit": (
        "event",
        "actor",
        "incident",
        "run",
        "rule",
        "target",
        "alertname",
        "decision",
        "guard",
        "outcome",
    ),
}
#: What every listing may be asked for by.
COMMON = ("label", "since", "until", "q")
#: Longer words are compared by their beginning.
WORD_CHARACTERS = 32
#: Of a long text so many words are indexed, half from its beginning and half from its end: PostgreSQL takes a megabyte.
WORDS_LIMIT = 6000
#: Of an alert with more labels than anyone needs, so many are indexed.
LABELS_LIMIT = 100
#: A question may hold so many words.
ASKED_LIMIT = 50
#: Columns whose words are found too.
_SPOKEN = ("rule", "target", "alertname", "actor", "playbook")
_WORD = re.compile(r"\w+")
_CHUNK = re.compile(r'"([^"]*)"?|([^\s"]+)')


class QueryError(ValueError):
    """This cannot be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked of a listing: all of it must hold."""

    #: As `term` writes them.
    terms: tuple[str, ...] = ()
    #: Words that stand next to each other.
    phrases: tuple[tuple[str, ...], ...] = ()
    #: The first time that counts, and the first that no longer does, as text in the ledger's spelling.
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findable:
    """What one entry, incident or run is found by."""

    #: Its exact names and values; those that are None are not looked for.
    names: Mapping[str, str | None]
    #: Terms of the alerts behind it.
    labels: frozenset[str] = frozenset()
    words: tuple[str, ...] = field(default=())

    @property
    def terms(self) -> list[str]:
        """Every name and label, as `term` writes them."""
        named = (term(name, value) for name, value in self.names.items() if value is not None)
        return list(dict.fromkeys((*named, *sorted(self.labels))))


@lru_cache(maxsize=16384)
def term(name: str, value: str) -> str:
    """A name with its value as one word, of the same length for every value, that no text holds."""
    return "·" + hashlib.blake2s(f"{name}={value}".encode(errors="replace"), digest_size=8).hexdigest()


def words(text: str) -> list[str]:
    """The words of a text as they are compared: letters, digits and underscores, in lower case, in order."""
    found = _WORD.findall(text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold())
    return [word[:WORD_CHARACTERS] for word in found]


def find_entry(names: Mapping[str, str | None], body: Mapping[str, object], *, said: str = "") -> Findable:
    """What an audit entry is found by; `said` is the output that belongs to it."""
    guard = _mapping(body.get("decision")).get("guard")
    names = {**names, "guard": guard if isinstance(guard, str) else None}
    return Findable(names=names, labels=labels_of(body), words=_words(names, _reasons(body), said))


def find_record(names: Mapping[str, str | None], *, labels: frozenset[str], texts: Iterable[str]) -> Findable:
    """What an incident or a run is found by."""
    return Findable(names=names, labels=labels, words=_words(names, texts, ""))


def labels_of(body: Mapping[str, object]) -> frozenset[str]:
    """The terms of the alert in an entry's body."""
    labels = list(_mapping(_mapping(body.get("alert")).get("labels")).items())[:LABELS_LIMIT]
    found = {term("label", f"{name}={value}") for name, value in labels}
    return frozenset(found | {term("alertname", str(value)) for name, value in labels if name == "alertname"})


def read_query(asked: Iterable[tuple[str, str]], *, kind: str, now: datetime) -> Query:
    """The question that names and values put to a listing; `label` may stand there more than once.

    Raises:
        QueryError: it cannot be asked.
    """
    terms: list[str] = []
    phrases: tuple[tuple[str, ...], ...] = ()
    times: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in asked:
        if name not in NAMES[kind] and name not in COMMON:
            known = ", ".join((*NAMES[kind], *COMMON))
            raise QueryError(f"{name[:40]!r} is not a filter here; known: {known}, limit, cursor")
        if name in seen and name != "label":
            raise QueryError(f"{name[:40]!r} was given more than once")
        seen.add(name)
        if name in ("since", "until"):
            times[name] = _time(value, now)
        elif name == "q":
            phrases = _phrases(value)
            # Something was asked that no text holds.
            terms += [term("q", value)] if value.strip() and not phrases else []
        else:
            terms.append(term(name, _label(value) if name == "label" else value))
    return Query(terms=tuple(terms), phrases=phrases, **times)


def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    # What is written without a space, like nginx.service or 10.0.0.1, is meant as one thing.
    found = [tuple(words(chunk[1] or chunk[2] or "")) for chunk in _CHUNK.finditer(text)]
    if sum(map(len, found)) > ASKED_LIMIT:
        raise QueryError(f"q holds more than {ASKED_LIMIT} words")
    return tuple(phrase for phrase in found if phrase)


def _label(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not name or not equals:
        raise QueryError(f"{text[:40]!r} is not a label; write it like job=web")
    return text


def _time(text: str, now: datetime) -> str:
    try:
        return timestamp(now - parse_duration(text))
    except (DurationError, OverflowError):
        pass
    try:
        # A plus sign in a query stands for a space.
        at = datetime.fromisoformat(text.replace(" ", "+"))
        return timestamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        words = f"{text[:40]!r} is not a time; write it like 2026-01-31T12:00:00Z, or 2h for two hours ago"
        raise QueryError(words) from None


def _words(names: Mapping[str, str | None], texts: Iterable[str], said: str) -> tuple[str, ...]:
    spoken = [names[name] or "" for name in _SPOKEN if names.get(name)]
    found = words(" ".join([*spoken, *texts, said]))
    return tuple(found if len(found) <= WORDS_LIMIT else found[: WORDS_LIMIT // 2] + found[-WORDS_LIMIT // 2 :])


def _reasons(body: Mapping[str, object]) -> Iterator[str]:
    decision, run = _mapping(body.get("decision")), _mapping(body.get("run"))
    for place in (body, decision, run):
        yield from (text for name in ("reason", "comment", "words") if isinstance(text := place.get(name), str))
    checks, decisive = decision.get("checks"), decision.get("reason")
    for check in map(_mapping, checks if isinstance(checks, (list, tuple)) else ()):
        # What passed says the same every time.
        if check.get("verdict") != "pass" and check.get("reason") != decisive:
            yield str(check.get("reason", ""))


def _mapping(value: object) -> Mapping[str, object]:
    # A body is what JSON knows; asking for a Mapping would cost ten times as much, for every check of every decision.
    return value if isinstance(value, dict) else {}
