# Licensed under the Apache License, Version 2.0
"""Talks to the runtime socket of a HAProxy."""

from __future__ import annotations

import re
import socket

#: Seconds for one answer.
PATIENCE = 10
#: What HAProxy lets names be made of. A `;` or a line break would begin another command.
NAME = re.compile(r"\A[A-Za-z0-9_.:-]+\Z")


class HAProxyError(Exception):
    """What HAProxy, or the way to it, had to say."""


def tell(path: str, *words: str) -> str:
    """The answer to a command.

    Raises:
        HAProxyError: there is none.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE)
    try:
        with connection:
            connection.connect(path)
            connection.sendall(" ".join(words).encode() + b"\n")
            parts = []
            while True:
                part = connection.recv(1 << 16)
                if not part:
                    return b"".join(parts).decode("utf-8", "replace").strip()
                parts.append(part)
    except OSError as error:
        raise HAProxyError(f"HAProxy does not answer at {path}: {error}") from error


def order(path: str, *words: str) -> None:
    """Have a command carried out.

    Raises:
        HAProxyError: it was not.
    """
    answer = tell(path, *words)
    # It says nothing, or Done, when it has done it.
    if answer and answer != "Done.":
        raise HAProxyError(f"{' '.join(words)}: {answer}")
