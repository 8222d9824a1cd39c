"""Asks Ansible whether it understands a playbook, and runs nothing of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from webhook.text import one_line

_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "USER", "ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATH")
_WORDS_LIMIT: Final = 300
_ERROR: Final = re.compile(r"^\[ERROR\]: (.+?)(?=^\[|\Z)", re.M | re.S)


def syntax_error(playbook: Path, *, inventory: Path, timeout_seconds: float = 60) -> str | None:
    """What Ansible says is wrong with it, on one line; None: it can be run."""
    program = Path(sys.executable).with_name("ansible-playbook")
    with tempfile.TemporaryDirectory(prefix="alertmend-syntax-") as folder:
        ours = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        settings = {"ANSIBLE_HOME": folder, "TMPDIR": folder, "ANSIBLE_NOCOLOR": "1"}
        try:
            asked = subprocess.run(
                [program, "--syntax-check", f"--inventory={inventory}", "--", playbook],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_seconds,
                env={**ours, **settings},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return one_line(str(error), limit=_WORDS_LIMIT)
    if asked.returncode == 0:
        return None
    found = _ERROR.search(asked.stderr)
    return one_line(found[1] if found else asked.stderr or asked.stdout, limit=_WORDS_LIMIT)
