"""Tries a playbook on a machine that may be lost: does it mend, leave alone what is well, fail when it is no help?"""

from __future__ import annotations

from webhook.edge.tryout.case import Case, Expected, read_cases
from webhook.edge.tryout.machine import CannotCopy, Copy, Host, Machine
from webhook.edge.tryout.trial import Finding, Subject, lint, syntax, try_case

__all__ = [
    "CannotCopy",
    "Case",
    "Copy",
    "Expected",
    "Finding",
    "Host",
    "Machine",
    "Subject",
    "lint",
    "read_cases",
    "syntax",
    "try_case",
]
