"""Does a connection open?"""

from __future__ import annotations

import socket

from webhook.core.address import check_address, split_address
from webhook.core.placeholder import Unfit
from webhook.core.probe import TcpProbe
from webhook.located import Node, mapping, text
from webhook.probing import Deadline, Kind, Seen


def _read(node: Node) -> TcpProbe | None:
    fields = mapping(node, known={"address"}, required={"address"})
    address = text(fields.get("address"))
    if address is None:
        return None
    try:
        check_address(address)
    except Unfit as error:
        fields["address"].report(str(error))
    return TcpProbe(address=address)


def _ask(probe: TcpProbe, deadline: Deadline) -> Seen:
    with socket.create_connection(split_address(probe.address), timeout=deadline.seconds_left):
        return Seen(healthy=True, words="connected")


KIND = Kind(read=_read, ask=_ask)
