"""Logs: one line for each thing that happens, which a machine can read, with an action word and what it is about."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from webhook.telemetry import FORMATS, configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Other tests log as they did before."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:], _ = handlers, logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def test_a_line_has_its_action_and_what_is_bound_while_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format="json", level="info", role="runs")
    with structlog.contextvars.bound_contextvars(run="r1", incident="i1"):
        structlog.get_logger().info("sealed", action="append", seq=7)
    structlog.get_logger().info("ending", action="stop")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first.items() >= {"role": "runs", "action": "append", "run": "r1", "incident": "i1", "seq": 7}.items()
    assert not second.keys() & {"run", "incident"}


@pytest.mark.parametrize("format", FORMATS)
def test_what_packages_write_goes_by_their_name_and_stays_on_one_line(
    format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(format=format, level="info", role="intake")
    logging.getLogger("celery.worker.consumer").error("it broke\nTraceback: none")
    (line,) = capsys.readouterr().err.splitlines()
    assert '"action": "celery"' in line if format == "json" else " action=celery " in line


def test_logfmt_begins_with_what_people_look_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format="logfmt", level="info", role="web")
    structlog.get_logger().warning("two words", action="start")
    assert ' level=warning role=web action=start event="two words"' in capsys.readouterr().err


def test_a_level_hides_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format="logfmt", level="error", role="web")
    structlog.get_logger().warning("hidden", action="start")
    assert capsys.readouterr().err == ""
