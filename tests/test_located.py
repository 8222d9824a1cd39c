"""YAML with places: every mistake has one, and no file can hurt its reader."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook import located
from webhook.errors import ConfigError, Problem

T = TypeVar("T")


class Color(StrEnum):
    RED = "red"
    GREEN = "green"


def read(content: str | bytes, reader: Callable[[located.Node | None], T]) -> tuple[T, list[str]]:
    problems: list[Problem] = []
    data = content.encode() if isinstance(content, str) else content
    node = located.parse(data, file=Path("x.yml"), problems=problems)
    return reader(node), [str(problem) for problem in problems]


def field(content: str, reader: Callable[[located.Node | None], T]) -> tuple[T, list[str]]:
    return read(f"key: {content}", lambda node: reader(located.mapping(node).get("key")))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "x.yml:0:0: it is empty"),
        (b"a: caf\xe9", "x.yml:1:7: this is not UTF-8"),
        (b"\xff\xfea\x00", "x.yml:1:1: this is not UTF-8"),
        ("a: 1\nb: \x01", r"x.yml:2:4: the character '\x01' is not allowed in YAML"),
        (
            "a:\n\tb: 1",
            "x.yml:2:1: this is not YAML: there is a tab in the indentation; YAML is indented with spaces",
        ),
        ("a: 1\n b: 2", "x.yml:2:3: this is not YAML: mapping values are not allowed in this context"),
        ("[" * 10_000, "x.yml:1:41: nested deeper than 40"),
        ("a: &a [*a]", "x.yml:1:4: an alias holds itself"),
        ("a: *b", "x.yml:1:4: this is not YAML: found undefined alias"),
        ("--- 1\n--- 2", "x.yml:2:1: this is not YAML: but found another document expected a single document"),
        ("x" * (located.MAX_FILE_BYTES + 1), "x.yml:0:0: it is longer than 1048576 bytes"),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_place(content: str | bytes, problem: str) -> None:
    node, problems = read(content, lambda node: node)
    assert node is None
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_aliases_that_repeat_billions_of_values_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    began = time.process_time()
    _, problems = read("\n".join(lines), located.plain)
    assert problems == ["x.yml:5:5: more than 100000 values, with what its aliases repeat"]
    assert time.process_time() - began < 1


def test_aliases_cannot_nest_deeper_than_text_can() -> None:
    lines = ["a0: &a0 {}"] + [f"a{i}: &a{i} {{x: *a{i - 1}}}" for i in range(1, 5000)]
    _, problems = read("\n".join(lines), located.plain)
    assert problems == ["x.yml:42:6: nested deeper than 40"]


def test_anchors_and_merges_are_read_and_the_own_key_wins() -> None:
    value, problems = read("base: &base {x: 1, y: 2}\nrule: {<<: *base, y: 3}", located.plain)
    assert value == {"base": {"x": 1, "y": 2}, "rule": {"x": 1, "y": 3}}
    assert problems == []


def test_only_mappings_are_merged() -> None:
    _, problems = read("rule: {<<: 5}", located.plain)
    assert problems == ["x.yml:1:8: only mappings can be merged with <<"]


def test_a_missing_file_is_a_problem_and_not_an_error(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert located.load(tmp_path / "none.yml", problems) is None
    assert [problem.words for problem in problems] == ["cannot be read: No such file or directory"]


def test_duplicate_keys_are_found_wherever_they_stand() -> None:
    _, problems = read("a:\n- {b: 1, c: 2, b: 3}\na: 4", located.mapping)
    assert sorted(problems) == [
        "x.yml:2:16: the key 'b' was given already on line 2",
        "x.yml:3:1: the key 'a' was given already on line 1",
    ]


def test_an_unknown_key_is_reported_with_the_nearest_known_one_and_left_out() -> None:
    fields, problems = read("mdoe: x\nzzz: 1", lambda node: located.mapping(node, known={"mode", "interval"}))
    assert fields == {}
    assert problems == [
        "x.yml:1:1: unknown key 'mdoe'; did you mean 'mode'?",
        "x.yml:2:1: unknown key 'zzz'; known: interval, mode",
    ]


def test_a_required_key_is_missed() -> None:
    _, problems = read("a: 1", lambda node: located.mapping(node, required=["rules"]))
    assert problems == ["x.yml:1:1: the key 'rules' is missing"]


def test_a_key_that_yaml_reads_as_a_boolean_is_wanted_in_quotes() -> None:
    _, problems = read("on: 1", located.mapping)
    assert problems == [
        "x.yml:1:1: a key must be text: on, which YAML reads as true; write it in quotes: 'on'",
    ]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("no", "no, which YAML reads as false; write it in quotes: 'no'"),
        ("On", "On, which YAML reads as true; write it in quotes: 'On'"),
        ("16:00", "16:00, which YAML reads as the number 960; write it in quotes: '16:00'"),
        ("017", "017, which YAML reads as the number 15; write it in quotes: '017'"),
        ("2024-01-01", "2024-01-01, which YAML reads as a date; write it in quotes: '2024-01-01'"),
        ("1" * 5000, "a number"),
        ("", "it has no value; give it one or remove it"),
        ("[]", "expected text, not a list"),
        ("{}", "expected text, not a mapping"),
        ("''", "expected a text that is not empty"),
    ],
)
def test_text_is_taken_only_when_it_is_written_as_text(written: str, words: str) -> None:
    value, problems = field(written, located.text)
    assert value is None
    assert len(problems) == 1
    assert words in problems[0]


def test_text_in_quotes_is_text() -> None:
    assert field("'no'", located.text) == ("no", [])


@pytest.mark.parametrize("written", ["'4'", "010", "4.5", "1:30", "yes", "[4]", "1_000", "", "-1", "11"])
def test_an_integer_is_written_plainly_and_within_its_bounds(written: str) -> None:
    value, problems = field(written, lambda node: located.integer(node, minimum=0, maximum=10))
    assert value is None
    assert len(problems) == 1


def test_zero_is_a_value_and_not_a_lack_of_one() -> None:
    value, _ = field("0", lambda node: located.otherwise(located.integer(node), 4))
    assert value == 0


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("0", 0), ("'1h30m'", 5400)])
def test_a_duration_is_read_as_prometheus_does(written: str, seconds: int) -> None:
    assert field(written, located.duration) == (timedelta(seconds=seconds), [])


@pytest.mark.parametrize("written", ["90", "1:30", "yes", "soon", "[]", ""])
def test_what_is_no_duration_is_reported(written: str) -> None:
    value, problems = field(written, located.duration)
    assert value is None
    assert len(problems) == 1
    assert problems[0].startswith("x.yml:1:")


def test_a_duration_has_a_minimum() -> None:
    _, problems = field("1ms", lambda node: located.duration(node, minimum=timedelta(seconds=1)))
    assert problems == ["x.yml:1:6: key: 1ms is too short; at least 1s is needed"]


def test_a_rate_is_read() -> None:
    assert field("3/6h", located.rate) == ((3, timedelta(hours=6)), [])
    assert field("3", located.rate)[0] is None


def test_a_choice_is_a_member_or_a_hint() -> None:
    assert field("red", lambda node: located.choice(node, Color)) == (Color.RED, [])
    _, problems = field("gren", lambda node: located.choice(node, Color))
    assert problems == ["x.yml:1:6: key: 'gren' is not known here; did you mean 'green'?"]


def test_a_list_keeps_what_is_right_and_reports_the_rest() -> None:
    value, problems = field("[a, no, b, 5]", located.string_list)
    assert value == ("a", "b")
    assert [problem[:10] for problem in problems] == ["x.yml:1:10", "x.yml:1:17"]


def test_what_is_not_there_is_no_problem() -> None:
    readers: list[Callable[[None], object]] = [
        located.text,
        located.integer,
        located.boolean,
        located.duration,
        located.rate,
        located.string_list,
        located.relative_path,
        located.plain,
    ]
    assert [reader(None) for reader in readers] == [None] * len(readers)
    assert located.mapping(None) == {}
    assert located.items(None) == []


def test_a_file_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("x")
    (tmp_path / "main.yml").write_text("a: here\nb: gone\nc: .")
    problems: list[Problem] = []
    fields = located.mapping(located.load(tmp_path / "main.yml", problems))
    found = [located.existing_file(node) for node in fields.values()]
    assert found == [tmp_path / "here", None, None]
    assert [problem.line for problem in problems] == [2, 3]


@pytest.mark.parametrize("written", [".nan", ".inf", "16:00", "2024-01-01", "!!python/name:os.system x", "!vault x"])
def test_plain_values_are_what_json_can_hold(written: str) -> None:
    value, problems = field(written, located.plain)
    assert value is None
    assert len(problems) == 1


def test_all_problems_are_raised_together_in_the_order_of_their_places() -> None:
    later = Problem(file=Path("a.yml"), line=2, column=1, words="x")
    earlier = Problem(file=Path("a.yml"), line=1, column=9, words="y")
    with pytest.raises(ConfigError) as raised:
        located.refuse([later, earlier, later])
    assert raised.value.problems == (earlier, later)
    located.refuse([])


# JSON is YAML, but for how it writes these.
PRINTABLE = st.characters(exclude_categories=("C", "Zl", "Zp"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(PRINTABLE),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text("abc<=- ", min_size=1), children),
    max_leaves=20,
)


@given(JSON)
def test_whatever_json_holds_is_read_as_it_is(value: object) -> None:
    read_back, problems = read(json.dumps({"key": value}, ensure_ascii=False), located.plain)
    assert problems == []
    assert read_back == {"key": value}


@given(st.text("ab:-[]{}&*!|>'\"#%@`,?\n\t 01", max_size=60) | st.binary(max_size=60))
def test_no_content_makes_a_reader_raise(content: str | bytes) -> None:
    value, problems = read(content, located.plain)
    if not problems:
        assert value == yaml.load(content, Loader=yaml.CSafeLoader)
