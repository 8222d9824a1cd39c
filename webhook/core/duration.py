"""Durations and rates as Prometheus writes them: `90s`, `1h30m`, `3/6h`."""

from __future__ import annotations

import re
from datetime import timedelta

_HINT = "use 90s, 5m or 1h30m"

#: What Prometheus can hold, 2^63 ns: about 292 years.
MAX_DURATION = timedelta(microseconds=(2**63 - 1) // 1000)

_MILLISECOND = timedelta(milliseconds=1)
_UNITS = {
    "y": timedelta(days=365),
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": _MILLISECOND,
}
# A number is cut at 20 digits, more than any unit can hold, so that nobody pays for the conversion of a longer one.
_DURATION = re.compile("".join(f"(?:([0-9]{{1,20}}){unit})?" for unit in _UNITS))
_NUMBER = re.compile(r"[0-9]+")
_RATE = re.compile(r"([0-9]{1,6})/(.+)", re.DOTALL)


class DurationError(ValueError):
    """This is not a duration."""


class RateError(ValueError):
    """This is not a rate."""


def parse_duration(text: str) -> timedelta:
    """The duration that `text` says, in whole milliseconds: units y w d h m s ms, in this order, each at most once.

    A year has 365 days. `0` needs no unit.

    Raises:
        DurationError: it says none, or one longer than `MAX_DURATION`.
    """
    if text == "0":
        return timedelta(0)
    found = _DURATION.fullmatch(text)
    if not text or not found:
        raise DurationError(f"{_shown(text)} is not a duration: {_what_is_wrong(text)}; {_HINT}")
    try:
        duration = sum(
            (int(number) * unit for number, unit in zip(found.groups("0"), _UNITS.values(), strict=True)),
            start=timedelta(0),
        )
    except OverflowError:
        duration = timedelta.max
    if duration > MAX_DURATION:
        raise DurationError(f"{_shown(text)} is longer than 292y; {_HINT}")
    return duration


def format_duration(duration: timedelta) -> str:
    """`duration` as Prometheus prints it, cut to whole milliseconds; years and weeks only when nothing is left over."""
    rest = abs(duration) // _MILLISECOND * _MILLISECOND
    if not rest:
        return "0s"
    words = "-" if duration < timedelta(0) else ""
    for name, unit in _UNITS.items():
        if rest >= unit and not (name in "yw" and rest % unit):
            words += f"{rest // unit}{name}"
            rest %= unit
    return words


def parse_rate(text: str) -> tuple[int, timedelta]:
    """How often, and in what time: `3/6h` is (3, six hours).

    Raises:
        RateError: the count is not from 1 to 999999, or the time is no duration above zero.
    """
    found = _RATE.fullmatch(text)
    if not found or not int(found[1]):
        raise RateError(f"{_shown(text)} is not a rate: expected a count from 1 to 999999 and a duration; use 3/6h")
    try:
        per = parse_duration(found[2])
    except DurationError as error:
        raise RateError(f"{_shown(text)} is not a rate: {error}") from None
    if not per:
        raise RateError(f"{_shown(text)} is not a rate: its duration is zero; use 3/6h")
    return int(found[1]), per


def _what_is_wrong(text: str) -> str:
    if not text:
        return "it is empty"
    if _NUMBER.fullmatch(text):
        return "the unit is missing"
    if "." in text:
        return "fractions are not allowed"
    if text.startswith("-"):
        return "it is negative"
    return "expected whole numbers with the units y w d h m s ms, in this order, each at most once"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
