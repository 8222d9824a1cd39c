"""Signatures with keys as OpenSSL writes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from webhook.signing import KeyFileError, read_confirmer, read_signer


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public one."""
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def test_what_one_key_signs_the_other_confirms(keys: tuple[Path, Path]) -> None:
    signature = read_signer(keys[0])(b"content")
    confirm = read_confirmer(keys[1])
    assert confirm(b"content", signature)
    assert not confirm(b"contenT", signature)
    for forged in ("", "x", signature[:-4] + "AAA=", signature + " ", "é"):
        assert not confirm(b"content", forged), forged


def test_openssl_confirms_it_too(keys: tuple[Path, Path], tmp_path: Path) -> None:
    import base64

    (tmp_path / "content").write_bytes(b"content")
    (tmp_path / "signature").write_bytes(base64.b64decode(read_signer(keys[0])(b"content")))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin"]
    command += ["-in", tmp_path / "content", "-sigfile", tmp_path / "signature"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    for read in (read_signer, read_confirmer):
        with pytest.raises(KeyFileError):
            read(file)


def test_a_key_of_another_kind_and_the_other_half_are_refused(keys: tuple[Path, Path], tmp_path: Path) -> None:
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "rsa", "-out", rsa], check=True, capture_output=True)
    for file in (rsa, keys[1], tmp_path / "nowhere"):
        with pytest.raises(KeyFileError):
            read_signer(file)
    with pytest.raises(KeyFileError):
        read_confirmer(keys[0])
