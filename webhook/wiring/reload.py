"""Looks at the files and takes them over, if they are sound: `python -m webhook.wiring.reload`.

A process of its own, so that the others stay small. What came of it is one line of JSON on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from webhook import telemetry
from webhook.edge.configfile import refuse_to_change
from webhook.errors import ConfigError, Problem, Unavailable
from webhook.wiring.clock import now
from webhook.wiring.connection import open_ledger
from webhook.wiring.current import Current, Site, rules_entry
from webhook.wiring.kept import Reload, keeping, read_reload, recall, recall_config, write_reload
from webhook.wiring.revision import configuration_files

#: So many files are watched at the most.
_MOST_FILES = 2000
#: What is read at the start only.
_ADDRESSES = ("redis", "database")


def take_over(site: Site, *, actor: str = "alertmend", only_changed: bool = False) -> Current:
    """What stands in the files, on record and decided by from now on; with `only_changed`, if it says anything new.

    Raises:
        ConfigError: with every problem; what was decided by before stays.
        Unavailable: it cannot be kept, or the record does not take it; what was decided by before stays.
    """
    at = now().timestamp()
    try:
        fresh = _read(site)
        if not only_changed or recall(site.storage, site.config_file) != (fresh.config, fresh.rulebook):
            # First, so that whoever reads the log in order knows the rules.
            with keeping(site.storage, fresh.config, fresh.rulebook):
                open_ledger(fresh.config, site.storage).append(rules_entry(fresh, is_reload=True, actor=actor))
    except ConfigError as error:
        _remember(site, at, [str(problem) for problem in error.problems], [str(one.file) for one in error.problems])
        raise
    except Unavailable as error:
        # Where not even that can be kept, the log has it.
        with suppress(Unavailable):
            _remember(site, at, [str(error)], [])
        raise
    write_reload(site.storage, Reload(at=at, sound_at=at, files=files_of(fresh)))
    return fresh


def _read(site: Site) -> Current:
    fresh, kept = Current.of(site), recall_config(site.storage, site.config_file)
    if kept is not None:
        # Whoever is started again would go by the new one, and all others by the old one.
        pairs = {name: (getattr(fresh.config, f"{name}_url"), getattr(kept[0], f"{name}_url")) for name in _ADDRESSES}
        refuse_to_change(site.config_file, [name for name, (new, old) in pairs.items() if new != old])
    return fresh


def _remember(site: Site, at: float, problems: Sequence[str], files: Sequence[str]) -> None:
    """What is wrong, and that what is watched is still to be watched."""
    before = read_reload(site.storage)
    watched = [*(before.files if before else ()), str(site.config_file), *files]
    found = Reload(
        at=at,
        sound_at=before.sound_at if before else 0.0,
        problems=tuple(problems),
        files=tuple(dict.fromkeys(watched))[:_MOST_FILES],
    )
    write_reload(site.storage, found)


async def take_over_aside(site: Site, *, actor: str, log_options: Sequence[str]) -> tuple[int, str]:
    """As `take_over`, in a process of its own: how many rules there are now, and their revision.

    Raises:
        ConfigError: with every problem.
        Unavailable: the record does not take it, or nothing came of it.
    """
    command = [sys.executable, "-m", "webhook.wiring.reload", str(site.config_file), str(site.storage)]
    command += [] if site.has_runs else ["--no-runs"]
    child = await asyncio.create_subprocess_exec(
        *command, f"--actor={actor}", *log_options, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    try:
        found = json.loads(said)
    except ValueError:
        raise Unavailable("the reload", f"it ended with status {child.returncode}") from None
    if "problems" in found:
        raise ConfigError([Problem(**{**problem, "file": Path(problem["file"])}) for problem in found["problems"]])
    if "unavailable" in found:
        dependency, words = found["unavailable"]
        raise Unavailable(dependency, words)
    return found["rules"], found["revision"]


def files_of(current: Current) -> tuple[str, ...]:
    """What was read, and the folders in which new rule files and group variables would be found."""
    config = current.config
    file, *rule_files = configuration_files(config)
    found = [file, *rule_files, *(file.parent for file in rule_files), *_inventory_files(config.inventory)]
    playbooks = [config.playbooks / name for name in current.rulebook.playbooks]
    return tuple(dict.fromkeys(str(path) for path in (*found, *playbooks)))[:_MOST_FILES]


def _inventory_files(inventory: Path) -> Iterator[Path]:
    yield inventory
    folder = inventory if inventory.is_dir() else inventory.parent
    for place in (inventory, folder / "group_vars", folder / "host_vars"):
        if place.is_dir():
            yield place
            yield from sorted(place.rglob("*"))


def main(argv: list[str] | None = None) -> int:
    """0: they were taken over. 2: they cannot be used. 3: the record does not take that."""
    parser = argparse.ArgumentParser(prog="python -m webhook.wiring.reload", description=__doc__)
    parser.add_argument("config_file", type=Path)
    parser.add_argument("storage", type=Path)
    parser.add_argument("--actor", default="alertmend")
    parser.add_argument("--only-changed", action="store_true")
    parser.add_argument("--no-runs", dest="has_runs", action="store_false")
    parser.add_argument("--log.format", dest="log_format", default="logfmt")
    parser.add_argument("--log.level", dest="log_level", default="info")
    arguments = parser.parse_args(argv)
    telemetry.configure(format=arguments.log_format, level=arguments.log_level, role="reload")
    site = Site(config_file=arguments.config_file, storage=arguments.storage, has_runs=arguments.has_runs)
    try:
        fresh = take_over(site, actor=arguments.actor, only_changed=arguments.only_changed)
    except ConfigError as error:
        print(json.dumps({"problems": [{**asdict(p), "file": str(p.file)} for p in error.problems]}))
        return 2
    except Unavailable as error:
        print(json.dumps({"unavailable": [error.dependency, error.words]}))
        return 3
    print(json.dumps({"rules": len(fresh.rulebook.rules), "revision": fresh.rulebook.revision}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
