"""docs/rules.md has a row for every key that the readers of the configuration know, and for no other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, every_page, page, row_names, rows, sections
from webhook.probing import kind_names

READERS = [
    *sorted((REPOSITORY / "webhook/edge/configfile").rglob("*.py")),
    *sorted((REPOSITORY / "webhook/edge/probe").rglob("*.py")),
    *sorted((REPOSITORY / "webhook/edge/webconfig").rglob("*.py")),
    REPOSITORY / "webhook/httpconfig.py",
]


def _sets(file: Path) -> Iterator[tuple[ast.Set, bool, set[str]]]:
    """Every set of keys that a module spells out, whether they are refused until later, and the keys."""
    tree = ast.parse(file.read_text())
    not_keys = {id(word.value) for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "required"}
    later = {id(word.value) for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "later"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any("LATER" in ast.unparse(target) for target in node.targets):
            later |= {id(child) for child in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Set) and id(node) not in not_keys and not _is_put_together(node):
            words = [word.value for word in node.elts if isinstance(word, ast.Constant)]
            yield node, id(node) in later, {word for word in words if isinstance(word, str)}


def _is_put_together(node: ast.Set) -> bool:
    # From sets that were counted already.
    return any(isinstance(element, ast.Starred) for element in node.elts)


def _places(*, later: bool) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for file in READERS:
        for node, is_later, keys in _sets(file):
            for key in keys if is_later is later else ():
                found[key].append(f"{file.relative_to(REPOSITORY)}:{node.lineno}")
    return found


KNOWN: Mapping[str, list[str]] = {**{key: ["webhook/probing.py"] for key in kind_names()}, **_places(later=False)}
LATER = _places(later=True)


def _documented_later() -> set[str]:
    section = sections(page("rules.md")).get("Not in this version", "")
    return {word.strip("`") for word in section.replace(",", " ").replace(";", " ").split() if word.startswith("`")}


def test_the_readers_name_their_keys_where_this_test_looks() -> None:
    assert {"inventory", "match", "cooldown", "within", "url_file", "argv", "basic_auth_users"} <= KNOWN.keys()


@pytest.mark.parametrize("key", sorted(KNOWN))
def test_every_key_has_a_row_in_each_place_where_it_may_stand(key: str) -> None:
    found = row_names(every_page()).count(key)
    assert found >= len(KNOWN[key]), (
        f"the key `{key}` is known in {', '.join(KNOWN[key])}, and has {found} of {len(KNOWN[key])} rows: add\n"
        f"| `{key}` | type | default | One sentence. |\nto the table of its section in docs/rules.md"
    )


def test_no_row_is_about_a_key_that_is_not_known() -> None:
    keys = {cells[0].strip("`") for cells in rows(page("rules.md")) if len(cells) == 4 and cells[0] != "key"}
    unknown = sorted(keys - KNOWN.keys() - {"rules"})
    assert not unknown, f"docs/rules.md has rows for keys that no reader knows: {', '.join(unknown)}; remove them"


def test_what_is_refused_until_later_is_said_to_be() -> None:
    missing = sorted(LATER.keys() - _documented_later())
    assert not missing, f"add {missing} to 'Not in this version' at the end of docs/rules.md"


def test_what_is_said_to_come_later_is_not_there_already() -> None:
    # A key may be known in one place and refused in another, as `mode` is in a rule and in a step.
    wrong = sorted(_documented_later() & KNOWN.keys() - LATER.keys())
    assert not wrong, f"known now: take {', '.join(wrong)} out of 'Not in this version' at the end of docs/rules.md"
