"""Time intervals, in the format of Alertmanager's `time_intervals`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from difflib import get_close_matches
from typing import Final
from zoneinfo import available_timezones

from webhook.core.schedule import Minutes, NamedInterval, Span, TimeInterval
from webhook.located import Node, did_you_mean, items, mapping, text, word
from webhook.zone import find_zone

_WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_INTERVAL: Final = {"times", "weekdays", "days_of_month", "months", "years", "location"}
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_NUMBER: Final = re.compile(r"-?[0-9]{1,4}")


def read_time_intervals(node: Node | None) -> Mapping[str, NamedInterval]:
    """The intervals by their names, in file order."""
    named: dict[str, NamedInterval] = {}
    lines: dict[str, int] = {}
    for item in items(node):
        fields = mapping(item, known={"name", "time_intervals"}, required={"name", "time_intervals"})
        name = text(fields.get("name"))
        intervals = tuple(_interval(entry) for entry in _filled(fields.get("time_intervals")))
        if name is None:
            continue
        if name in named:
            fields["name"].report(f"the time interval {name!r} was given already on line {lines[name]}")
            continue
        named[name] = NamedInterval(name=name, intervals=intervals)
        lines[name] = item.line
    return named


def _interval(node: Node) -> TimeInterval:
    fields = mapping(node, known=_INTERVAL)
    return TimeInterval(
        times=tuple(part for item in _filled(fields.get("times")) if (part := _minutes(item)) is not None),
        weekdays=_spans(fields.get("weekdays"), _weekday),
        days_of_month=_spans(fields.get("days_of_month"), _day_of_month),
        months=_spans(fields.get("months"), _month),
        years=_spans(fields.get("years"), _year),
        location=_location(fields.get("location")),
    )


def _filled(node: Node | None) -> list[Node]:
    before = len(node.problems) if node else 0
    found = items(node)
    if node is not None and not found and len(node.problems) == before:
        # Alertmanager takes it for an interval that no moment is inside of, which is hardly meant.
        node.report("an empty list holds no moment at all; fill it, or leave it out")
    return found


def _minutes(node: Node) -> Minutes | None:
    fields = mapping(node, known={"start_time", "end_time"}, required={"start_time", "end_time"})
    start, end = _time_of_day(fields.get("start_time")), _time_of_day(fields.get("end_time"))
    if start is None or end is None:
        return None
    if start >= end:
        node.report("the end must be later than the start; past midnight it is two: one to '24:00', one from '00:00'")
        return None
    return Minutes(start, end)


def _time_of_day(node: Node | None) -> int | None:
    written = text(node)
    if node is None or written is None:
        return None
    if not _TIME.fullmatch(written):
        node.report(f"{written!r} is no time of day; write '00:00' to '24:00', with two digits on either side")
        return None
    return int(written[:2]) * 60 + int(written[3:])


class _NotInCalendar(ValueError):
    """What is written names no weekday, day, month, year or span of them. Never leaves this module."""


def _spans(node: Node | None, number: Callable[[str], int]) -> tuple[Span, ...]:
    return tuple(span for item in _filled(node) if (span := _span(item, number)) is not None)


def _span(node: Node, number: Callable[[str], int]) -> Span | None:
    written = word(node)
    if written is None:
        return None
    try:
        ends = [number(end) for end in written.lower().split(":")]
        if len(ends) > 2:
            raise _NotInCalendar(f"{written!r} has more than a first and a last")
        return _in_order(Span(ends[0], ends[-1]), written)
    except _NotInCalendar as error:
        node.report(str(error))
        return None


def _in_order(span: Span, written: str) -> Span:
    if span.first < 0 < span.last:
        raise _NotInCalendar(f"{written!r} begins from the end of the month, so it must end with a negative day too")
    # No month is shorter: what cannot hold a day there is a mistake, as Alertmanager has it.
    first, last = (number if number >= 0 else 28 + number for number in span)
    if first > last:
        raise _NotInCalendar(f"{written!r} ends before it begins; to go round the end, write two")
    return span


def _weekday(written: str) -> int:
    return _named(written, _WEEKDAYS)


def _month(written: str) -> int:
    return _number(written, 1, 12) if _NUMBER.fullmatch(written) else _named(written, _MONTHS) + 1


def _day_of_month(written: str) -> int:
    day = _number(written, -31, 31)
    if day == 0:
        raise _NotInCalendar("there is no day 0; days count from 1, or from -1, which is the last of the month")
    return day


def _year(written: str) -> int:
    return _number(written, 1, 9999)


def _named(written: str, names: Sequence[str]) -> int:
    if written not in names:
        raise _NotInCalendar(f"{written!r} is not known here; {did_you_mean(written, names)}")
    return names.index(written)


def _number(written: str, lowest: int, highest: int) -> int:
    if not _NUMBER.fullmatch(written) or not lowest <= int(written) <= highest:
        raise _NotInCalendar(f"{written!r} is no number from {lowest} to {highest}")
    return int(written)


def _location(node: Node | None) -> tzinfo:
    name = text(node)
    if node is None or name is None:
        return UTC
    try:
        return find_zone(name)
    # A name that leads out of the database, to a folder or to a file that is no time zone has an error of its own each.
    except (LookupError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1)
        node.report(f"there is no time zone {name!r}; {_hint(near)}")
        return UTC


def _hint(near: Sequence[str]) -> str:
    return f"did you mean {near[0]!r}?" if near else "write a name like Europe/Paris, or UTC, or Local"
