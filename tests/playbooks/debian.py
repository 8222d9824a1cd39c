"""Software from Debian's packages, which `tests/packages` installs."""

from __future__ import annotations

import os
import shutil

#: Daemons lie where not everyone looks.
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def find(*, program: str, package: str) -> str:
    """Where the program is."""
    found = shutil.which(program, path=SEARCHED)
    assert found is not None, f"{program} is missing: apt-get install {package}, or make test"
    return found
