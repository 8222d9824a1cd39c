"""The section `audit` of alertmend.yml: how often the head of the audit log is put down, and with which signature."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from webhook.located import Node, duration, existing_file, mapping, otherwise
from webhook.signing import KeyFileError, read_signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """How often, and signed by whom."""

    interval: timedelta = timedelta(hours=1)
    #: None: they are not signed.
    signing_key_file: Path | None = None


def read_checkpoints(node: Node | None) -> Checkpoints:
    """What the section says; a key that cannot sign is a problem."""
    fields = mapping(node, known={"checkpoint_interval", "signing_key_file"})
    interval = duration(fields.get("checkpoint_interval"), minimum=timedelta(minutes=1))
    return Checkpoints(
        interval=otherwise(interval, Checkpoints().interval), signing_key_file=_key(fields.get("signing_key_file"))
    )


def _key(node: Node | None) -> Path | None:
    file = existing_file(node)
    if node is None or file is None:
        return None
    try:
        read_signer(file)
    except KeyFileError as error:
        node.report(str(error))
    return file
