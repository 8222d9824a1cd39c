"""What every journey needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.harness import Processes


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Ends what a test starts, and shows its logs when it failed."""
    found = Processes(tmp_path)
    try:
        yield found
    finally:
        found.end()
        for log in sorted(tmp_path.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}")
