"""What is typed wrong: exit status 2, and words that say what was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from webhook.cli import VERBS

Alertmend = Callable[..., Result]


def test_help_names_every_verb_and_goes_to_standard_output(alertmend: Alertmend) -> None:
    found = alertmend("--help")
    assert found.status == 0
    assert all(f"\n  {verb} " in found.out for verb in VERBS)
    assert found.err == ""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(alertmend: Alertmend, verb: str) -> None:
    found = alertmend(verb, "--help")
    assert found.status == 0
    assert found.out.startswith(f"Usage: alertmend {verb}")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["chek"], "did you mean 'check'"),
        (["serv", "--config.file=x"], "did you mean 'serve'"),
        (["nonsense"], "there is no command 'nonsense'"),
        (["audit", "lst"], "Did you mean 'list'"),
        (["serve", "--config.fil=x"], "--config.file"),
        (["check", "--output=yaml"], "table"),
        (["audit", "list", "--limit=0"], "1"),
        (["audit", "show"], "SEQ"),
        (["explain"], "LABEL=VALUE"),
        (["explain", "alertname"], "'alertname' is not LABEL=VALUE"),
        (["explain", "=Down"], "is not LABEL=VALUE"),
        (["config", "reciever"], "Did you mean 'receiver'"),
    ],
)
def test_what_is_typed_wrong_is_a_2_with_a_hint_on_standard_error(
    alertmend: Alertmend, words: list[str], hint: str
) -> None:
    found = alertmend(*words)
    assert (found.status, found.out) == (2, "")
    assert hint in found.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--web.listen-address=0.0.0.0:9480"], "--web.config.file"),
        (["--web.listen-address=[::]:9480"], "--web.insecure"),
        (["--web.listen-address=alertmend.example.com:9480"], "anyone who reaches"),
        (["--web.listen-address=:9480"], "anyone who reaches"),
        (["--web.listen-address=9480"], "is not host:port"),
        (["--web.listen-address=127.0.0.1:http"], "is not host:port"),
        (["--web.listen-address=127.0.0.1:²"], "is not host:port"),
        (["--web.listen-address=127.0.0.1:65536"], "is not host:port"),
        (["--shutdown.grace=30"], "the unit is missing"),
        (["--web.config.file=nowhere.yml"], "does not exist"),
        (["--role=everything"], "web"),
    ],
)
def test_serve_says_what_is_wrong_before_it_starts_anything(
    alertmend: Alertmend, site: Path, words: list[str], hint: str
) -> None:
    found = alertmend("serve", f"--config.file={site}/alertmend.yml", f"--storage.path={site}/data", *words)
    assert found.status == 2
    assert hint in found.err
    assert not (site / "data").exists()
