"""docs/errors.md has a row for every error, with what it comes to, and for no other."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import webhook
from tests.docs.pages import page, rows
from webhook.cli import exit_status
from webhook.errors import WebhookError
from webhook.web.answers import status_of

#: These begin something as soon as they are imported, or want Ansible to have been set up.
NOT_IMPORTED = ("__main__", ".migrations", ".edge.playbook.")


def _kinds(kind: type[WebhookError]) -> Iterator[type[WebhookError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def _errors() -> dict[str, type[WebhookError]]:
    for module in pkgutil.walk_packages(webhook.__path__, "webhook."):
        if not any(part in module.name for part in NOT_IMPORTED):
            importlib.import_module(module.name)
    return {kind.__name__: kind for kind in _kinds(WebhookError) if kind.__module__.startswith("webhook.")}


ERRORS = _errors()
ROWS = {cells[0].strip("`"): cells[1:] for cells in rows(page("errors.md"))[1:]}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_has_a_row_with_its_statuses(name: str) -> None:
    error = ERRORS[name].__new__(ERRORS[name])
    assert name in ROWS, f"docs/errors.md misses | `{name}` | {status_of(error)} | {exit_status(error)} | … | … |"
    assert ROWS[name][:2] == (str(status_of(error)), str(exit_status(error)))


def test_no_row_is_about_an_error_that_is_not_there() -> None:
    assert sorted(ROWS.keys() - ERRORS.keys()) == []
