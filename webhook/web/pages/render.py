"""Templates to HTML: hostile by default, so that whatever a label or an output holds is shown and never obeyed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from webhook.core.duration import format_duration
from webhook.tracing import trace_id

#: The only things that a page may load, and from where; no script and no style stands in a page itself.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
STATIC: Final[Mapping[str, str]] = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
#: Verdicts and outcomes by how they are felt.
_TONES: Final[Mapping[str, frozenset[str]]] = {
    "good": frozenset({"fixed", "pass", "remediation", "ok", "healthy", "closed"}),
    "bad": frozenset({"failed", "ineffective", "lost", "refuse", "unreachable", "sick", "rejected"}),
    "warn": frozenset({"hold", "changed", "awaiting_approval", "half_open", "unknown"}),
    "busy": frozenset({"running", "proving", "queued", "run"}),
}


@cache
def environment() -> Environment:
    """Jinja, with what our templates use."""
    found = Environment(
        loader=PackageLoader("webhook.web.pages"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"when": when, "span": span, "tone": tone, "pretty": pretty, "words": words, "trace_id": trace_id}
    found.globals |= {"static": static_url}
    # Not imported by each template: a block that is rendered alone would not see them.
    parts = found.get_template("parts.html").module
    found.globals |= {name: getattr(parts, name) for name in dir(parts) if not name.startswith("_")}
    return found


@cache
def static_text(name: str) -> bytes:
    """What a static file holds."""
    return files("webhook.web.pages").joinpath("static", name).read_bytes()


@cache
def static_url(name: str) -> str:
    """Where a static file is served; another address once it has changed, so that it can be kept for ever."""
    return f"/static/{name}?v={hashlib.sha256(static_text(name)).hexdigest()[:12]}"


def when(value: datetime | str | None, now: datetime) -> Markup:
    """A moment as people read it, `3m ago` or `in 2h`, with the exact time for whoever wants it."""
    if value is None:
        return Markup("-")
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    away = now - at
    shown = span(abs(away))
    said = "now" if abs(away) < timedelta(seconds=1) else f"in {shown}" if away < timedelta(0) else f"{shown} ago"
    exact = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(), exact.strftime("%Y-%m-%d %H:%M:%S UTC"), said
    )


def span(value: timedelta | float | None) -> str:
    """A time as two units at most: `1h 5m`, `2.4s`."""
    if value is None:
        return "-"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    whole = int(seconds)
    for place, (unit, size) in enumerate(units):
        if whole >= size:
            rest = units[place + 1] if place + 1 < len(units) else None
            more = whole % size // rest[1] if rest else 0
            return f"{whole // size}{unit} {more}{rest[0]}" if rest and more else f"{whole // size}{unit}"
    return format_duration(timedelta(seconds=whole))


def tone(value: object) -> str:
    """How a verdict, a state or an outcome is felt: good, bad, warn, busy, or plain."""
    return next((name for name, values in _TONES.items() if str(value) in values), "plain")


def words(value: object) -> str:
    """A name of ours as people say it."""
    return str(value).replace("_", " ")


def pretty(value: object) -> str:
    """JSON to be read."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def render(template: str, context: Mapping[str, Any]) -> str:
    """A whole page."""
    return environment().get_template(template).render(context)


def render_live(template: str, context: Mapping[str, Any]) -> str:
    """The part of a page that changes while one looks at it."""
    found = environment().get_template(template)
    return "".join(found.blocks["live"](found.new_context(dict(context))))


def markdown(text: object) -> str:
    """A stranger's text in one line of Markdown, where it means nothing."""
    line = " ".join(str(text).split())
    return (
        str(escape(line))
        .replace("|", "\\|")
        .replace("`", "\\`")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("[", "\\[")
    )
