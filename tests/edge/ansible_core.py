"""The releases of ansible-core that are supported: the locked one, and the oldest that pyproject.toml allows."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
#: What PyPI gives for the oldest.
HASHES = {"2.19": "sha256:5914f1539f5da190bd9591112e20e339d699bda0c546992fc77c1e3ccc3928f2"}


def oldest() -> str:
    """The lower bound in pyproject.toml."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    [found] = [name for name in project["project"]["dependencies"] if name.startswith("ansible-core")]
    return found.removeprefix("ansible-core>=").partition(",")[0]


def python_with(version: str) -> Path:
    """An interpreter with this release, and all else as here; made once, below .cache."""
    folder = REPOSITORY / f".cache/ansible-core-{version}-py{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "ansible-core.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            _make(folder, version)
    return folder / "bin/python"


def _make(folder: Path, version: str) -> None:
    venv.create(folder, clear=True, with_pip=False, symlinks=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"ansible-core=={version} --hash={HASHES[version]}\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--python",
        str(folder / "bin/python"),
    ]
    subprocess.run([*pip, "install", "--no-deps", "--require-hashes", "-r", str(wanted)], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    # Behind its own: everything that is installed here.
    (packages / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "made").touch()
