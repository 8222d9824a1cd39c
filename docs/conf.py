"""How Sphinx makes pages of this folder: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook import __version__
from webhook.web.openapi import describe

project = "alertmend"
version = release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["examples"]
html_theme = "alabaster"
html_theme_options = {"description": "Alertmanager in, one proven Ansible run out", "page_width": "1100px"}
html_show_sourcelink = False
myst_heading_anchors = 4
nitpicky = True


def setup(app: Any) -> None:
    """The page of the API is made from its own description."""
    app.connect("source-read", _add_api)


def _add_api(_: Any, page: str, source: list[str]) -> None:
    if page == "api":
        source[0] += "\n".join(_operations(describe()))


def _operations(api: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                yield from _operation(f"{method.upper()} {path}", operation)


def _operation(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n## {name}\n\n{operation.get('description') or operation['summary']}\n"
    if parameters := [one for one in operation.get("parameters", ()) if "name" in one]:
        yield "| parameter | in | |\n|---|---|---|"
        yield from (f"| `{one['name']}` | {one['in']} | {one.get('description', '')} |" for one in parameters)
    yield "\n| answer | |\n|---|---|"
    for status, answer in operation["responses"].items():
        yield f"| {status} | {_cell(answer)} |"


def _cell(answer: Mapping[str, Any]) -> str:
    words = answer.get("description") or f"`{answer['$ref'].rpartition('/')[2]}`"
    return words.replace("\n", " ").replace("|", "\\|")
