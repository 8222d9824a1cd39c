"""Time intervals as people write them: what they say, and every mistake with its place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.schedule import Minutes, NamedInterval, Span, TimeInterval
from webhook.edge.configfile.intervals import read_time_intervals
from webhook.errors import Problem
from webhook.located import parse

FREEZE = """
- name: freeze
  time_intervals:
    - times: [{start_time: '16:00', end_time: '24:00'}, {start_time: '00:00', end_time: '06:30'}]
      weekdays: ['Monday:friday', sunday]
      days_of_month: ['1:5', -1, '-3:-1', '27:-1']
      months: [december, 'january:march', 7, '10:11']
      years: [2026, '2030:2032']
      location: Europe/Paris
    - {}
"""


def read(written: str) -> tuple[Mapping[str, NamedInterval], list[str]]:
    problems: list[Problem] = []
    node = parse(written.encode(), file=Path("it.yml"), problems=problems)
    return read_time_intervals(node), [str(problem) for problem in problems]


def entry(written: str) -> list[str]:
    """The problems of one interval in a list that is otherwise well."""
    return read(f"- name: it\n  time_intervals: [{{{written}}}]\n")[1]


def test_everything_that_alertmanager_can_say_is_read() -> None:
    found, problems = read(FREEZE)
    assert problems == []
    assert found["freeze"].intervals == (
        TimeInterval(
            times=(Minutes(960, 1440), Minutes(0, 390)),
            weekdays=(Span(1, 5), Span(0, 0)),
            days_of_month=(Span(1, 5), Span(-1, -1), Span(-3, -1), Span(27, -1)),
            months=(Span(12, 12), Span(1, 3), Span(7, 7), Span(10, 11)),
            years=(Span(2026, 2026), Span(2030, 2032)),
            location=ZoneInfo("Europe/Paris"),
        ),
        TimeInterval(),
    )


def test_what_is_not_there_is_none() -> None:
    assert read_time_intervals(None) == {}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("weekdays: [mondya]", "'mondya' is not known here; did you mean 'monday'?"),
        ("weekdays: ['friday:monday']", "'friday:monday' ends before it begins; to go round the end, write two"),
        ("weekdays: ['saturday:sunday']", "'saturday:sunday' ends before it begins"),
        ("weekdays: ['monday:tuesday:friday']", "'monday:tuesday:friday' has more than a first and a last"),
        ("weekdays: ['monday:']", "'' is not known here; known: friday, monday"),
        ("weekdays: [1]", "'1' is not known here; known: friday, monday"),
        ("weekdays: monday", "expected a list, not the text 'monday'"),
        ("weekdays: []", "an empty list holds no moment at all"),
        ("times: [{start_time: '16:00', end_time: '16:00'}]", "the end must be later than the start"),
        (
            "times: [{start_time: '22:00', end_time: '06:00'}]",
            "past midnight it is two: one to '24:00', one from '00:00'",
        ),
        ("times: [{start_time: '9:00', end_time: '17:00'}]", "'9:00' is no time of day; write '00:00' to '24:00'"),
        ("times: [{start_time: '24:00', end_time: '24:01'}]", "'24:01' is no time of day"),
        ("times: [{start_time: '10:60', end_time: '24:00'}]", "'10:60' is no time of day"),
        ("times: [{start_time: '٠٩:00', end_time: '24:00'}]", "is no time of day"),
        (
            "times: [{start_time: 16:00, end_time: '24:00'}]",
            "YAML reads as the number 960; write it in quotes: '16:00'",
        ),
        ("times: [{start_time: '08:00'}]", "the key 'end_time' is missing"),
        ("times: ['08:00-09:00']", "expected a mapping (key: value), not the text '08:00-09:00'"),
        ("days_of_month: [0]", "there is no day 0; days count from 1, or from -1, which is the last of the month"),
        ("days_of_month: [32]", "'32' is no number from -31 to 31"),
        ("days_of_month: ['-1:5']", "'-1:5' begins from the end of the month, so it must end with a negative day too"),
        ("days_of_month: ['5:1']", "'5:1' ends before it begins"),
        ("days_of_month: ['-1:-3']", "'-1:-3' ends before it begins"),
        ("days_of_month: ['28:-2']", "'28:-2' ends before it begins"),
        ("days_of_month: [1:5]", "YAML reads as the number 65; write it in quotes: '1:5'"),
        ("days_of_month: ['1-5']", "'1-5' is no number from -31 to 31"),
        ("days_of_month: [1.5]", "which YAML reads as the number 1.5; write it in quotes"),
        ("months: [febuary]", "'febuary' is not known here; did you mean 'february'?"),
        ("months: [13]", "'13' is no number from 1 to 12"),
        ("months: ['december:january']", "ends before it begins"),
        ("years: ['2027:2026']", "ends before it begins"),
        ("years: [0]", "'0' is no number from 1 to 9999"),
        ("years: ['123456789']", "is no number from 1 to 9999"),
        ("location: Europe/Pairs", "there is no time zone 'Europe/Pairs'; did you mean 'Europe/Paris'?"),
        ("location: Mars", "there is no time zone 'Mars'"),
        ("location: Europe", "there is no time zone 'Europe'"),
        ("location: ../../etc/passwd", "there is no time zone '../../etc/passwd'"),
        ("location: /etc/localtime", "there is no time zone '/etc/localtime'"),
        ("location: ''", "expected a text that is not empty"),
        ("weekday: [monday]", "unknown key 'weekday'; did you mean 'weekdays'?"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_hint(written: str, words: str) -> None:
    problems = entry(written)
    assert len(problems) == 1, problems
    assert words in problems[0]
    assert problems[0].startswith("it.yml:2:")


def test_a_time_that_yaml_leaves_a_text_needs_no_quotes() -> None:
    assert entry("times: [{start_time: 08:00, end_time: '24:00'}]") == []


def test_every_mistake_is_told_at_once() -> None:
    _, problems = read(
        "- name: a\n"
        "  time_intervals: [{weekdays: [moonday, friday, 'friday:monday'], months: [june, juli]}]\n"
        "- name: a\n"
        "  time_intervals: []\n"
        "- time_intervals: [{}]\n"
        "- name: b\n"
    )
    assert [problem.split(": ")[0] for problem in problems] == [
        "it.yml:2:32",
        "it.yml:2:49",
        "it.yml:2:82",
        "it.yml:4:19",
        "it.yml:3:9",
        "it.yml:5:3",
        "it.yml:6:3",
    ]


def test_a_name_is_given_once() -> None:
    _, problems = read("- {name: a, time_intervals: [{}]}\n- {name: a, time_intervals: [{}]}\n")
    assert problems == ["it.yml:2:10: name: the time interval 'a' was given already on line 1"]


def test_local_is_the_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    written = "- name: it\n  time_intervals: [{location: Local}]\n"
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert read(written)[0]["it"].intervals[0].location == ZoneInfo("Asia/Kathmandu")
    monkeypatch.setenv("TZ", "")
    assert read(written)[0]["it"].intervals[0].location == ZoneInfo("UTC")
    monkeypatch.setenv("TZ", "Nowhere/Land")
    assert "there is no time zone 'Local'" in read(written)[1][0]
    monkeypatch.delenv("TZ")
    here = read(written)[0]["it"].intervals[0].location
    now = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert now.astimezone(here).utcoffset() == now.astimezone().utcoffset()


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(["monday", "1:5", "24:00"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "time_intervals", "times", "weekdays", "start_time", "end_time", "location"]),
                inner,
            )
        ),
    )
)
def test_nothing_that_is_yaml_breaks_the_reader(value: object) -> None:
    read(yaml.safe_dump(value))
