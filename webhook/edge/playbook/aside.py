"""Ansible's own plugins, imported and laid aside until Ansible itself finds them.

An operator's plugin of the same name comes first where Ansible looks for it first. Were ours among the modules that are
imported, it would be taken for theirs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml

_KINDS: Final = (
    *("action", "become", "cache", "callback", "connection", "inventory", "lookup", "shell", "strategy", "vars"),
    "doc_fragments",
)
#: These have options, which stand in their documentation.
_WITH_OPTIONS: Final = frozenset(_KINDS) - {"action", "strategy", "doc_fragments"}


def lay_aside() -> None:
    """Import them, and read their documentation; both are there when Ansible asks for them."""
    from ansible.plugins import loader
    from ansible.utils import plugin_docs

    modules = dict(_taken(Path(loader.__file__).parent))
    _give_when_found(loader.PluginLoader, modules)
    loader.yaml = plugin_docs.yaml = _Reader(yaml, dict(_documents(modules)))


def _taken(folder: Path) -> Iterator[tuple[str, ModuleType]]:
    """The plugins below a folder that nobody has imported, imported as if nobody had."""
    before = set(sys.modules)
    names = [
        f"ansible.plugins.{file.parent.name}.{file.stem}" for kind in _KINDS for file in folder.glob(f"{kind}/*.py")
    ]
    for name in names:
        # What a plugin needs may not be installed.
        with suppress(Exception):
            importlib.import_module(name)
    for name in sys.modules.keys() & set(names) - before:
        package, _, last = name.rpartition(".")
        delattr(sys.modules[package], last)
        yield name, sys.modules.pop(name)


def _give_when_found(loader: Any, modules: dict[str, ModuleType]) -> None:
    load = loader._load_module_source

    def load_once(self: Any, *, python_module_name: str, path: str) -> ModuleType:
        module = modules.pop(python_module_name, None)
        if module is not None and module.__file__ == path:
            sys.modules.setdefault(python_module_name, module)
        found: ModuleType = load(self, python_module_name=python_module_name, path=path)
        return found

    loader._load_module_source = load_once


#: A text and the file that it stands in: its values remember their places.
_Place = tuple[str, str]


def _documents(modules: Mapping[str, ModuleType]) -> Iterator[tuple[_Place, Any]]:
    """The documentation of plugins with options, and of what that is made of, read."""
    for name, module in modules.items():
        file, text = str(module.__file__), getattr(module, "DOCUMENTATION", None)
        if text and name.split(".")[2] in _WITH_OPTIONS:
            document = _read(text, file)
            yield (text, file), document
            for fragment in _list(document.get("extends_documentation_fragment")):
                stem, _, part = fragment.strip().partition(".")
                source = getattr(modules.get(f"ansible.plugins.doc_fragments.{stem}"), "ModuleDocFragment", None)
                if part_text := getattr(source, part.upper() or "DOCUMENTATION", None):
                    yield (part_text, file), _read(part_text, file)


def _read(text: str, file: str) -> Any:
    from ansible._internal._datatag._tags import Origin, TrustedAsTemplate
    from ansible.parsing.yaml.loader import AnsibleLoader

    return yaml.load(Origin(path=file).tag(TrustedAsTemplate().tag(text)), Loader=AnsibleLoader)


def _list(value: Any) -> list[str]:
    return value.split(",") if isinstance(value, str) else value or []


class _Reader:
    """PyYAML for Ansible's loaders: each document that was read already is given away, once, for it may be changed."""

    def __init__(self, yaml: Any, known: dict[_Place, Any]) -> None:
        self._yaml, self._known = yaml, known

    def load(self, text: Any, *, Loader: Any) -> Any:
        from ansible._internal._datatag._tags import Origin

        origin = Origin.get_tag(text)
        place = (text, origin.path) if origin is not None and isinstance(text, str) else ("", "")
        return self._known.pop(place, None) or self._yaml.load(text, Loader=Loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._yaml, name)
