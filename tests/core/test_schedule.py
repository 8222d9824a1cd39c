"""Time intervals: what is inside, compared with Alertmanager's own words, and when that changes, with brute force."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.core.schedule import HORIZON, Minutes, NamedInterval, Span, TimeInterval, first_moment

MINUTE = timedelta(minutes=1)
PARIS = ZoneInfo("Europe/Paris")
#: Whole hours, quarters, both hemispheres, clocks changed at midnight, by half an hour, and a date line away.
PLACES = (
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Pacific/Apia",
)


def at(written: str, location: tzinfo = UTC) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=location)


def named(*intervals: TimeInterval) -> NamedInterval:
    return NamedInterval(name="it", intervals=intervals)


# ---------------------------------------------------------------------------------------------------------------------
# What is inside


def test_an_interval_that_says_nothing_is_always_inside() -> None:
    assert TimeInterval().contains(at("2026-01-31T12:00"))


@pytest.mark.parametrize(
    ("moment", "is_inside"),
    [
        ("2026-01-30T15:59:59.999999", False),
        ("2026-01-30T16:00", True),
        ("2026-01-30T23:59:59.999999", True),
        ("2026-01-31T00:00", False),
    ],
)
def test_the_start_belongs_to_it_and_the_end_does_not(moment: str, is_inside: bool) -> None:
    evening = TimeInterval(times=(Minutes(16 * 60, 24 * 60),), weekdays=(Span(5, 5),))
    assert evening.contains(at(moment)) is is_inside


def test_the_week_begins_on_sunday() -> None:
    days = [at(f"2026-02-0{day}T12:00") for day in range(1, 8)]
    assert [TimeInterval(weekdays=(Span(0, 0),)).contains(day) for day in days] == [True, *[False] * 6]
    assert [TimeInterval(weekdays=(Span(1, 5),)).contains(day) for day in days] == [False, *[True] * 5, False]


@pytest.mark.parametrize(
    ("span", "month", "days"),
    [
        (Span(1, 5), "2026-02", {1, 2, 3, 4, 5}),
        (Span(-1, -1), "2026-01", {31}),
        (Span(-1, -1), "2026-02", {28}),
        (Span(-1, -1), "2028-02", {29}),
        (Span(-3, -1), "2026-04", {28, 29, 30}),
        (Span(30, 31), "2026-04", {30}),
        (Span(30, 31), "2026-02", set()),
        (Span(27, 31), "2026-02", {27, 28}),
        (Span(27, -1), "2026-02", {27, 28}),
        (Span(-31, 2 - 31), "2026-02", set()),
        (Span(-31, -27), "2026-02", {1, 2}),
        (Span(1, -1), "2026-02", set(range(1, 29))),
    ],
)
def test_days_of_the_month_count_from_either_end_and_stay_in_the_month(span: Span, month: str, days: set[int]) -> None:
    interval = TimeInterval(days_of_month=(span,))
    whole = range(1, monthrange(*map(int, month.split("-")))[1] + 1)
    assert {day for day in whole if interval.contains(at(f"{month}-{day:02}T12:00"))} == days


def test_the_last_day_is_the_last_one_in_a_month_that_loses_an_hour() -> None:
    last = TimeInterval(days_of_month=(Span(-1, -1),), location=PARIS)
    assert last.contains(at("2026-03-31T12:00", PARIS))
    assert not last.contains(at("2026-03-30T12:00", PARIS))


def test_months_and_years_are_spans() -> None:
    holidays = TimeInterval(months=(Span(12, 12), Span(7, 8)), years=(Span(2025, 2026),))
    assert holidays.contains(at("2026-08-31T23:59"))
    assert not holidays.contains(at("2026-09-01T00:00"))
    assert not holidays.contains(at("2027-08-01T00:00"))


def test_the_clock_is_that_of_the_location() -> None:
    friday = TimeInterval(weekdays=(Span(5, 5),), location=PARIS)
    assert friday.contains(at("2026-01-29T23:00"))
    assert not friday.contains(at("2026-01-30T23:00"))


def test_a_time_that_the_clock_skips_is_never_inside_and_one_that_it_repeats_is_inside_twice() -> None:
    half_past_two = TimeInterval(times=(Minutes(150, 151),), location=PARIS)
    spring = [at("2026-03-29T00:00") + n * MINUTE for n in range(180)]
    autumn = [at("2026-10-25T00:00") + n * MINUTE for n in range(180)]
    assert not [moment for moment in spring if half_past_two.contains(moment)]
    assert [moment for moment in autumn if half_past_two.contains(moment)] == [autumn[30], autumn[90]]


# ---------------------------------------------------------------------------------------------------------------------
# Laws


def ordered(low: int, high: int) -> st.SearchStrategy[Span]:
    return st.lists(st.integers(low, high), min_size=2, max_size=2).map(sorted).map(lambda pair: Span(*pair))


def days_of_month() -> st.SearchStrategy[Span]:
    counted = st.integers(-31, 31).filter(bool)
    return st.tuples(counted, counted).filter(_alertmanager_takes).map(lambda pair: Span(*pair))


def _alertmanager_takes(pair: tuple[int, int]) -> bool:
    if pair[0] < 0 < pair[1]:
        return False
    first, last = (number if number > 0 else 28 + number for number in pair)
    return first <= last


def parts(strategy: st.SearchStrategy[Span], size: int = 2) -> st.SearchStrategy[tuple[Span, ...]]:
    return st.lists(strategy, max_size=size).map(tuple)


times = ordered(0, 1440).filter(lambda span: span.first < span.last).map(lambda span: Minutes(*span))
intervals = st.builds(
    TimeInterval,
    times=st.lists(times, max_size=2).map(tuple),
    weekdays=parts(ordered(0, 6)),
    days_of_month=parts(days_of_month()),
    months=parts(ordered(1, 12), 1),
    years=parts(ordered(2025, 2027), 1),
    location=st.sampled_from(PLACES).map(ZoneInfo),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))
#: A few days around the days on which some of the places change their clocks.
changes = st.sampled_from(
    ["2026-03-08", "2026-03-29", "2026-04-05", "2026-04-24", "2026-10-04", "2026-10-25", "2026-10-30"]
)
near_changes = st.builds(
    lambda day, minutes: at(day) + timedelta(minutes=minutes), changes, st.integers(-24 * 60, 48 * 60)
)


def oracle(interval: TimeInterval, moment: datetime) -> bool:
    """As Alertmanager's source puts it, field by field, over the list of what is allowed."""
    local = moment.astimezone(interval.location)
    length = monthrange(local.year, local.month)[1]
    now = local.strftime("%H:%M")
    written = [(f"{s // 60:02}:{s % 60:02}", f"{e // 60:02}:{e % 60:02}") for s, e in interval.times]
    if interval.times and not any(start <= now < end for start, end in written):
        return False
    allowed: set[int] = set()
    for begin, end in interval.days_of_month:
        begin, end = (n if n > 0 else length + n + 1 for n in (begin, end))
        if begin <= length:
            allowed.update(range(max(begin, -length), min(end, length) + 1))
    if interval.days_of_month and local.day not in allowed:
        return False
    checks = (
        (interval.months, local.month),
        (interval.years, local.year),
        (interval.weekdays, int(local.strftime("%w"))),
    )
    return all(not spans or any(number in range(a, b + 1) for a, b in spans) for spans, number in checks)


@given(interval=intervals, moment=moments | near_changes)
@settings(max_examples=500)
def test_contains_says_what_alertmanager_says(interval: TimeInterval, moment: datetime) -> None:
    assert interval.contains(moment) is oracle(interval, moment)


@given(interval=intervals, moment=moments, hours=st.integers(-12, 14))
def test_the_zone_in_which_a_moment_is_written_changes_nothing(
    interval: TimeInterval, moment: datetime, hours: int
) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(hours=hours)))
    assert interval.contains(elsewhere) is interval.contains(moment)


DAYS = 4


@given(several=st.lists(intervals, min_size=1, max_size=3), start=near_changes, inside=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_first_moment_is_the_one_that_trying_every_minute_finds(
    several: list[TimeInterval], start: datetime, inside: bool
) -> None:
    groups = [named(*several[:1]), named(*several[1:])]
    every = (start + n * MINUTE for n in range(DAYS * 24 * 60))
    tried = next((moment for moment in every if any(oracle(i, moment) for i in several) is inside), None)
    found = first_moment(groups, after=start, inside=inside)
    if tried is not None:
        assert found == tried
    else:
        assert found is None or found >= start + timedelta(days=DAYS)


@given(interval=intervals, start=moments, inside=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_first_moment_is_never_before_what_was_asked_and_is_what_was_asked_for(
    interval: TimeInterval, start: datetime, inside: bool
) -> None:
    found = first_moment([named(interval)], after=start, inside=inside)
    if found is None:
        return
    assert start <= found <= start + HORIZON
    assert interval.contains(found) is inside
    if found != start:
        assert interval.contains(found - timedelta(microseconds=1)) is not inside


# ---------------------------------------------------------------------------------------------------------------------
# When it changes


def test_the_end_of_a_freeze_is_when_it_is_over_for_all_of_them() -> None:
    friday = named(TimeInterval(weekdays=(Span(5, 5),), times=(Minutes(16 * 60, 24 * 60),), location=PARIS))
    weekend = named(
        TimeInterval(weekdays=(Span(6, 6),), location=PARIS), TimeInterval(weekdays=(Span(0, 0),), location=PARIS)
    )
    found = first_moment([friday, weekend], after=at("2026-01-30T20:15:07", PARIS), inside=False)
    assert found == at("2026-02-02T00:00", PARIS)


def test_what_holds_already_holds_from_now_on() -> None:
    now = at("2026-01-31T12:34:56.789")
    assert first_moment([named(TimeInterval())], after=now, inside=True) == now
    assert first_moment([], after=now, inside=False) == now


def test_what_never_comes_has_no_moment() -> None:
    now = at("2026-01-31T12:00")
    past = named(TimeInterval(years=(Span(2020, 2025),)))
    assert first_moment([past], after=now, inside=True) is None
    assert first_moment([named(TimeInterval())], after=now, inside=False) is None
    assert first_moment([], after=now, inside=True) is None


def test_what_comes_once_a_year_is_found() -> None:
    new_year = named(TimeInterval(months=(Span(1, 1),), days_of_month=(Span(1, 1),)))
    assert first_moment([new_year], after=at("2026-01-02T00:00"), inside=True) == at("2027-01-01T00:00")


def test_an_interval_begins_with_the_jump_over_its_start() -> None:
    skipped = named(TimeInterval(times=(Minutes(150, 240),), location=PARIS))
    found = first_moment([skipped], after=at("2026-03-29T00:00"), inside=True)
    assert found == at("2026-03-29T03:00", PARIS)
