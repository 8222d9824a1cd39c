"""Ansible from warm: imported once, by the process that forks runs, and inherited by each.

Most of a short run is Ansible importing itself. Nothing may come of it that a cold start would not have found: what
Ansible reads while it is imported is noted, and a run that would have read something else there starts cold; all other
settings, and all that is random, are made anew in the run.
"""

from __future__ import annotations

import atexit
import importlib
import os
import random
import secrets
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from webhook.edge.playbook.aside import lay_aside
from webhook.edge.playbook.memo import remember
from webhook.edge.playbook.tree import MARK
from webhook.process import show_as

#: With these everything is imported that a playbook needs, but for plugins.
_MODULES: Final = (
    *("cli.playbook", "executor.playbook_executor", "executor.task_queue_manager", "executor.process.worker"),
    *("executor.module_common", "executor.interpreter_discovery", "playbook.handler_task_include"),
)
_CONFIGURATION_FILES: Final = ("~/.ansible.cfg", "/etc/ansible/ansible.cfg")

#: A file's time and length; None when there is none.
_State = tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """Ansible, imported; or why it is not."""

    problem: str = ""
    #: The settings that were read during the import, as they were.
    read: Mapping[str, Any] = field(default_factory=dict)
    #: The loaders of plugins, each with the setting that says where it looks.
    loaders: Sequence[tuple[Any, str]] = ()
    #: Every file that the import depends on, as it was.
    files: Mapping[str, _State] = field(default_factory=dict)

    def is_stale(self) -> bool:
        """Whether Ansible was upgraded since, or its configuration changed, or anything else that was imported."""
        return any(_state(file) != state for file, state in self.files.items())

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> str:
        """Become Ansible, in a process that was forked for it; returns only with the reason why not."""
        if self.problem:
            return self.problem
        os.environ.clear()
        os.environ.update(environment)
        try:
            if changed := self._read_again():
                return f"it is configured otherwise than when Ansible was imported: {', '.join(sorted(changed))}"
            _forget()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        show_as(argv, {MARK: environment.get(MARK, "")})
        _become(argv)

    def _read_again(self) -> list[str]:
        """The settings that cannot be changed any more, and would have to be."""
        from ansible import constants
        from ansible.config.manager import find_ini_config_file

        config, now = constants.config, vars(constants)
        config._config_file = find_ini_config_file(config.WARNINGS)
        config._parsers.clear()
        config._get_ini_config_value.cache_clear()
        for name in config.get_configuration_definitions():
            constants.set_constant(name, config.get_config_value(name, variables=now))
        for loader, name in self.loaders:
            loader.config = now[name]
        return [name for name, value in self.read.items() if now[name] != value]


def load() -> Warm:
    """Import Ansible into this process."""
    found = Warm()
    with _in_passing() as printed:
        try:
            found = _imported()
        except (Exception, SystemExit) as error:
            printed.seek(0)
            said = printed.read().decode(errors="replace").strip().partition("\n")[0]
            found = Warm(problem=f"it could not be imported: {said or repr(error)}")
    return replace(found, files={file: _state(file) for file in _files()})


def _imported() -> Warm:
    names = _import()
    from ansible import constants

    loaders = list(_loaders(names))
    known = names & set(constants.config.get_configuration_definitions()) - {name for _, name in loaders}
    read = {name: vars(constants)[name] for name in known}
    problem = "it has a log_path, which it opens when it is imported" if read.get("DEFAULT_LOG_PATH") else ""
    remember()
    return Warm(problem=problem, read=read, loaders=loaders)


class _Noting(types.ModuleType):
    """A module that notes which of its settings are read."""

    def __getattribute__(self, name: str) -> Any:
        if name.isupper():
            super().__getattribute__("noted").add(name)
        return super().__getattribute__(name)


def _import() -> set[str]:
    """The names of the settings that were read on the way."""
    constants: Any = importlib.import_module("ansible.constants")
    noted: set[str] = set()
    find = constants.config.get_config_value

    def find_noting(name: str, *arguments: Any, **given: Any) -> Any:
        noted.add(name)
        return find(name, *arguments, **given)

    constants.noted, constants.config.get_config_value = noted, find_noting
    constants.__class__ = _Noting
    try:
        for name in _MODULES:
            importlib.import_module(f"ansible.{name}")
        lay_aside()
    finally:
        constants.__class__ = types.ModuleType
        del constants.noted, constants.config.get_config_value
    return noted


def _loaders(names: set[str]) -> Iterator[tuple[Any, str]]:
    """The loaders that were made with the value of one of these settings."""
    from ansible import constants
    from ansible.plugins import loader

    by_value = {id(vars(constants)[name]): name for name in names if name in vars(constants)}
    for found in vars(loader).values():
        if isinstance(found, loader.PluginLoader) and id(found.config) in by_value:
            yield found, by_value[id(found.config)]


@contextmanager
def _in_passing() -> Iterator[IO[bytes]]:
    """What is printed is kept from the worker's log, what is made is removed, and nothing is found where we stand."""
    here, streams = os.getcwd(), [os.dup(1), os.dup(2)]
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as printed:
        os.chdir(scratch)
        os.environ.update(ANSIBLE_HOME=scratch, ANSIBLE_LOCAL_TEMP=scratch)
        for number in (1, 2):
            os.dup2(printed.fileno(), number)
        try:
            yield printed
        finally:
            sys.stdout.flush()
            for number, stream in zip((1, 2), streams, strict=True):
                os.dup2(stream, number)
                os.close(stream)
            os.chdir(here)


def _files() -> set[str]:
    found = {os.path.expanduser(file) for file in _CONFIGURATION_FILES} | {os.environ.get("ANSIBLE_CONFIG", "")}
    found |= {str(Path(sys.executable).with_name("ansible-playbook"))}
    return {file for file in found if file} | {
        file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }


def _state(file: str) -> _State:
    with suppress(OSError):
        found = os.stat(file)
        return found.st_mtime_ns, found.st_size
    return None


def _forget() -> None:
    """Undo what the import left in memory and a fork may not have in common with another."""
    from ansible.utils import display, vars

    random.seed()
    vars.cur_id, vars.random_int = 0, f"{secrets.randbelow(2**32):08x}"
    for said in (display._display._warns, display._display._deprecations, display._display._errors):
        said.clear()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or os.isatty(1))  # type: ignore[union-attr]
    display._display._set_column_width()


def _become(argv: Sequence[str]) -> NoReturn:
    from ansible.cli.playbook import main

    sys.argv, sys.path[0] = list(argv), os.path.dirname(argv[0])
    # pexpect waits at a pipe until it closes, as it does when another program is started.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    status = 0
    try:
        main(sys.argv)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    _end(status)


def _end(status: int) -> NoReturn:
    """End as a program does that was started, of whose process ours is not the only code."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status & 0xFF)
