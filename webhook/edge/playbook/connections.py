"""Where SSH keeps connections open from run to run."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from webhook.world import PlaybookJob

#: A socket's path has at most 107 characters; Ansible adds 11 of them, and SSH another 17 while it makes it.
_LONGEST_FOLDER: Final = 107 - 11 - 17


@dataclass(slots=True, kw_only=True)
class Connections:
    """A folder for each target and its secrets.

    So nobody comes in on a connection that was opened with someone else's key, and no run loses one that another,
    which is ended, had opened.
    """

    #: They lie in `ssh` beside it; where that is too long, in a folder that does not outlive the worker.
    beside: Path
    short: list[Path] = field(default_factory=list)

    def folder(self, job: PlaybookJob) -> Path:
        """Where the connections of a run are kept; it is there, with mode 0700."""
        name = hashlib.sha256(repr((job.target, job.secrets)).encode()).hexdigest()[:12]
        found = self.beside.parent / "ssh" / name
        if len(str(found)) > _LONGEST_FOLDER:
            self.short = self.short or [Path(tempfile.mkdtemp(prefix="alertmend-"))]
            found = self.short[0] / name
        found.mkdir(parents=True, exist_ok=True, mode=0o700)
        return found

    def close(self) -> None:
        """Remove what is not to outlive the worker."""
        for folder in self.short:
            shutil.rmtree(folder, ignore_errors=True)
