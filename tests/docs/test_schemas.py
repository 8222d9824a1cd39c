"""`alertmend config schema` knows the keys that the readers know, and takes every file that the documentation shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.docs.pages import REPOSITORY, Block, blocks
from tests.docs.test_settings import KNOWN
from webhook.cli.schemas import File, schema_of
from webhook.edge.webconfig import Role

#: What a block says in its first line, and where in the schemas it belongs.
PLACES = {
    r"# alertmend\.yml": (File.ALERTMEND, ()),
    r"# rules/[\w.-]+\.yml": (File.RULES, ()),
    r"# rule_tests\.yml": (File.TESTS, ()),
    r"# web\.yml": (File.WEB, ()),
    r"# in alertmend\.yml": (File.ALERTMEND, ("part",)),
    r"# in a rule": (File.RULES, ("rules", "part")),
}
RULE = {"name": "a", "match": ['alertname="A"'], "playbook": "a.yml"}
CONFIG = {"inventory": "inventory.yml", "rule_files": ["rules/*.yml"]}
SHOWN = [block for block in blocks("yaml") if any(re.fullmatch(p, block.text.partition("\n")[0]) for p in PLACES)]


def _keys(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from _keys(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _keys(value)


def _validate(file: File, document: object) -> None:
    Draft202012Validator(schema_of(file)).validate(document)


@pytest.mark.parametrize("file", File)
def test_every_schema_is_one(file: File) -> None:
    Draft202012Validator.check_schema(schema_of(file))


def test_every_key_that_a_reader_knows_is_in_a_schema() -> None:
    missing = KNOWN.keys() - {key for file in File for key in _keys(schema_of(file))}
    assert not missing, f"webhook/cli/schemas.py misses {', '.join(sorted(missing))}"


def test_no_schema_has_a_key_that_no_reader_knows() -> None:
    files = (File.ALERTMEND, File.RULES, File.WEB)
    unknown = {key for file in files for key in _keys(schema_of(file))} - KNOWN.keys() - {"rules", *Role}
    assert not unknown, f"webhook/cli/schemas.py has {', '.join(sorted(unknown))}"


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_every_file_that_the_documentation_shows_is_taken(block: Block) -> None:
    first = block.text.partition("\n")[0]
    file, place = next(found for pattern, found in PLACES.items() if re.fullmatch(pattern, first))
    document = yaml.safe_load(block.text)
    if place == ("part",):
        document = {**CONFIG, **document}
    elif place:
        rest = {key: value for key, value in RULE.items() if key != "playbook" or "steps" not in document}
        document = {"rules": [{**rest, **document}]}
    _validate(file, document)


@pytest.mark.parametrize(
    ("file", "path"),
    [
        (File.ALERTMEND, "example/alertmend.yml"),
        (File.RULES, "example/rules/toy.yml"),
    ],
)
def test_the_example_is_taken(file: File, path: str) -> None:
    _validate(file, yaml.safe_load((REPOSITORY / path).read_text()))


@pytest.mark.parametrize(
    ("file", "document"),
    [
        (File.ALERTMEND, {**CONFIG, "inventry": "x"}),
        (File.ALERTMEND, {"inventory": "x"}),
        (File.ALERTMEND, {**CONFIG, "mode": "always"}),
        (File.ALERTMEND, {**CONFIG, "redis": {"url": "redis://a", "url_file": "b"}}),
        (File.ALERTMEND, {**CONFIG, "retention": "long"}),
        (File.ALERTMEND, {**CONFIG, "limits": {"rate_limit": "3 an hour"}}),
        (File.RULES, {"rules": [{**RULE, "steps": [{"playbook": "b.yml"}]}]}),
        (File.RULES, {"rules": [{**RULE, "probe": {"tcp": {"address": "a:1"}, "http": {"url": "http://a"}}}]}),
        (File.RULES, {"rules": [{**RULE, "require": [{"tcp": {"address": "a:1"}, "period": "2s"}]}]}),
        (File.RULES, {"rules": [{**RULE, "guards": {"max_targets": "many"}}]}),
        (File.TESTS, {**CONFIG, "tests": [{"name": "a", "alerts": []}]}),
        (File.WEB, {"basic_auth_users": {"alice": "secret"}}),
    ],
)
def test_what_is_no_such_file_is_refused(file: File, document: object) -> None:
    with pytest.raises(ValidationError):
        _validate(file, document)
