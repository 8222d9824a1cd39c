"""One look into a configuration, whatever is wrong in it elsewhere."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from webhook.errors import Problem
from webhook.located import load, mapping, refuse, relative_path


def inventory_path(path: Path) -> Path | None:
    """Where a configuration that may be wrong elsewhere says that its inventory lies; None when it does not say."""
    node = mapping(load(path, [])).get("inventory")
    found = relative_path(node)
    return found.absolute() if found is not None and os.path.exists(found) else None


def refuse_to_change(path: Path, names: Collection[str]) -> None:
    """Nothing, when nothing is named.

    Raises:
        ConfigError: these keys of a configuration are others now, and are read at the start only.
    """
    problems: list[Problem] = []
    document = load(path, problems)
    fields = mapping(document)
    for name in names:
        node = fields.get(name, document)
        if node is not None:
            node.report("it is another one now; restart alertmend to take it over: it is read at the start only")
    refuse(problems)
