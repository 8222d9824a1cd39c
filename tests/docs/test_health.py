"""docs/health.md has a row for every built-in check with its time, and says what each probe asks."""

from __future__ import annotations

import re
from unittest.mock import Mock

from tests.docs.pages import page, rows
from webhook.checking import GROUP
from webhook.wiring.checks import make_checks

CHECKS = make_checks(Mock())
ROWS = {cells[0].strip("`"): cells[1:] for cells in rows(page("health.md"))}


def test_every_check_has_a_row_with_its_time() -> None:
    shown = {name: cells[1] for name, cells in ROWS.items() if name in CHECKS.checkers}
    assert shown == {name: f"{checker.timeout_seconds:g}s" for name, checker in CHECKS.checkers.items()}


def test_what_the_probes_ask_is_what_is_said() -> None:
    assert re.findall(r"`(\w+)`", ROWS["/readyz"][0]) == list(CHECKS.needed)
    assert re.findall(r"`(\w+)`", ROWS["/startupz"][0]) == list(CHECKS.starting)


def test_the_group_of_entry_points_is_the_one_that_is_named() -> None:
    assert f'[project.entry-points."{GROUP}"]' in page("health.md")
