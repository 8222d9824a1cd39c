"""The supervisor has the configuration's files looked at, when it is asked to and when they change."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from webhook.stamp import Stamp, stamp_of

log = structlog.get_logger()

#: So often it is looked whether a file has changed; one that still changes is left alone until it rests so long.
LOOK_SECONDS = 2.0
#: Nothing else is looked after meanwhile. Ansible is waited for half a minute, the database for less.
LONGEST_SECONDS = 90.0

Stamps = Mapping[str, Stamp | None]


@dataclass(slots=True, kw_only=True)
class Reloading:
    """Reloads of one site; the reading itself is a child's, so that the supervisor stays small."""

    config_file: Path
    storage: Path
    is_watching: bool
    #: How the child logs, and what it need not look for.
    options: Sequence[str]
    #: The files as they were when they were last taken over or refused, and as they were when last looked at.
    _known: Stamps | None = None
    _seen: Stamps = field(default_factory=dict)
    _looked_at: float = field(default_factory=time.monotonic)

    def has_changed(self) -> bool:
        """Whether a file is another than the one that was last read, and has rested since."""
        if not self.is_watching or time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        before, self._seen = self._seen, self._stamps()
        if self._known is None:
            self._known = self._seen
        return self._seen != self._known and self._seen == before

    def reload(self, *, only_changed: bool) -> bool:
        """Whether the files were taken over; what is wrong with them is logged, and the old configuration stays."""
        before = self._stamps()
        command = [sys.executable, "-m", "webhook.wiring.reload", str(self.config_file), str(self.storage)]
        command += self.options
        command += ["--only-changed"] if only_changed else []
        status, said = _ask(command)
        # Others may be watched now. What has changed in the meantime is read again.
        self._known = {file: before.get(file, found) for file, found in self._stamps().items()}
        if status == 0:
            log.info("the files were read", action="reload", **said)
            return True
        for problem in said.get("problems", ()):
            words = "{file}:{line}:{column}: {words}".format(**problem)
            log.error("the configuration is kept as it was", action="reload", problem=words)
        if "unavailable" in said:
            log.error("the configuration is kept as it was", action="reload", error=": ".join(said["unavailable"]))
            # It is tried again.
            self._known = {}
        return False

    def _stamps(self) -> Stamps:
        try:
            files = json.loads((self.storage / "configuration.reload").read_text())["files"]
        except (OSError, ValueError, KeyError):
            files = [str(self.config_file)]
        return {file: stamp_of(Path(file)) for file in files}


def _ask(command: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """A child's status, and what it said."""
    try:
        child = subprocess.run(
            command, check=False, start_new_session=True, stdout=subprocess.PIPE, timeout=LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return 3, {"unavailable": ["the reload", f"it has not ended within {LONGEST_SECONDS:g}s"]}
    try:
        return child.returncode, json.loads(child.stdout)
    except ValueError:
        return child.returncode, {"unavailable": ["the reload", f"it ended with status {child.returncode}"]}
