"""`POST /-/reload`: who may, and what is said of files that are sound, broken, or cannot be put on the record."""

from __future__ import annotations

from pathlib import Path

from tests.web.conftest import Client, application
from webhook.edge.ledger import SqlLedger
from webhook.errors import ConfigError, Problem, Unavailable

PATH = "/-/reload"


def test_it_answers_with_what_is_decided_by_now(client: Client) -> None:
    answer = client.post(PATH)
    assert (answer.status_code, answer.json()) == (200, {"rules": 3, "revision": "by-anonymous"})


def test_it_denies_who_has_no_credentials(guarded: Client) -> None:
    assert guarded.post(PATH).status_code == 401


def test_it_rejects_get(client: Client) -> None:
    assert client.get(PATH).status_code == 405


def test_problems_come_with_their_places_and_the_old_stays(ledger: SqlLedger) -> None:
    async def take_over(_: str) -> tuple[int, str]:
        raise ConfigError([Problem(file=Path("rules.yml"), line=3, column=5, words="there is no key 'playbok'")])

    answer = Client(application(ledger, take_over=take_over)).post(PATH)
    assert answer.status_code == 400
    assert answer.json()["problems"] == ["rules.yml:3:5: there is no key 'playbok'"]
    assert answer.json()["error"].startswith("the configuration is kept as it was: rules.yml:3:5")


def test_a_record_that_is_away_keeps_the_old(ledger: SqlLedger) -> None:
    async def take_over(_: str) -> tuple[int, str]:
        raise Unavailable("the audit database", "disk I/O error")

    assert Client(application(ledger, take_over=take_over)).post(PATH).status_code == 503
