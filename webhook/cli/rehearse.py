"""`alertmend test`: rule tests on a virtual clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click
import structlog

from webhook.core.duration import format_duration
from webhook.core.rulebook import Rulebook
from webhook.errors import ConfigError, Problem
from webhook.located import load as load_yaml
from webhook.located import mapping, refuse
from webhook.rehearsal.coverage import report
from webhook.rehearsal.reader import read_tests
from webhook.rehearsal.ruletest import Coverage, Difference, Result, RuleTest, play
from webhook.wiring.current import load


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """A file of tests, and how they went."""

    file: Path
    rulebook: Rulebook
    results: tuple[Result, ...]
    seconds: tuple[float, ...]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the results there, too, as JUnit."
)
@click.pass_context
def test(context: click.Context, files: Sequence[Path], junit: Path | None) -> None:
    """Play the rule tests in each FILE on a virtual clock. Nothing is done to any host.

    Exit status 0: all are as expected. 1: one is not. 2: a file cannot be used.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    read = _read(files)
    played = [_play(file, rulebook, tests) for file, rulebook, tests in read]
    for one in played:
        _write(one)
    for line in report([(one.rulebook, _coverage_of(one)) for one in played]):
        click.echo(line)
    if junit is not None:
        junit.write_bytes(_junit(played))
    results = [result for one in played for result in one.results]
    failed = sum(bool(result.differences) for result in results)
    count = f"{len(results)} test{'s' if len(results) != 1 else ''}"
    click.echo(f"{count}, {failed} failed" if failed else f"{count}, all as expected", err=True)
    context.exit(1 if failed else 0)


def _read(files: Sequence[Path]) -> list[tuple[Path, Rulebook, tuple[RuleTest, ...]]]:
    """The tests of all files, or every problem in all of them."""
    found: list[tuple[Path, Rulebook, tuple[RuleTest, ...]]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            _, rulebook = load(file, has_tests=True)
            found.append((file, rulebook, _tests_of(file, rulebook)))
        except ConfigError as error:
            problems += error.problems
    refuse(problems)
    return found


def _tests_of(file: Path, rulebook: Rulebook) -> tuple[RuleTest, ...]:
    problems: list[Problem] = []
    document = load_yaml(file, problems)
    node = mapping(document).get("tests")
    if document is not None and node is None:
        document.report("the key 'tests' is missing")
    tests = read_tests(node, rulebook)
    refuse(problems)
    return tests


def _play(file: Path, rulebook: Rulebook, tests: Sequence[RuleTest]) -> _Played:
    results, seconds = [], []
    for one in tests:
        began = time.monotonic()
        results.append(play(one, rulebook))
        seconds.append(time.monotonic() - began)
    return _Played(file=file, rulebook=rulebook, results=tuple(results), seconds=tuple(seconds))


def _coverage_of(played: _Played) -> Coverage:
    seen = Coverage()
    for result in played.results:
        seen.update(result.coverage)
    return seen


def _write(played: _Played) -> None:
    click.echo(str(played.file))
    for result in played.results:
        click.echo(f"  {'FAIL' if result.differences else 'ok':<4}  {result.test.name}")
        for line in _told(result):
            click.echo(f"        {line}")


def _told(result: Result) -> Iterator[str]:
    for difference in result.differences:
        yield f"{difference.expectation.place}: {_words(result, difference)}"


def _words(result: Result, difference: Difference) -> str:
    at = format_duration(difference.expectation.at - result.test.scenario.start)
    return f"at {at}: {difference.field}: expected {difference.expected!r}, was {difference.found!r}"


def _junit(played: Sequence[_Played]) -> bytes:
    root = ElementTree.Element("testsuites")
    for one in played:
        failures = sum(bool(result.differences) for result in one.results)
        counts = {"tests": str(len(one.results)), "failures": str(failures), "errors": "0", "skipped": "0"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": str(one.file), **counts})
        suite.set("time", f"{sum(one.seconds):.3f}")
        for result, seconds in zip(one.results, one.seconds, strict=True):
            case = ElementTree.SubElement(
                suite, "testcase", classname=one.file.stem, name=result.test.name, time=f"{seconds:.3f}"
            )
            if result.differences:
                lines = list(_told(result))
                ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written
