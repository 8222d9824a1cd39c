"""Checkpoints: the head of the audit log at some time, to be kept elsewhere and compared with what is there later."""

from __future__ import annotations

import json
from dataclasses import dataclass

from webhook.core.audit import canonical

#: Separates these signatures from every other use of a key, and names the format.
DOMAIN = b"alertmend audit checkpoint v1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The last entry's seq and hash at some time."""

    seq: int
    hash: str
    #: In the ledger's spelling.
    at: str
    #: Ed25519, as base64; None when there was no key.
    signature: str | None = None

    @property
    def signed(self) -> bytes:
        """What the signature is made of."""
        return DOMAIN + canonical({"seq": self.seq, "hash": self.hash, "at": self.at}).encode()


def write_checkpoint(checkpoint: Checkpoint) -> str:
    """A checkpoint as one line of JSON."""
    found = {"seq": checkpoint.seq, "hash": checkpoint.hash, "at": checkpoint.at, "signature": checkpoint.signature}
    return json.dumps(found, separators=(",", ":")) + "\n"


def read_checkpoint(line: str) -> Checkpoint:
    """The checkpoint of a line.

    Raises:
        ValueError: it is none.
    """
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("seq"), int):
        raise ValueError("a JSON object with seq, hash, at and signature is needed")
    try:
        checkpoint = Checkpoint(**found)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if not isinstance(checkpoint.hash, str) or not isinstance(checkpoint.at, str):
        raise ValueError("hash and at must be texts")
    return checkpoint
