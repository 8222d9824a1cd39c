"""alertmend.yml and the rule files to a `Config`, or every problem in all of them as file:line:column."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from webhook.core.evidence import Policy
from webhook.core.matcher import Matcher, MatcherError, MatchType, parse_matcher
from webhook.core.rule import (
    CommandProbe,
    Guards,
    HttpProbe,
    Limits,
    Mode,
    Probe,
    ProbeKind,
    RateLimit,
    Rule,
    Step,
    TcpProbe,
    placeholders,
)
from webhook.errors import Problem
from webhook.located import (
    Node,
    any_text,
    choice,
    duration,
    existing_file,
    integer,
    items,
    load,
    mapping,
    otherwise,
    plain,
    rate,
    refuse,
    relative_path,
    string_list,
    text,
)

T = TypeVar("T")

#: Named by the interface and not built yet: refused with these words rather than accepted and ignored.
LATER = "is not supported by this version of alertmend"

_TOP = {"mode", "inventory", "playbooks", "rule_files", "redis", "database", "receive", "limits"}
_TOP_LATER = {
    "retention",
    "alertmanagers",
    "reconcile_interval",
    "ignore_labels",
    "redact",
    "time_intervals",
    "escalations",
}
_RULE = {"name", "match", "target", "mode", "probe", "resolve_within", "steps", "playbook", "vars", "timeout", "guards"}
_RULE_LATER = {"for", "require", "rollback", "approval", "give_up"}
_GUARDS = {"cooldown", "rate_limit", "rule_rate_limit", "concurrency"}
_GUARDS_LATER = {"lock", "max_targets", "mute_time_intervals", "active_time_intervals", "breaker"}
_PROBE_KINDS = {"http", "tcp", "command"}
_PROBE_KINDS_LATER = {"grpc", "promql", "dns"}
_PROBE = {"period", "timeout", "failure_threshold", "success_threshold", "within"} | _PROBE_KINDS

_RULE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_VAR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Variables that change where and how Ansible connects: a rule may set them only in the inventory.
_MAGIC = re.compile(
    r"ansible_.*|alertmend|inventory_hostname.*|group_names|groups|hostvars|omit|play_hosts|environment"
)
_MAX_RATE_COUNT = 10_000
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_DATABASE_SCHEMES = ("postgresql://", "postgres://", "sqlite:///")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration, read and checked. Paths are absolute."""

    file: Path
    policy: Policy
    inventory: Path
    playbooks: Path
    rules: tuple[Rule, ...]
    #: None: the embedded one.
    redis_url: str | None
    #: None: SQLite in the storage path.
    database_url: str | None
    max_body_bytes: int


def read_config(path: Path) -> Config:
    """The configuration in `path` with the rule files that it names.

    Raises:
        ConfigError: with every problem in all of the files.
    """
    problems: list[Problem] = []
    fields = _known(load(path, problems), _TOP, later=_TOP_LATER, required={"inventory", "rule_files"})
    playbooks = _folder(fields.get("playbooks"), path.parent / "playbooks")
    redis_url = _url(fields.get("redis"), _REDIS_SCHEMES)
    database_url = _url(fields.get("database"), _DATABASE_SCHEMES)
    receive = mapping(fields.get("receive"), known={"max_body_bytes", "max_queue_age"})
    policy = Policy(
        ceiling=_mode(fields.get("mode")),
        limits=_limits(fields.get("limits")),
        max_queue_age=otherwise(
            duration(receive.get("max_queue_age"), minimum=timedelta(seconds=1)), Policy().max_queue_age
        ),
    )
    max_body_bytes = otherwise(integer(receive.get("max_body_bytes"), minimum=1024, maximum=2**30), 4 * 1024 * 1024)
    inventory = _existing(fields.get("inventory"))
    rules = _rules(fields.get("rule_files"), playbooks=playbooks, problems=problems)
    refuse(problems)
    return Config(
        file=path.absolute(),
        policy=policy,
        inventory=inventory,
        playbooks=playbooks,
        rules=rules,
        redis_url=redis_url,
        database_url=database_url,
        max_body_bytes=max_body_bytes,
    )


def inventory_path(path: Path) -> Path | None:
    """Where a configuration that may be wrong elsewhere says that its inventory lies; None when it does not say."""
    node = mapping(load(path, [])).get("inventory")
    found = relative_path(node)
    return found.absolute() if found is not None and os.path.exists(found) else None


def _known(
    node: Node | None, known: Collection[str], *, later: Collection[str] = (), required: Collection[str] = ()
) -> dict[str, Node]:
    fields = mapping(node, known=set(known) | set(later), required=required)
    for name in [name for name in fields if name in later]:
        fields.pop(name).report(LATER)
    return fields


def _folder(node: Node | None, default: Path) -> Path:
    found = relative_path(node)
    if node is not None and found is not None and not os.path.isdir(found):
        node.report(f"there is no folder {str(found)!r}")
    return Path(os.path.realpath(found or default))


def _existing(node: Node | None) -> Path:
    found = relative_path(node)
    if node is not None and found is not None and not os.path.exists(found):
        node.report(f"there is no {str(found)!r}")
    # Not resolved: group_vars lie beside the inventory as it is named here.
    return (found or Path()).absolute()


def _url(node: Node | None, schemes: tuple[str, ...]) -> str | None:
    if node is None:
        return None
    fields = mapping(node, known={"url", "url_file"})
    if len(fields) != 1:
        node.report("give exactly one of url and url_file")
        return None
    (field,) = fields.values()
    url = text(field) if field.name == "url" else _secret(field)
    if url is not None and not url.startswith(schemes):
        # The URL is not repeated: there may be a password in it.
        field.report(f"a URL is needed that starts with {' or '.join(schemes)}")
    return url


def _secret(node: Node) -> str | None:
    file = existing_file(node)
    try:
        secret = file.read_text().strip() if file else None
    except (OSError, UnicodeDecodeError):
        secret = ""
    if secret is not None and (not secret or not secret.isprintable()):
        node.report("the file must hold one line of text")
        return None
    return secret


def _mode(node: Node | None) -> Mode:
    if node is not None and any_text(node) == "approve":
        node.report(f"the mode approve {LATER}; use observe or auto")
        return Mode.OBSERVE
    return otherwise(choice(node, Mode), Mode.AUTO)


def _rate(node: Node | None) -> RateLimit | None:
    found = rate(node)
    if node is None or found is None:
        return None
    count, per = found
    if count > _MAX_RATE_COUNT:
        node.report(f"at most {_MAX_RATE_COUNT} can be counted")
        return None
    return RateLimit(count=count, per=per)


def _limits(node: Node | None) -> Limits:
    fields = mapping(node, known={"concurrency", "rate_limit", "target_cooldown"})
    default = Limits()
    return Limits(
        concurrency=otherwise(integer(fields.get("concurrency"), minimum=1, maximum=256), default.concurrency),
        rate_limit=_rate(fields["rate_limit"]) if "rate_limit" in fields else default.rate_limit,
        target_cooldown=otherwise(duration(fields.get("target_cooldown")), default.target_cooldown),
    )


def _rules(node: Node | None, *, playbooks: Path, problems: list[Problem]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    named: dict[str, Node] = {}
    for item in items(node):
        for file in _rule_files(item):
            document = mapping(load(file, problems), known={"rules"}, required={"rules"})
            for rule in items(document.get("rules")):
                found = _rule(rule, playbooks=playbooks, named=named)
                rules += [found] if found else []
    return tuple(rules)


def _rule_files(node: Node) -> list[Path]:
    pattern = relative_path(node)
    if pattern is None:
        return []
    # What is written here is a pattern; the name of the folder that the file lies in is not.
    names = glob.glob(str(node.raw.value), root_dir=node.file.parent, recursive=True)
    found = sorted(node.file.parent / name for name in names)
    if not found:
        node.report(f"no file matches {str(pattern)!r}")
    return found


def _rule(node: Node, *, playbooks: Path, named: dict[str, Node]) -> Rule | None:
    before = len(node.problems)
    fields = _known(node, _RULE, later=_RULE_LATER, required={"name", "match"})
    name = _rule_name(fields.get("name"), named)
    matchers = tuple(matcher for item in items(fields.get("match")) if (matcher := _matcher(item)) is not None)
    if "match" in fields and not items(fields["match"]):
        fields["match"].report(
            "give at least one matcher; a rule that takes every alert must say so: 'alertname=~\".+\"'"
        )
    target = otherwise(text(fields.get("target")), "instance")
    steps = _steps(node, fields, playbooks=playbooks)
    probe = _probe(fields.get("probe"))
    resolve_within = duration(fields.get("resolve_within"), minimum=timedelta(seconds=1))
    rule = Rule(
        name=name,
        match=matchers,
        target=target,
        mode=_mode(fields.get("mode")),
        steps=steps,
        probe=probe,
        resolve_within=resolve_within,
        guards=_guards(fields.get("guards")),
    )
    return rule if len(node.problems) == before else None


def _rule_name(node: Node | None, named: dict[str, Node]) -> str:
    name = text(node)
    if node is None or name is None:
        return ""
    if not _RULE_NAME.fullmatch(name):
        node.report("a rule's name is made of letters, digits and _ . - and is at most 64 long")
    elif name in named:
        first = named[name]
        node.report(f"the rule {name!r} was given already in {first.file}:{first.line}")
    named.setdefault(name, node)
    return name


def _matcher(node: Node) -> Matcher | None:
    written = text(node)
    if written is None:
        return None
    try:
        return parse_matcher(written)
    except MatcherError as error:
        node.report(f"{written!r}, at character {error.position + 1}: {error}")
        return None


def _steps(node: Node, fields: Mapping[str, Node], *, playbooks: Path) -> tuple[Step, ...]:
    short = {name: fields[name] for name in ("playbook", "vars", "timeout") if name in fields}
    if "steps" in fields and short:
        fields["steps"].report("give either steps, or playbook and vars for a single one")
    if "steps" not in fields:
        if "playbook" not in fields:
            node.report("the key 'playbook' is missing (or 'steps', for several)")
            return ()
        return (_step(short, playbooks=playbooks),)
    written = items(fields["steps"])
    if not written:
        fields["steps"].report("give at least one step")
    steps = [_known(item, {"playbook", "vars", "timeout"}, later={"mode"}, required={"playbook"}) for item in written]
    return tuple(_step(step, playbooks=playbooks) for step in steps)


def _step(fields: Mapping[str, Node], *, playbooks: Path) -> Step:
    return Step(
        playbook=_playbook(fields.get("playbook"), playbooks=playbooks),
        vars=_vars(fields.get("vars")),
        timeout=otherwise(duration(fields.get("timeout"), minimum=timedelta(seconds=1)), timedelta(minutes=5)),
    )


def _playbook(node: Node | None, *, playbooks: Path) -> str:
    name = text(node)
    if node is None or name is None:
        return ""
    found = Path(os.path.realpath(playbooks / name)) if "\0" not in name else playbooks
    if placeholders(name):
        node.report("a playbook's name is fixed; nothing is replaced in it")
    elif not found.is_relative_to(playbooks) or found == playbooks:
        node.report(f"only playbooks below {str(playbooks)!r} can be run")
    elif not os.path.isfile(found):
        node.report(f"there is no playbook {name!r} below {str(playbooks)!r}")
    return name


def _vars(node: Node | None) -> Mapping[str, object]:
    for name, value in mapping(node).items():
        if not _VAR_NAME.fullmatch(name):
            value.report("a variable's name is made of letters, digits and _")
        elif _MAGIC.fullmatch(name):
            value.report("this variable decides how and where Ansible connects; it belongs in the inventory")
    found: Any = plain(node) if node is not None else {}
    return found if isinstance(found, dict) else {}


def _probe(node: Node | None) -> Probe | None:
    if node is None:
        return None
    fields = _known(node, _PROBE, later=_PROBE_KINDS_LATER)
    kinds = [name for name in fields if name in _PROBE_KINDS]
    if len(kinds) != 1:
        node.report("give exactly one of http, tcp and command")
        return None
    kind = _PROBE_READERS[kinds[0]](fields[kinds[0]])
    if kind is None:
        return None
    default = Probe(kind=kind)
    at_least = timedelta(milliseconds=10)
    return Probe(
        kind=kind,
        period=otherwise(duration(fields.get("period"), minimum=at_least), default.period),
        timeout=otherwise(duration(fields.get("timeout"), minimum=at_least), default.timeout),
        failure_threshold=_threshold(fields.get("failure_threshold"), default.failure_threshold),
        success_threshold=_threshold(fields.get("success_threshold"), default.success_threshold),
        within=otherwise(duration(fields.get("within")), default.within),
    )


def _threshold(node: Node | None, default: int) -> int:
    return otherwise(integer(node, minimum=1, maximum=1000), default)


def _http(node: Node) -> ProbeKind | None:
    fields = _known(node, {"url", "method", "status", "body_regex"}, later={"json", "tls"}, required={"url"})
    url = text(fields.get("url"))
    if url is not None and not url.startswith(("http://", "https://")):
        fields["url"].report("a URL that starts with http:// or https:// is needed")
    status = tuple(
        number
        for item in items(fields.get("status"))
        if (number := integer(item, minimum=100, maximum=599)) is not None
    )
    default = HttpProbe(url="")
    return HttpProbe(
        url=url or "",
        method=otherwise(text(fields.get("method")), default.method).upper(),
        status=status or default.status,
        body_regex=_regex(fields.get("body_regex")),
    )


def _regex(node: Node | None) -> str | None:
    written = text(node)
    if node is None or written is None:
        return None
    try:
        Matcher(name="body", type=MatchType.REGEX, value=written)
    except MatcherError as error:
        node.report(str(error))
    return written


def _tcp(node: Node) -> ProbeKind | None:
    fields = mapping(node, known={"address"}, required={"address"})
    address = text(fields.get("address"))
    if address is not None and ":" not in address:
        fields["address"].report("an address with a port is needed, like '$target:443'")
    return TcpProbe(address=address or "")


def _command(node: Node) -> ProbeKind | None:
    fields = mapping(node, known={"argv"}, required={"argv"})
    argv = otherwise(string_list(fields.get("argv")), ())
    if "argv" in fields and not argv:
        fields["argv"].report("give the program and its arguments as a list")
    if argv and placeholders(argv[0]):
        fields["argv"].report("the program is fixed; nothing is replaced in its name")
    return CommandProbe(argv=argv)


_PROBE_READERS = {"http": _http, "tcp": _tcp, "command": _command}


def _guards(node: Node | None) -> Guards:
    fields = _known(node, _GUARDS, later=_GUARDS_LATER)
    return Guards(
        cooldown=otherwise(duration(fields.get("cooldown")), timedelta(0)),
        rate_limit=_rate(fields.get("rate_limit")),
        rule_rate_limit=_rate(fields.get("rule_rate_limit")),
        concurrency=integer(fields.get("concurrency"), minimum=1, maximum=256),
    )
