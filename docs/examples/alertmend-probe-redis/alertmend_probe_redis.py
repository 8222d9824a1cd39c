"""A kind of probe for alertmend: does a Redis answer PING with PONG?

probe:
  redis: {address: '$target:6379'}
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import ClassVar

from webhook.core.address import check_address, fill_address, split_address
from webhook.core.placeholder import Filling, Unfit
from webhook.located import Node, mapping, text
from webhook.probing import Deadline, Kind, Seen

ANSWER_LIMIT_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisProbe:
    """What is asked."""

    key: ClassVar[str] = "redis"
    asks_target: ClassVar[bool] = True

    address: str

    def filled(self, fill: Filling) -> RedisProbe:
        """The same with its placeholders replaced; whatever an alert says, the host stays the author's."""
        return replace(self, address=fill_address(self.address, fill))

    def __str__(self) -> str:
        return self.address


def read(node: Node) -> RedisProbe | None:
    """The question that stands in a rule file, with every mistake at its place."""
    fields = mapping(node, known={"address"}, required={"address"})
    address = text(fields.get("address"))
    if address is None:
        return None
    try:
        check_address(address)
    except Unfit as error:
        fields["address"].report(str(error))
    return RedisProbe(address=address)


def ask(probe: RedisProbe, deadline: Deadline) -> Seen:
    """One answer. What is raised here is an answer too, and so is a connection that the deadline breaks."""
    with socket.create_connection(split_address(probe.address), timeout=deadline.seconds_left) as connection:
        deadline.watch(connection)
        connection.sendall(b"PING\r\n")
        answer = connection.recv(ANSWER_LIMIT_BYTES)
    return Seen(healthy=answer == b"+PONG\r\n", words=answer.decode(errors="replace") or "it hung up")


KIND = Kind(read=read, ask=ask)
