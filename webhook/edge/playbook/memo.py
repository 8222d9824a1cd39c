"""What Ansible works out of the text of its own files in every run, remembered by that text.

Each is a function of its arguments alone, so that a file that was changed gives another text and is worked out again.
What this Ansible does not have is left alone: it only takes longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

#: Their imports are looked up beforehand.
_MODULES: Final = (
    "command",
    "copy",
    "file",
    "lineinfile",
    "service",
    "service_facts",
    "setup",
    "stat",
    "systemd",
    "uri",
)


def remember() -> None:
    """Have Ansible, which is imported in this process, remember; and fill its memory with what it brings along."""
    from ansible.executor import module_common
    from ansible.utils.collection_loader import _collection_finder

    routing = Path(module_common.__file__).parents[1] / "config/ansible_builtin_runtime.yml"
    _remember_routing(_collection_finder, routing.read_bytes())
    _remember_imports(module_common, Path(module_common.__file__).parents[1])


def _remember_routing(finder: Any, builtin: bytes) -> None:
    """Where plugins went that were moved: 40 KB of YAML."""
    read: Callable[[bytes, Any], Any] = finder._meta_yml_to_dict
    known = {builtin: read(builtin, ("ansible.builtin", "runtime.yml"))}
    # It is given away once, since whoever has it may change it.
    finder._meta_yml_to_dict = lambda text, name: known.pop(bytes(text), None) or read(text, name)


@dataclass(frozen=True, slots=True)
class _Source:
    """A module's text, parsed when it is looked into."""

    parse: Callable[[], Any]
    text: str | bytes

    @property
    def body(self) -> Any:
        return self.parse().body


def _remember_imports(common: Any, ansible: Path) -> None:
    """What a module imports, and what that imports: some fifty files are parsed for one task."""
    parse, finder = common._compile_module_ast, common.ModuleDepFinder
    find = finder.__init__
    known: dict[tuple[str, bool, bytes], tuple[set[Any], set[Any]]] = {}

    def find_once(self: Any, name: str, source: _Source, is_package: bool = False) -> None:
        text = source.text.encode() if isinstance(source.text, str) else source.text
        key = name, is_package, hashlib.blake2b(text, digest_size=20).digest()
        if key not in known:
            find(self, name, source.parse(), is_package)
            known[key] = self.submodules, self.optional_imports
        self.submodules, self.optional_imports = known[key]

    common._compile_module_ast = lambda name, text: _Source(partial(parse, name, text), text)
    finder.__init__ = find_once
    for file in [*ansible.glob("module_utils/**/*.py"), *(ansible / f"modules/{name}.py" for name in _MODULES)]:
        is_package = file.name == "__init__.py"
        parts = file.relative_to(ansible.parent).with_suffix("").parts[: -1 if is_package else None]
        finder(".".join(parts), common._compile_module_ast(file.name, file.read_bytes()), is_package)
