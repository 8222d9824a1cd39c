"""Small charts as SVG, drawn here: no script and no colours of their own, and said in words for who cannot see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from webhook.core.run import ProbeAnswer
from webhook.web.pages.render import span, tone, words

WIDTH, WIDE, ROW, GAP, NAME_WIDTH, VALUE_WIDTH = 400, 600, 16, 8, 120, 110
_SHOWN = 10
_NAME_CHARACTERS = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing with its title."""

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a bar."""

    value: float
    tone: str
    said: str


def columns(title: str, counts: Sequence[int], *, begin: str, end: str, said: str) -> Chart:
    """One column for each count, oldest first."""
    most, height = max([*counts, 1]), 90
    width = WIDTH / max(len(counts), 1)
    drawn = Markup("").join(
        _rectangle(
            place * width + 1, height - height * count / most, width - 2, height * count / most, "busy", str(count)
        )
        for place, count in enumerate(counts)
        if count
    )
    texts = Markup('<text class="soft" x="0" y="{y}">{begin}</text>').format(y=height + 14, begin=begin)
    texts += Markup('<text class="soft" x="{x}" y="{y}" text-anchor="end">{end}</text>').format(
        x=WIDTH, y=height + 14, end=end
    )
    axis = Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(WIDTH, height, height)
    return Chart(title=title, svg=_drawing(height + 18, said, drawn + axis + texts), note=said)


def bars(title: str, rows: Mapping[str, Sequence[Part]], *, note: str = "") -> Chart:
    """One bar for each name, in pieces; the longest says how long."""
    shown = list(rows.items())[:_SHOWN]
    most = max([sum(part.value for part in parts) for _, parts in shown] or [1]) or 1
    room = WIDTH - NAME_WIDTH - VALUE_WIDTH
    drawn = Markup("")
    for place, (name, parts) in enumerate(shown):
        y, x = place * (ROW + GAP), float(NAME_WIDTH)
        drawn += _name(name, y)
        for part in parts:
            width = room * part.value / most
            drawn += _rectangle(x, y, width, ROW, part.tone, part.said)
            x += width
        total = ", ".join(part.said for part in parts if part.value)
        drawn += Markup('<text x="{x:.1f}" y="{y}">{text}</text>').format(x=x + 5, y=y + 12, text=_cut(total, 18))
    said = "; ".join(f"{name}: {', '.join(part.said for part in parts if part.value)}" for name, parts in shown)
    svg = _drawing(len(shown) * (ROW + GAP), said, drawn) if shown else Markup("")
    return Chart(title=title, svg=svg, note=note)


def probe_chart(answers: Sequence[ProbeAnswer], *, acted_at: datetime | None) -> Markup:
    """Every answer at its time, as high as it took long, and where the playbook began."""
    if not answers:
        return Markup("")
    height, begin, end = 70, answers[0].at, max(answers[-1].at, answers[0].at + timedelta(seconds=1))
    slowest = max([answer.latency_seconds for answer in answers] + [0.001])

    def place(at: datetime) -> float:
        return 8 + (WIDE - 16) * ((at - begin) / (end - begin))

    drawn = Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(WIDE, height, height)
    if acted_at is not None and begin <= acted_at <= end:
        drawn += Markup('<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y}"/>').format(
            x=place(acted_at), y=height
        )
        drawn += Markup('<text class="soft" x="{x:.1f}" y="10">playbook</text>').format(x=place(acted_at) + 4)
    for answer in answers:
        said = "unknown" if not answer.known else "healthy" if answer.healthy else "sick"
        drawn += Markup('<circle class="{tone}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{said}</title></circle>').format(
            tone=tone(said),
            x=place(answer.at),
            y=height - 8 - (height - 24) * answer.latency_seconds / slowest,
            said=f"{said}: {answer.words}, {span(answer.latency_seconds)}",
        )
    healthy = sum(answer.healthy for answer in answers)
    words_of_it = (
        f"{len(answers)} answers in {span(end - begin)}, {healthy} of them healthy; the slowest took {span(slowest)}"
    )
    return _drawing(height + 4, words_of_it, drawn, width=WIDE)


def _name(name: str, y: int) -> Markup:
    shown = _cut(words(name), _NAME_CHARACTERS)
    return Markup('<text x="{x}" y="{y}" text-anchor="end">{name}<title>{whole}</title></text>').format(
        x=NAME_WIDTH - 6, y=y + 12, name=shown, whole=name
    )


def _rectangle(x: float, y: float, width: float, height: float, tone: str, said: str) -> Markup:
    return Markup(
        '<rect class="{tone}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2">'
        "<title>{said}</title></rect>"
    ).format(tone=tone, x=x, y=y, width=max(width, 0.0), height=height, said=said)


def _drawing(height: int, said: str, drawn: Markup, *, width: int = WIDTH) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(width, height, said, drawn)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
