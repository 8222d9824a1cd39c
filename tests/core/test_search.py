"""What the record is found by, and how it may be asked."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.search import (
    ASKED_LIMIT,
    LABELS_LIMIT,
    NAMES,
    WORD_CHARACTERS,
    WORDS_LIMIT,
    Query,
    QueryError,
    find_entry,
    labels_of,
    read_query,
    term,
    words,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def ask(*asked: tuple[str, str], kind: str = "audit") -> Query:
    return read_query(asked, kind=kind, now=NOW)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4 of 4 runs are under way", ["4", "of", "4", "runs", "are", "under", "way"]),
        ("nginx.service: Failed!", ["nginx", "service", "failed"]),
        ("restart_service.yml", ["restart_service", "yml"]),
        ("ÜBERWACHUNG straße", ["überwachung", "strasse"]),
        ("ﬁne", ["fine"]),
        ("日本 web1", ["日本", "web1"]),
        ("", []),
        ("\0\u202e -- ''\" * ( ) :", []),
        ("\ud800half", ["half"]),
        ("x" * 100, ["x" * WORD_CHARACTERS]),
    ],
)
def test_words_are_letters_digits_and_underscores_in_lower_case(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(text=st.text())
def test_a_word_holds_nothing_that_an_index_takes_for_syntax(text: str) -> None:
    for word in words(text):
        assert word and not set(word) & set(" '\"\\:*()&|!<>-^·\0")
        word.encode()


@given(name=st.text(), value=st.text())
def test_a_term_is_no_word_of_any_text_and_always_of_one_length(name: str, value: str) -> None:
    found = term(name, value)
    assert len(found) == 17 and words(found) != [found]


def test_terms_of_different_names_and_values_differ() -> None:
    assert len({term("rule", "a"), term("target", "a"), term("rule", "b"), term("label", "rule=a")}) == 4


DECISION = {
    "decision": "hold",
    "guard": "cooldown",
    "reason": "free in 2m",
    "checks": [
        {"guard": "lock", "verdict": "pass", "reason": "no run is there"},
        {"guard": "cooldown", "verdict": "hold", "reason": "free in 2m"},
        {"guard": "rate_limit", "verdict": "hold", "reason": "used up"},
    ],
}
ALERT = {"labels": {"alertname": "Down", "job": "web"}}


def test_an_entry_is_found_by_names_labels_guard_and_the_words_of_what_did_not_pass() -> None:
    names = {"event": "decision", "actor": "alertmend", "rule": "restart-web", "target": "web1", "outcome": None}
    found = find_entry(names, {"decision": DECISION, "alert": ALERT}, said="PLAY web")
    expected = [("event", "decision"), ("rule", "restart-web"), ("guard", "cooldown"), ("alertname", "Down")]
    assert {term(*pair) for pair in (*expected, ("label", "job=web"))} <= set(found.terms)
    assert term("outcome", "None") not in found.terms and len(set(found.terms)) == len(found.terms)
    assert found.words == (
        *("restart", "web", "web1", "alertmend", "free", "in", "2m"),
        *("used", "up", "play", "web"),
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": None, "alert": 3, "run": [], "comment": 7},
        {"decision": {"checks": {"a": 1}, "guard": ["x"]}, "alert": {"labels": ["a"]}},
        {"decision": {"checks": [None, 3, {"verdict": None}]}, "alert": {"labels": {"a": None}}},
    ],
)
def test_a_body_of_any_shape_can_be_found(body: dict[str, Any]) -> None:
    find_entry({"event": "pause"}, body)


@pytest.mark.parametrize("place", [{"comment": "storage moves"}, {"run": {"reason": "storage moves"}}])
def test_what_people_and_runs_say_is_found(place: dict[str, Any]) -> None:
    assert find_entry({}, place).words == ("storage", "moves")


def test_of_a_long_output_beginning_and_end_are_found() -> None:
    text = " ".join(f"w{number}" for number in range(3 * WORDS_LIMIT))
    found = find_entry({}, {}, said=text).words
    assert len(found) == WORDS_LIMIT
    assert found[0] == "w0" and found[-1] == f"w{3 * WORDS_LIMIT - 1}"


def test_an_alert_with_very_many_labels_is_found_by_the_first_of_them() -> None:
    labels = {f"l{number}": "x" for number in range(5 * LABELS_LIMIT)}
    assert len(labels_of({"alert": {"labels": labels}})) == LABELS_LIMIT


def test_a_question_holds_names_labels_phrases_and_times() -> None:
    asked = ask(
        ("rule", "a"),
        ("label", "job=web"),
        ("label", "env=x=y"),
        ("since", "2h"),
        ("q", 'Hello "two words" nginx.service'),
    )
    assert asked == Query(
        terms=(term("rule", "a"), term("label", "job=web"), term("label", "env=x=y")),
        phrases=(("hello",), ("two", "words"), ("nginx", "service")),
        since="2026-01-31T10:00:00.000000Z",
    )


@pytest.mark.parametrize("q", ["", "   "])
def test_an_empty_question_asks_nothing(q: str) -> None:
    assert ask(("q", q)) == Query()


@pytest.mark.parametrize("q", ["-", "***", '""', "' OR 1=1"])
def test_a_question_is_never_syntax(q: str) -> None:
    asked = ask(("q", q))
    assert asked.terms or asked.phrases == (("or",), ("1", "1"))


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T14:00:00 02:00", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("30d", "2026-01-01T12:00:00.000000Z"),
        ("0", "2026-01-31T12:00:00.000000Z"),
    ],
)
def test_a_time_is_a_time_or_how_long_ago(time: str, read: str) -> None:
    assert ask(("since", time)).since == ask(("until", time)).until == read


@pytest.mark.parametrize(
    "asked",
    [
        [("nonsense", "1")],
        [("rule", "a"), ("rule", "b")],
        [("q", "a"), ("q", "b")],
        [("since", "yesterday")],
        [("since", "")],
        [("since", "5000000y")],
        [("until", "0001-01-01T00:00:00+23:00")],
        [("label", "job")],
        [("label", "=web")],
        [("q", "word " * (ASKED_LIMIT + 1))],
    ],
)
def test_what_cannot_be_asked_is_said(asked: list[tuple[str, str]]) -> None:
    with pytest.raises(QueryError) as error:
        ask(*asked)
    assert 0 < len(str(error.value)) < 300


@given(
    kind=st.sampled_from(sorted(NAMES)), asked=st.lists(st.tuples(st.sampled_from(["q", "label", "since"]), st.text()))
)
def test_nothing_else_goes_wrong(kind: str, asked: list[tuple[str, str]]) -> None:
    with suppress(QueryError):
        ask(*asked, kind=kind)


def test_ago_is_counted_from_now() -> None:
    assert (
        read_query([("since", "1h")], kind="runs", now=NOW + timedelta(hours=1)).since == "2026-01-31T12:00:00.000000Z"
    )
