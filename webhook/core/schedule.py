"""Alertmanager's time intervals: whether a moment is inside, and when that next changes.

Time zones are handed in. Where they are looked up is the reader's affair.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

#: How far ahead `first_moment` looks: beyond a year, so that a yearly freeze is found.
HORIZON = timedelta(days=400)

_DAY = timedelta(days=1)
_MINUTES_PER_DAY = 24 * 60


class Minutes(NamedTuple):
    """A part of a day, in minutes since midnight: `start` belongs to it, `end` does not."""

    start: int
    end: int


class Span(NamedTuple):
    """Whole numbers from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeInterval:
    """A moment is inside when every field that is not empty takes it; the clock is that of `location`."""

    times: tuple[Minutes, ...] = ()
    #: Sunday is 0.
    weekdays: tuple[Span, ...] = ()
    #: From 1, or from the end of the month: its last day is -1.
    days_of_month: tuple[Span, ...] = ()
    #: January is 1.
    months: tuple[Span, ...] = ()
    years: tuple[Span, ...] = ()
    location: tzinfo = UTC

    def contains(self, at: datetime) -> bool:
        """Whether the moment is inside."""
        local = at.astimezone(self.location)
        minute = local.hour * 60 + local.minute
        in_times = not self.times or any(start <= minute < end for start, end in self.times)
        return in_times and self.takes_day(local.date())

    def takes_day(self, day: date) -> bool:
        """Whether any moment of a day of `location` can be inside."""
        return (
            _holds(self.years, day.year)
            and _holds(self.months, day.month)
            and _holds(self.weekdays, day.isoweekday() % 7)
            and (not self.days_of_month or any(_is_day_of_month(span, day) for span in self.days_of_month))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedInterval:
    """Time intervals under the name by which guards refer to them."""

    name: str
    intervals: tuple[TimeInterval, ...]

    def contains(self, at: datetime) -> bool:
        """Whether the moment is inside any of them."""
        return any(interval.contains(at) for interval in self.intervals)


def first_moment(intervals: Sequence[NamedInterval], *, after: datetime, inside: bool) -> datetime | None:
    """The first moment from `after` on that is inside any of them, or with `inside=False` outside all of them.

    None when there is none within `HORIZON`.
    """

    def is_it(at: datetime) -> bool:
        return any(interval.contains(at) for interval in intervals) is inside

    if is_it(after):
        return after
    every = [interval for named in intervals for interval in named.intervals]
    return next((at for at in _turns(every, after) if is_it(at)), None)


def _turns(intervals: Sequence[TimeInterval], after: datetime) -> Iterator[datetime]:
    """Every moment later than `after` at which one of them may begin or end, in order."""
    end = after + HORIZON
    day = after.astimezone(UTC).date()
    while (begin := datetime.combine(day, time(), UTC)) <= end:
        # A day of any time zone overlaps at most with the one before, the same and the one after in UTC.
        near = (day - _DAY, day, day + _DAY)
        found = {at for interval in intervals for local in near for at in _turns_of_day(interval, local)}
        yield from sorted(at for at in found if begin <= at < begin + _DAY and after < at <= end)
        day += _DAY


def _turns_of_day(interval: TimeInterval, day: date) -> Iterator[datetime]:
    midnight = datetime.combine(day, time())
    for minute in _minutes_to_look_at(interval, day):
        local = midnight + timedelta(minutes=minute)
        # Once each, where the clock is put back and shows this time twice.
        yield from (local.replace(tzinfo=interval.location, fold=fold).astimezone(UTC) for fold in (0, 1))


def _minutes_to_look_at(interval: TimeInterval, day: date) -> Sequence[int]:
    if not interval.takes_day(day):
        return (0,)
    if _is_clock_changed(interval.location, day):
        return range(_MINUTES_PER_DAY)
    return (0, *(minute for part in interval.times for minute in part))


def _is_clock_changed(location: tzinfo, day: date) -> bool:
    begin = datetime.combine(day, time(), location)
    end = datetime.combine(day + _DAY, time(), location).replace(fold=1)
    return begin.utcoffset() != end.utcoffset()


def _holds(spans: tuple[Span, ...], number: int) -> bool:
    return not spans or any(first <= number <= last for first, last in spans)


def _is_day_of_month(span: Span, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    first, last = (number if number > 0 else length + 1 + number for number in span)
    return first <= day.day <= last
