"""Every Python that is started with this folder on its path has an alertmend whose clock is ahead, as a file says."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

FILE = Path(os.environ["ALERTMEND_TEST_CLOCK"])


class _Jumped(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        kept = module.now

        def now() -> datetime:
            found: datetime = kept() + timedelta(hours=int(FILE.read_text()))
            return found

        module.now = now  # type: ignore[attr-defined]


class _Finder(PathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != "webhook.wiring.clock":
            return None
        found = super().find_spec(fullname, path)  # type: ignore[arg-type]
        if found is not None and found.origin is not None:
            found.loader = _Jumped(fullname, found.origin)
        return found


sys.meta_path.insert(0, _Finder)
