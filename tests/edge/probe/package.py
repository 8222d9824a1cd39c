"""Packages that bring kinds of probe, really installed into a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "docs/examples/alertmend-probe-redis"


def install_example(folder: Path) -> Path:
    """The folder, with the example from docs/probes.md in it as pip puts it there."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run([*pip, *offline, "--target", str(folder), str(EXAMPLE)], check=True, capture_output=True)
    return folder


def write_package(folder: Path, name: str, *, key: str, code: str) -> None:
    """A package of one module with an entry point for `key`."""
    folder.mkdir(exist_ok=True)
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[alertmend.probes]\n{key} = {module}:KIND\n")
