"""The configuration that all processes of a site decide by, as it lies in the storage path once it was found sound.

Whoever reads the files people write keeps it here; every other process takes it from here, one that was started again
while those files are broken, too.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from webhook import __version__
from webhook.core.rulebook import Rulebook
from webhook.edge.configfile import Config
from webhook.errors import Unavailable
from webhook.stamp import Stamp, stamp_of

log = structlog.get_logger()

#: What wrote it has to read it: records may look otherwise in another version.
_WRITER = f"alertmend {__version__} python {platform.python_version()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What came of the last look at the files."""

    #: Seconds since 1970: when they were looked at, and when they were last found sound.
    at: float
    sound_at: float
    problems: tuple[str, ...] = ()
    #: What was read, and where new ones would be found.
    files: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """They were taken over."""
        return not self.problems


@contextmanager
def keeping(storage: Path, config: Config, rulebook: Rulebook) -> Iterator[None]:
    """Afterwards every process of this machine decides by it; meanwhile it is put on the record.

    Raises:
        Unavailable: it cannot be kept. Nothing is on the record then.
    """

    def write(file: BinaryIO) -> None:
        # One after the other: who only wants the first does not read a hundred thousand hosts.
        for part in (_WRITER, config, rulebook.revision, rulebook):
            pickle.dump(part, file)

    with _replacing(_place(storage), write):
        yield


def stamp(storage: Path) -> Stamp | None:
    """Changes with what is kept; None while nothing is."""
    return stamp_of(_place(storage))


def recall_config(storage: Path, file: Path) -> tuple[Config, str] | None:
    """What is kept of the configuration in `file`, and its revision; None when nothing is that could be used."""
    found = _recall(storage, file, parts=2)
    return (found[0], found[1]) if found else None


def recall(storage: Path, file: Path) -> tuple[Config, Rulebook] | None:
    """As `recall_config`, with the rules and the inventory."""
    found = _recall(storage, file, parts=3)
    return (found[0], found[2]) if found else None


def write_reload(storage: Path, reload: Reload) -> None:
    """Remember what came of a look at the files."""
    text = json.dumps(asdict(reload)).encode()
    with _replacing(_reload_place(storage), lambda file: file.write(text)):
        pass


def read_reload(storage: Path) -> Reload | None:
    """What came of the last look at the files; None before the first."""
    try:
        found = json.loads(_reload_place(storage).read_text())
        return Reload(**{**found, "problems": tuple(found["problems"]), "files": tuple(found["files"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _recall(storage: Path, file: Path, *, parts: int) -> Sequence[Any] | None:
    place = _place(storage)
    try:
        with place.open("rb") as kept:
            found = os.fstat(kept.fileno())
            # Whoever could write it could have us do anything.
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                log.error("it is not read: others may write it", action="start", file=str(place))
                return None
            if pickle.load(kept) != _WRITER:
                return None
            read = [pickle.load(kept) for _ in range(parts)]
    except FileNotFoundError:
        return None
    except Exception as error:
        log.warning("it cannot be read", action="start", file=str(place), error=f"{type(error).__name__}: {error}")
        return None
    return read if read[0].file == file.absolute() else None


def _place(storage: Path) -> Path:
    return storage / "configuration.kept"


def _reload_place(storage: Path) -> Path:
    return storage / "configuration.reload"


@contextmanager
def _replacing(place: Path, write: Any) -> Iterator[None]:
    """What is written is on disk meanwhile, and takes its place afterwards, unless something went wrong."""
    try:
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=place.name)
    except OSError as error:
        raise _unavailable(error) from error
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unavailable(error) from error
        yield
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable("the storage path", str(error.strerror or error).lower())
