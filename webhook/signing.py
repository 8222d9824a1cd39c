"""Ed25519 signatures, with keys in PEM files as `openssl genpkey -algorithm ed25519` writes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path

#: The signature of some bytes, as base64.
Sign = Callable[[bytes], str]
#: Whether a signature is that of the bytes.
Confirm = Callable[[bytes, str], bool]


class KeyFileError(ValueError):
    """This file holds no such key."""


def read_signer(file: Path) -> Sign:
    """Signs with the private key in a file.

    Raises:
        KeyFileError: there is none in it.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError("it must hold an Ed25519 private key, as `openssl genpkey -algorithm ed25519` prints it")
    signer = key
    return lambda content: base64.b64encode(signer.sign(content)).decode()


def read_confirmer(file: Path) -> Confirm:
    """Confirms signatures with the public key in a file.

    Raises:
        KeyFileError: there is none in it.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError("it must hold an Ed25519 public key, as `openssl pkey -pubout` prints it")
    public = key

    def confirm(content: bytes, signature: str) -> bool:
        try:
            public.verify(base64.b64decode(signature, validate=True), content)
        except (InvalidSignature, binascii.Error, ValueError, TypeError):
            return False
        return True

    return confirm
