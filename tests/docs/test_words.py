"""Every word that people meet in a record or a configuration is explained: guards, outcomes, states, events, roles."""

from __future__ import annotations

import importlib
import json
import pkgutil
from enum import StrEnum

import pytest
from click.testing import CliRunner

import webhook.core
import webhook.edge.webconfig
from tests.docs.pages import REPOSITORY, every_page, page, row_names, sections
from webhook.cli import cli

#: Where a new word belongs; else wherever it fits.
PLACES = {
    "Event": "the table of events under 'An audit entry' in docs/http.md",
    "Outcome": "the table of outcomes under 'A run' in docs/http.md",
    "RunState": "the table of states under 'A run' in docs/http.md",
    "ResolvedBy": "the table under 'An incident' in docs/http.md",
    "Choice": "the table of decisions under 'A decision' in docs/http.md",
    "Verdict": "the table of verdicts under 'A decision' in docs/http.md",
    "Mode": "the row `<mode>` under 'Placeholders' in docs/rules.md",
}


def _enumerations() -> list[type[StrEnum]]:
    names = [module.name for module in pkgutil.walk_packages(webhook.core.__path__, "webhook.core.")]
    modules = [*(importlib.import_module(name) for name in names), webhook.edge.webconfig]
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, StrEnum) and value is not StrEnum
    }
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("word", [word for kind in _enumerations() for word in kind], ids=repr)
def test_every_word_of_a_closed_set_is_explained(word: StrEnum) -> None:
    place = PLACES.get(type(word).__name__, "the page that explains it, or docs/glossary.md")
    assert f"`{word.value}`" in every_page(), f"{word!r} is nowhere in docs/: add a row for `{word.value}` to {place}"


def _guards() -> list[str]:
    """As a decision names them, in their order."""
    config = f"--config.file={REPOSITORY / 'example/alertmend.yml'}"
    answer = CliRunner().invoke(cli, ["explain", "alertname=ToyDown", "host=toy", config, "--output=json"])
    return [check["guard"] for check in json.loads(answer.stdout)["checks"]]


def test_every_guard_has_a_row_in_the_order_in_which_they_decide() -> None:
    documented = row_names(sections(page("rules.md"))["What is decided"])
    guards = _guards()
    missing = [guard for guard in guards if guard not in documented]
    assert not missing, "\n".join(
        ["docs/rules.md, table under 'What is decided', misses:", *(f"| `{guard}` | … | … |" for guard in missing)]
    )
    assert documented == guards, f"docs/rules.md, 'What is decided': the order of the guards is {', '.join(guards)}"
