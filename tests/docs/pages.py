"""The pages of the documentation, as their tests look at them: sections, table rows, blocks, links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FILES = (REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md")))

_FENCE = re.compile(r"^(```+)(\S*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_BETWEEN_CELLS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two fences."""

    file: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(REPOSITORY)}:{self.line}"


def page(name: str) -> str:
    """The text of docs/`name`."""
    return (REPOSITORY / "docs" / name).read_text()


def every_page() -> str:
    """All of the documentation."""
    return "\n".join(file.read_text() for file in FILES)


def sections(text: str) -> Mapping[str, str]:
    """What stands under each heading, up to the next one."""
    prose = _without_blocks(text)
    found = list(_HEADING.finditer(prose))
    ends = [heading.start() for heading in found[1:]] + [len(text)]
    return {heading[1]: text[heading.end() : end] for heading, end in zip(found, ends, strict=True)}


def rows(text: str) -> list[tuple[str, ...]]:
    """The cells of every table row, the heads included."""
    lines = [line.strip() for line in _without_blocks(text).splitlines()]
    return [
        tuple(cell.strip() for cell in _BETWEEN_CELLS.split(line)[1:-1])
        for line in lines
        if line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line)
    ]


def row_names(text: str) -> list[str]:
    """The first cell of every row in which it is one `name`."""
    return [found[1] for cells in rows(text) if (found := re.fullmatch(r"`([^`]+)`", cells[0]))]


def blocks(language: str) -> list[Block]:
    """Every fenced block of a language."""
    found = []
    for file in FILES:
        text = file.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(file=file, line=line, language=match[2], text=match[3]))
    return [block for block in found if block.language == language]


def commands(block: Block) -> dict[str, str]:
    """What someone types in a console block, each command whole, with what is shown to come of it."""
    found: dict[str, str] = {}
    typed = ""
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        if line.startswith("$ "):
            typed = line.removeprefix("$ ")
            found[typed] = ""
        else:
            found[typed] += line + "\n"
    return found


def links(file: Path) -> list[str]:
    """Where its links lead."""
    return _LINK.findall(_without_blocks(file.read_text()))


def anchors(file: Path) -> set[str]:
    """The anchors of its headings, as GitHub and MyST spell them."""
    headings = _HEADING.findall(_without_blocks(file.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_blocks(text: str) -> str:
    """The same length, so that places in it are places in `text`."""
    return _FENCE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
