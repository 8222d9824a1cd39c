#!/usr/bin/python
# Licensed under the Apache License, Version 2.0
"""Tells what is wrong with a certificate and its key, how long it is good for, and whether it is what is served."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: certificate_pair
short_description: Look at a certificate, its key, and what is served
description:
  - Changes nothing, and needs the program openssl.
options:
  certificate:
    description: File with the certificate, PEM. The first in it is looked at.
    type: str
    required: true
  key:
    description: File with its key, PEM.
    type: str
    required: true
  name:
    description: Host name that the certificate must hold for.
    type: str
    required: true
  ca_file:
    description: Certificates that it must lead to, PEM. Without it that is not asked.
    type: str
  address:
    description: Where it is served.
    type: str
    required: true
  port:
    description: Where it is served.
    type: int
    required: true
author: alertmend (@alertmend)
attributes:
  check_mode:
    support: full
    description: It only looks.
"""

RETURN = r"""
faults:
  description: What is wrong with the pair, in words.
  type: list
  elements: str
  returned: always
days_left:
  description: Days until it expires; nothing when it cannot be read.
  type: float
  returned: always
serves:
  description: Whether it is what is served.
  type: bool
  returned: always
served_fault:
  description: Why nothing is served, in words.
  type: str
  returned: always
"""

#: Seconds for the handshake.
PATIENCE = 5


def password() -> str:
    """None. Without an answer an encrypted key would be asked for at the terminal."""
    return ""


class Pair:
    """The files, as openssl and Python see them."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.certificate = module.params["certificate"]
        self.key = module.params["key"]

    def days_left(self) -> float | None:
        """Days until it expires; None when it cannot be read."""
        code, out, _ = self._openssl("x509", "-noout", "-enddate", "-in", self.certificate)
        if code != 0:
            return None
        return round((ssl.cert_time_to_seconds(out.strip().split("=", 1)[1]) - time.time()) / 86400, 2)

    def faults(self) -> list[str]:
        """What is wrong with it."""
        if not all(os.path.isfile(path) for path in (self.certificate, self.key)):
            return ["certificate or key is missing"]
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password)
        except (ssl.SSLError, OSError, ValueError) as error:
            return [f"certificate and key are no pair: {getattr(error, 'reason', None) or error}"]
        return [words for words in (self._name_fault(), self._chain_fault()) if words]

    def fingerprint(self) -> str:
        """Of the certificate; empty when it cannot be read."""
        code, out, _ = self._openssl("x509", "-in", self.certificate)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(out)).hexdigest() if code == 0 else ""

    def _name_fault(self) -> str:
        name = self.module.params["name"]
        _, out, _ = self._openssl("x509", "-noout", "-checkhost", name, "-in", self.certificate)
        return "" if "does match" in out else f"the certificate is not for {name}"

    def _chain_fault(self) -> str:
        trusted = self.module.params["ca_file"]
        if trusted is None:
            return ""
        code, _, err = self._openssl(
            "verify", "-no-CAfile", "-no-CApath", "-CAfile", trusted, "-untrusted", self.certificate, self.certificate
        )
        return "" if code == 0 else f"the certificate is not trusted: {err.strip().splitlines()[-1:]}"

    def _openssl(self, *arguments: str) -> tuple[int, str, str]:
        code, out, err = self.module.run_command([self.module.get_bin_path("openssl", required=True), *arguments])
        return code, out, err


def served(address: str, port: int, name: str) -> str:
    """The fingerprint of what is served.

    Raises:
        OSError: nothing is.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # One that has expired is what it is about.
    context.verify_mode = ssl.CERT_NONE
    connection = socket.create_connection((address, port), timeout=PATIENCE)
    with connection, context.wrap_socket(connection, server_hostname=name) as encrypted:
        return hashlib.sha256(encrypted.getpeercert(binary_form=True) or b"").hexdigest()


def main() -> None:
    """Run as a module."""
    text = dict(type="str", required=True)
    module = AnsibleModule(
        argument_spec=dict(
            certificate=text,
            key=dict(type="str", required=True, no_log=False),
            name=text,
            ca_file=dict(type="str"),
            address=text,
            port=dict(type="int", required=True),
        ),
        supports_check_mode=True,
    )
    pair = Pair(module)
    faults, given = pair.faults(), module.params
    fingerprint, fault = "", ""
    try:
        fingerprint = served(given["address"], given["port"], given["name"])
    except OSError as error:
        fault = str(error)
    module.exit_json(
        changed=False,
        faults=faults,
        days_left=pair.days_left(),
        serves=bool(fingerprint) and fingerprint == pair.fingerprint(),
        served_fault=fault,
    )


if __name__ == "__main__":
    main()
