"""The web.config.file of the moment: a changed one counts within a second, one that cannot be used not at all."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from webhook.edge.webconfig import WebConfig, read_web_config
from webhook.errors import ConfigError
from webhook.stamp import Stamp, stamp_of

log = structlog.get_logger()

#: How often it is looked at, at most.
LOOK_SECONDS = 1.0


@dataclass(slots=True)
class WebFile:
    """A web.config.file that is followed."""

    path: Path
    config: WebConfig
    _stamp: Stamp | None
    _looked_at: float = 0.0

    @classmethod
    def at(cls, path: Path) -> WebFile:
        """The file as it is now.

        Raises:
            ConfigError: with every problem.
        """
        stamp = stamp_of(path)
        return cls(path, read_web_config(path), stamp)

    def changed(self) -> WebConfig | None:
        """What it says now, if that is something else than before and can be used.

        Whether connections are encrypted and how, whose proxy is trusted and how sessions are kept stays as it was.
        """
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = time.monotonic()
        stamp = stamp_of(self.path)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            found = read_web_config(self.path)
        except ConfigError as error:
            log.error("a changed web.config.file is not taken over", action="reload", problems=str(error))
            return None
        return self._take_over(found)

    def _take_over(self, found: WebConfig) -> WebConfig:
        kept = replace(found, tls=self.config.tls, proxy=self.config.proxy, session=self.config.session)
        if kept != found:
            log.warning("tls_server_config, proxy and session are taken over at the next start", action="reload")
        log.info("a changed web.config.file was taken over", action="reload", file=str(self.path))
        self.config = kept
        return kept
