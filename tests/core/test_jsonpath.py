"""A path to one value in a JSON document."""

from __future__ import annotations

import pytest

from webhook.core.jsonpath import Absent, is_same, parse_path, value_at
from webhook.core.placeholder import Unfit

DOCUMENT = {"status": "ok", "a-b": {"0": 1}, "odd name": [{"x": None}, {"x": True}], "": 5}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", DOCUMENT),
        ("$.status", "ok"),
        ("$.a-b['0']", 1),
        ('$["odd name"][0].x', None),
        ("$['odd name'][-1]['x']", True),
        ("$['']", 5),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: object) -> None:
    assert value_at(DOCUMENT, parse_path(path)) == value


@pytest.mark.parametrize(
    "path", ["$.gone", "$.status.x", "$.status[0]", "$['odd name'][2]", "$['odd name'].x", "$['a-b'][0]"]
)
def test_what_is_not_there_is_absent(path: str) -> None:
    with pytest.raises(Absent):
        value_at(DOCUMENT, parse_path(path))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "status",
        ".status",
        "$status",
        "$..x",
        "$.*",
        "$[*]",
        "$[?(@.x)]",
        "$[0:1]",
        "$.",
        "$[x]",
        "$.x ",
        "$.$labels.x",
    ],
)
def test_what_could_name_several_values_is_refused(bad: str) -> None:
    with pytest.raises(Unfit):
        parse_path(bad)


def test_a_problem_says_where() -> None:
    with pytest.raises(Unfit, match="at character 5:"):
        parse_path("$.ab[*]")


def test_true_is_not_one_and_one_is_one_point_nought() -> None:
    assert is_same(1, 1.0) and is_same(None, None) and is_same("1", "1") and is_same(False, False)
    assert not any([is_same(True, 1), is_same(0, False), is_same("1", 1), is_same(None, False), is_same([], "")])
