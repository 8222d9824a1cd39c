"""The one inventory host that an alert names, or why there is none. Does not read inventories."""

from __future__ import annotations

import difflib
import re
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address

#: The longest name that DNS allows.
MAX_HOST_LENGTH = 253
_MAX_SHOWN = 80

#: Groups that every Ansible inventory has.
_BUILT_IN_GROUPS = frozenset({"all", "ungrouped"})
_PATTERN_CHARACTERS = re.compile(r"[*?,;!&~@\[\]]")
_IN_BRACKETS = re.compile(r"\[([^\[\]]*)\](?::(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The names that an Ansible inventory holds."""

    hosts: frozenset[str]
    #: Each group's name and its hosts.
    groups: Mapping[str, frozenset[str]]
    #: The names of the variables that any host has.
    variables: frozenset[str] = frozenset()
    #: The smallest group that each host is in, which says best what it is; not for those that are in none.
    _home: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        home: dict[str, str] = {}
        named = [name for name in self.groups if name not in _BUILT_IN_GROUPS]
        for name in sorted(named, key=lambda name: (-len(self.groups[name]), name)):
            home.update(dict.fromkeys(self.groups[name], name))
        object.__setattr__(self, "_home", home)

    def group_of(self, host: str) -> tuple[str, int]:
        """The smallest group that a host is in, `all` for one that is in none, and how many hosts that has."""
        name = self._home.get(host)
        return (name, len(self.groups[name])) if name is not None else ("all", len(self.hosts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Exactly one of a host of the inventory and the reason why there is none."""

    host: str | None = None
    #: One sentence with a hint, empty when there is a host.
    problem: str = ""
    #: The inventory group that says best what the host is, and how many hosts are in it.
    group: str = "all"
    group_hosts: int = 1

    def __post_init__(self) -> None:
        if (self.host is None) is not bool(self.problem):
            raise ValueError("a target is either a host or a problem")


def find_target(value: str | None, *, label: str, inventory: Inventory) -> Target:
    """The host that a label's value names as `host`, `host:port`, `[v6]:port`, `[v6]` or a bare IPv6 address.

    The value is a stranger's: it is compared, never used as a pattern, and only a host that can stand in Ansible's
    `--limit` without widening it is given back.
    """
    try:
        host = _host(value, label=label, inventory=inventory)
        group, hosts = inventory.group_of(host)
        return Target(host=host, group=group, group_hosts=hosts)
    except _Refused as refused:
        return Target(problem=str(refused))


class _Refused(Exception):
    """The value names no host; the words say why. Never leaves this module."""


def _host(value: str | None, *, label: str, inventory: Inventory) -> str:
    if not value:
        missing = "has no label" if value is None else "has an empty label"
        raise _Refused(f"the alert {missing} {_quoted(label)}; name the label that holds the host as the rule's target")
    named = f"{_quoted(value)} (label {_quoted(label)})"
    _refuse_what_is_no_name(value, named)
    name, port = _without_port(value, named)
    _refuse_port(port, named)
    _refuse_group(value, named, inventory)
    _refuse_group(name, named, inventory)
    # A host that is called like a pattern, "[::1]:80", would be read as one.
    if value in inventory.hosts and not _PATTERN_CHARACTERS.search(value):
        return value
    if name in inventory.hosts:
        return name
    return _same_address(name, named, inventory)


def _refuse_what_is_no_name(value: str, named: str) -> None:
    if any(not character.isprintable() or character.isspace() for character in value):
        raise _Refused(f"{named} has a space or a control character in it; a host is written host or host:port")
    if value.startswith("-"):
        raise _Refused(f"{named} begins with a dash, like an option; a host is written host or host:port")
    if "/" in value:
        what = "is a URL" if "://" in value else "has a slash in it"
        raise _Refused(f"{named} {what}; only host or host:port is understood, so relabel it to that")


def _without_port(value: str, named: str) -> tuple[str, str | None]:
    in_brackets = _IN_BRACKETS.fullmatch(value)
    if in_brackets and _address(in_brackets[1]):
        name, port = in_brackets[1], in_brackets[2]
    elif _address(value):
        name, port = value, None
    else:
        _refuse_pattern(value, named)
        name, colon, rest = value.partition(":")
        port = rest if colon else None
    if not name or len(name) > MAX_HOST_LENGTH:
        length = f"is longer than {MAX_HOST_LENGTH} characters" if name else "names no host before the colon"
        raise _Refused(f"{named} {length}; a host is written host or host:port")
    return name, port


def _refuse_pattern(value: str, named: str) -> None:
    found = _PATTERN_CHARACTERS.search(value)
    if found:
        raise _Refused(f'{named} is a pattern, because of "{found[0]}"; a target is exactly one host of the inventory')
    if value.count(":") > 1:
        raise _Refused(
            f"{named} has several colons and is no IPv6 address; write one with a port as [2001:db8::1]:9100"
        )


def _refuse_port(port: str | None, named: str) -> None:
    if port is None:
        return
    if not port:
        raise _Refused(f"{named} ends with a colon; a host is written host or host:port")
    if not (port.isascii() and port.isdigit()):
        raise _Refused(f"{named} would be a pattern of two names; after the colon only a port is understood")
    if len(port) > 5 or not 1 <= int(port) <= 65535:
        raise _Refused(f"{named} has no valid port; one is between 1 and 65535")


def _refuse_group(name: str, named: str, inventory: Inventory) -> None:
    if name not in _BUILT_IN_GROUPS and name not in inventory.groups:
        return
    if name in inventory.hosts:
        words = "is a host and a group, and Ansible would take the group; rename one of them in the inventory"
    elif name in _BUILT_IN_GROUPS:
        words = "names many hosts; a target is exactly one host of the inventory"
    else:
        words = "is a group; a target is exactly one host of the inventory"
    raise _Refused(f"{named} {words}")


def _same_address(name: str, named: str, inventory: Inventory) -> str:
    address = _address(name)
    same = _addresses(inventory.hosts).get(address, ()) if address else ()
    if len(same) > 1:
        raise _Refused(f"{named} is the address of {len(same)} hosts; keep one of them in the inventory")
    if not same:
        near = _near_miss(name, inventory.hosts)
        hint = f"did you mean {_quoted(near)}?" if near else "add it, or let the rule leave it out"
        raise _Refused(f"{named} is not a host in the inventory; {hint}")
    _refuse_group(same[0], named, inventory)
    return same[0]


def _address(text: str) -> IPv6Address | None:
    # The scope after % may hold anything, so it could be a pattern.
    if ":" not in text or "%" in text:
        return None
    try:
        return IPv6Address(text)
    except ValueError:
        return None


@lru_cache(maxsize=4)
def _addresses(hosts: frozenset[str]) -> Mapping[IPv6Address, tuple[str, ...]]:
    found: dict[IPv6Address, tuple[str, ...]] = {}
    for host in sorted(hosts):
        if address := _address(host):
            found[address] = (*found.get(address, ()), host)
    return found


@lru_cache(maxsize=4)
def _in_order(hosts: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(hosts))


def _near_miss(name: str, hosts: frozenset[str]) -> str | None:
    # Only the neighbours in order are compared: a storm of unknown names must not cost a walk over the inventory each.
    ordered = _in_order(hosts)
    place = bisect(ordered, name)
    near = difflib.get_close_matches(name, ordered[max(0, place - 10) : place + 10], n=1, cutoff=0.7)
    return near[0] if near else None


def _quoted(text: str) -> str:
    """`text` in quotes, harmless in a log and on a page: escaped as Python does, and cut."""
    shown = "".join(_visible(character) for character in text[:_MAX_SHOWN])
    if len(shown) > _MAX_SHOWN or len(text) > _MAX_SHOWN:
        shown = shown[: _MAX_SHOWN - 1] + "…"
    return f'"{shown}"'


def _visible(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode()
