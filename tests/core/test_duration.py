"""Durations and rates: what is read, what is printed, what is refused and with which words."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.duration import (
    MAX_DURATION,
    DurationError,
    RateError,
    format_duration,
    parse_duration,
    parse_rate,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1y", 365 * 86400),
        ("2w", 14 * 86400),
        ("1d12h", 129600),
        ("250ms", 0.25),
        ("1y2w3d4h5m6s7ms", 31536000 + 1209600 + 259200 + 14400 + 300 + 6.007),
        ("00000000000000000090s", 90),
        ("120m", 7200),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("90", "unit is missing"),
        ("1.5h", "fractions"),
        ("-5m", "negative"),
        ("30m1h", "in this order"),
        ("1m1m", "at most once"),
        ("5 m", "whole numbers"),
        (" 5m", "whole numbers"),
        ("5m\n", "whole numbers"),
        ("5M", "whole numbers"),
        ("5min", "whole numbers"),
        ("ms", "whole numbers"),
        ("٣s", "whole numbers"),
        ("²s", "whole numbers"),
        ("+5m", "whole numbers"),
        ("forever", "whole numbers"),
        ("293y", "longer than 292y"),
        ("99999999999999999999y", "longer than 292y"),
        ("9" * 100_000 + "s", "whole numbers"),
        ("9" * 100_000, "unit is missing"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_reason_and_a_hint(text: str, words: str) -> None:
    with pytest.raises(DurationError, match=re.escape(words)) as refused:
        parse_duration(text)

    assert "use 90s, 5m or 1h30m" in str(refused.value)
    assert len(str(refused.value)) < 250


@given(st.text(st.sampled_from("0123456789ywdhms. -"), max_size=12) | st.text(max_size=30))
def test_any_text_is_a_duration_in_range_or_a_duration_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except DurationError:
        return
    assert timedelta(0) <= duration <= MAX_DURATION
    assert re.fullmatch(r"0|([0-9]+(y|w|d|h|ms|m|s))+", text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(hours=24), "1d"),
        (timedelta(days=14), "2w"),
        (timedelta(days=365), "1y"),
        (timedelta(days=400), "400d"),
        (timedelta(days=90), "90d"),
        (timedelta(days=8, hours=1), "8d1h"),
        (timedelta(milliseconds=1500), "1s500ms"),
        (timedelta(microseconds=999), "0s"),
        (timedelta(seconds=1, microseconds=999), "1s"),
        (timedelta(seconds=-90), "-1m30s"),
        (timedelta(microseconds=-1), "0s"),
    ],
)
def test_a_duration_is_printed_as_prometheus_prints_it(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION))
def test_what_is_printed_is_read_as_the_same_duration_in_milliseconds(duration: timedelta) -> None:
    whole = duration - duration % timedelta(milliseconds=1)

    assert parse_duration(format_duration(duration)) == whole


def test_every_timedelta_can_be_printed() -> None:
    assert format_duration(timedelta.max).endswith("d23h59m59s999ms")
    assert format_duration(timedelta(days=-999999999)).startswith("-")


def test_a_rate_is_a_count_and_a_duration() -> None:
    assert parse_rate("3/6h") == (3, timedelta(hours=6))
    assert parse_rate("999999/1h30m") == (999999, timedelta(minutes=90))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "3/6h"),
        ("3", "3/6h"),
        ("3/", "3/6h"),
        ("/6h", "3/6h"),
        ("0/6h", "3/6h"),
        ("-1/6h", "3/6h"),
        ("1000000/6h", "from 1 to 999999"),
        ("3/0s", "its duration is zero"),
        ("3/0", "its duration is zero"),
        ("3/6", "unit is missing"),
        ("3/h", "whole numbers"),
        ("3 / 6h", "3/6h"),
        ("3/6h/2", "whole numbers"),
        ("3/6h\n", "whole numbers"),
        ("٣/6h", "3/6h"),
        ("9" * 100_000 + "/6h", "3/6h"),
    ],
)
def test_what_is_no_rate_is_refused_with_the_reason_and_a_hint(text: str, words: str) -> None:
    with pytest.raises(RateError, match=re.escape(words)) as refused:
        parse_rate(text)

    assert len(str(refused.value)) < 350


@given(st.integers(1, 999999), st.timedeltas(min_value=timedelta(milliseconds=1), max_value=MAX_DURATION))
def test_a_printed_rate_is_read_back(count: int, per: timedelta) -> None:
    whole = per - per % timedelta(milliseconds=1)

    assert parse_rate(f"{count}/{format_duration(per)}") == (count, whole)


@given(st.text(st.sampled_from("0123456789/hms"), max_size=10) | st.text(max_size=30))
def test_any_text_is_a_rate_that_allows_something_or_a_rate_error(text: str) -> None:
    try:
        count, per = parse_rate(text)
    except RateError:
        return
    assert count >= 1
    assert per > timedelta(0)
