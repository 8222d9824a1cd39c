"""PromQL: a value stays within its string, whatever it is."""

from __future__ import annotations

import re

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.core.placeholder import Filling, Unfit
from webhook.core.promql import check_promql, fill_promql

VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.text(min_size=1, alphabet="\"'`\\{}()[]|.*+?^$-#,= \n\r\tnxuE0a�\x00", max_size=20),
    st.sampled_from(
        ['"} or vector(1) or up{a="', "\\", '\\"', "web1.*|.*", "[", "$target", "\\E", "\N{REPLACEMENT CHARACTER}"]
    ),
)
UNQUOTE = re.compile(r"\\(?:u([0-9a-f]{4})|(.))", re.DOTALL)


def filled(text: str, value: str, *, target: str = "web1") -> str:
    return fill_promql(text, Filling(target=target, labels={"x": value}, annotations={"x": value}))


def literals(text: str) -> list[str]:
    """The strings in an expression, as Prometheus' own lexer cuts them out and Go unquotes them."""
    found, position = [], 0
    while position < len(text):
        quote = text[position]
        position += 1
        if quote not in "\"'`":
            continue
        start = position
        while text[position] != quote:
            assert quote == "`" or text[position] not in "\n\N{REPLACEMENT CHARACTER}"
            position += 2 if quote != "`" and text[position] == "\\" else 1
        inner = text[start:position]
        found.append(inner if quote == "`" else UNQUOTE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], inner))
        position += 1
    return found


@pytest.mark.parametrize("quote", ['"', "'"])
@given(VALUES)
@example('"} or vector(1) #')
@example("\\")
def test_a_value_is_the_whole_string_and_nothing_after_it_changes(quote: str, value: str) -> None:
    text = filled(f"up{{a={quote}$labels.x{quote}, b!={quote}<$annotations.x>{quote}}} == 1", value)
    assert literals(text) == [value, f"<{value}>"]
    assert text.startswith(f"up{{a={quote}") and text.endswith(f">{quote}}} == 1")


@given(VALUES, st.text(max_size=10))
def test_in_a_regular_expression_a_value_matches_itself_alone(value: str, other: str) -> None:
    text = filled('up{a=~"$labels.x(:[0-9]+)?"}', value)
    [pattern] = literals(text)
    assert re2.fullmatch(pattern, value) and re2.fullmatch(pattern, f"{value}:9100")
    assert other in (value, "") or not re2.fullmatch(pattern, f"{value}{other}x")
    assert bool(re2.fullmatch(pattern, other)) is (
        other == value or re.fullmatch(re.escape(value) + ":[0-9]+", other) is not None
    )


@given(VALUES)
def test_in_a_raw_string_a_value_fits_or_is_refused(value: str) -> None:
    try:
        text = filled("up{a=`$labels.x`}", value)
    except Unfit as error:
        assert str(error) == "$labels.x cannot stand between backticks"
        return
    assert literals(text) == [value]


@pytest.mark.parametrize(
    "bad",
    [
        "up{a=$labels.x}",
        "$labels.x",
        "up == $labels.x",
        "up # $labels.x",
        "rate(up[$labels.x])",
        'label_replace(up, "a", "$labels.x", "b", ".*")',
        '{"$labels.x"}',
        '{"$labels.x"="a"}',
        'up == "$labels.x"',
        'up{a="\\$labels.x"}',
        'up{a=~"\\\\$labels.x"}',
        'up{a=~"\\\\Q$labels.x\\\\E"}',
        "up{a=~`\\$labels.x`}",
        'up{a="$labels.x}',
        "up{a='$labels.x\"}",
        "sum(up",
        "sum up)",
        "up{a]",
        "rate(up[$__rate_interval])",
    ],
)
def test_an_expression_that_a_value_could_change_is_refused(bad: str) -> None:
    with pytest.raises(Unfit):
        check_promql(bad)


@pytest.mark.parametrize(
    "good",
    [
        'up{instance="$target:9100"} == 1',
        "vector(1)",
        'absent(ALERTS{alertname="X", instance=~"$target(:[0-9]+)?"})  # "quoted',
        "sum by (job) (rate(errors_total{job='$labels.job', path!~`/$annotations.path`}[5m])) < 1",
        'label_replace(up{a="$labels.x"}, "a", "$1", "b", "(.*)") unless on () {__name__="b"}',
        'up{a = # why\n "$labels.x"}',
    ],
)
def test_an_expression_whose_values_stand_in_matchers_is_taken(good: str) -> None:
    check_promql(good)


def test_what_holds_no_placeholder_comes_back_as_it_was() -> None:
    assert filled('label_replace(up, "a", "$1", "b", "(.*)")', "x") == 'label_replace(up, "a", "$1", "b", "(.*)")'


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(Unfit, match=r"^\$labels\.x is not UTF-8$"):
        filled('up{a="$labels.x"}', "\ud800")


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(Unfit, match=r"^\$labels\.x is empty"):
        filled('up{a="$labels.x"}', "")
