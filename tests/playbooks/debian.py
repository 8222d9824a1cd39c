"""Software from Debian's packages, installed where a machine has not got it yet."""

from __future__ import annotations

import os
import shutil
import subprocess

#: Daemons lie where not everyone looks.
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def install(*, program: str, package: str) -> str:
    """Where the program is, after it was installed when it was missing."""
    found = shutil.which(program, path=SEARCHED)
    if found is None:
        # The package's own start must not end the installation where its port is taken.
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for words in ("update", f"install -y --no-install-recommends {package}"):
            subprocess.run(["apt-get", *words.split()], env=quiet, stdin=subprocess.DEVNULL, check=True)
        found = shutil.which(program, path=SEARCHED)
    assert found is not None, f"{package} does not bring {program}"
    return found
