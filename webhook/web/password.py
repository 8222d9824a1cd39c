"""Passwords against their bcrypt hashes: those that were right are remembered, those that were wrong cost one core."""

from __future__ import annotations

import hmac
import secrets
from asyncio import get_running_loop
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from webhook.errors import Unavailable

#: bcrypt reads no further, and what makes the hashes (htpasswd, Go) cuts without a word.
_PASSWORD_LIMIT_BYTES: Final = 72
#: Passwords that wait for their check at once; each takes 50 ms and more of a core.
_WAITING_LIMIT: Final = 64
_REMEMBERED_LIMIT: Final = 256


@dataclass(slots=True, kw_only=True)
class Passwords:
    """Checks passwords, and remembers those that were right: a check takes 50 ms, and a receiver has none to spare."""

    users: Mapping[str, str]
    #: Never leaves the process, so that what is remembered is of no use outside it.
    _key: bytes = field(default_factory=secrets.token_bytes)
    _right: dict[bytes, None] = field(default_factory=dict)
    # One thread: however many strangers guess, one core is all they get.
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="password"))
    _waiting: int = 0

    async def is_right(self, name: str, password: bytes) -> bool:
        """The user is known and has this password."""
        if not self.users:
            return False
        # For a name that is not known, another's hash is checked: it takes as long, and tells nothing.
        hashed = self.users.get(name) or next(iter(self.users.values()))
        mark = hmac.digest(self._key, b"\0".join([name.encode(), hashed.encode(), password]), "sha256")
        if mark in self._right:
            return True
        if not await self._check(password, hashed) or name not in self.users:
            return False
        while len(self._right) >= _REMEMBERED_LIMIT:
            del self._right[next(iter(self._right))]
        self._right[mark] = None
        return True

    async def _check(self, password: bytes, hashed: str) -> bool:
        if self._waiting >= _WAITING_LIMIT:
            raise Unavailable("the check of passwords", "too many are waiting for it; try again")
        self._waiting += 1
        try:
            return await get_running_loop().run_in_executor(self._thread, _matches, password, hashed)
        finally:
            self._waiting -= 1


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password[:_PASSWORD_LIMIT_BYTES], hashed.encode())
    except ValueError:
        return False
