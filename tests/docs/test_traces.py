"""docs/traces.md names every span, and every variable that we look at ourselves."""

import re
from pathlib import Path

from webhook import tracing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/traces.md").read_text()


def test_every_span_has_its_row_and_every_row_its_span() -> None:
    begun = {
        name
        for file in (ROOT / "webhook").rglob("*.py")
        for name in re.findall(r'tracing\.(?:past_)?span\("(\w+)"', file.read_text())
    }
    assert begun == set(re.findall(r"^\| `(\w+)` \| (?:the|an) ", PAGE, re.MULTILINE))


def test_every_variable_that_we_read_is_named() -> None:
    read = set(re.findall(r'"(OTEL_\w+)"', Path(tracing.__file__).read_text()))
    assert read
    assert {name for name in read if f"`{name}`" not in PAGE} == set()
