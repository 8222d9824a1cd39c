"""Waits until replicas have what was written, where one of them may take over at any time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from webhook.edge.store.keys import PREFIX
from webhook.errors import Unavailable

#: A replica that is there has it within milliseconds.
PATIENCE_MILLISECONDS: Final = 1000
_MARK: Final = f"{PREFIX}copied"


def wait_for_copies(pipe: Any, copies: int) -> None:
    """Have a pipeline wait for everything that was written before it, over whatever connection.

    WAIT knows its own connection's writes only; but what replicas get is one stream, and who has its end has all of it.
    """
    pipe.set(_MARK, 1)
    pipe.execute_command("WAIT", copies, PATIENCE_MILLISECONDS)


def check_copies(answers: Sequence[Any], copies: int) -> None:
    """Returns when replicas have it.

    Raises:
        Unavailable: they have not; the primary may be one that nobody follows any more.
    """
    if int(answers[-1]) < copies:
        raise Unavailable("Redis", "no replica has taken over what was written")
