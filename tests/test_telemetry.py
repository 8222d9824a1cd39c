"""Logs: one line for each thing that happens, which a machine can read, with an action word and what it is about."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import webhook
from webhook.telemetry import FORMATS, configure, speaking_of


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Other tests log as they did before."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:], _ = handlers, logging.getLogger().setLevel(level)


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


def test_what_is_bound_while_something_is_done_is_let_go_of_when_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format="json", level="info", role="runs")
    with speaking_of(about="mine"):
        with speaking_of(run="r1"):
            structlog.contextvars.bind_contextvars(incident="i1")
            structlog.get_logger().info("done", action="execute")
        structlog.get_logger().info("done", action="aside")
    structlog.get_logger().info("done", action="stop")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [[line.get(name) for name in ("about", "run", "incident")] for line in lines] == [
        ["mine", "r1", "i1"],
        ["mine", None, None],
        [None, None, None],
    ]


@pytest.mark.parametrize("file", sorted(Path(webhook.__file__).parent.rglob("*.py")), ids=lambda file: file.stem)
def test_each_line_of_ours_has_an_action_of_one_word(file: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    lines = [call for call in calls if re.fullmatch(r"log\.\w+", ast.unparse(call.func))]
    for line in lines:
        (action,) = [keyword.value for keyword in line.keywords if keyword.arg == "action"]
        assert not isinstance(action, ast.Constant) or re.fullmatch("[a-z]+", str(action.value)), ast.unparse(line)


def test_a_level_hides_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format="logfmt", level="error", role="web")
    structlog.get_logger().warning("hidden", action="start")
    assert capsys.readouterr().err == ""
