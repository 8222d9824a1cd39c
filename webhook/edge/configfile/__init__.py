"""alertmend.yml and the rule files to a `Config`, or every problem in all of them as file:line:column."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from webhook.core.confinement import Confinement, Credential
from webhook.core.escalation import Chain
from webhook.core.evidence import Policy
from webhook.core.heartbeat import Heartbeat
from webhook.core.httpconfig import Server
from webhook.core.placeholder import Unfit
from webhook.core.redaction import Redaction, RedactionError
from webhook.core.rule import Limits, Rule
from webhook.core.sentinel import SCHEMES, is_sentinel, parse_sentinels
from webhook.edge.configfile.alertmanagers import read_alertmanagers
from webhook.edge.configfile.checkpoints import Checkpoints, read_checkpoints
from webhook.edge.configfile.escalations import read_escalations
from webhook.edge.configfile.execution import read_credentials, read_execution
from webhook.edge.configfile.fields import known, read_mode, read_rate
from webhook.edge.configfile.glance import inventory_path as inventory_path
from webhook.edge.configfile.glance import refuse_to_change as refuse_to_change
from webhook.edge.configfile.guards import Names
from webhook.edge.configfile.heartbeat import read_heartbeat
from webhook.edge.configfile.intervals import read_time_intervals
from webhook.edge.configfile.rules import CheckVars, Playbooks, read_rules
from webhook.errors import Place, Problem
from webhook.httpconfig import read_server
from webhook.located import (
    Node,
    duration,
    existing_file,
    integer,
    items,
    load,
    mapping,
    otherwise,
    refuse,
    relative_path,
    string_list,
    text,
)
from webhook.world import Alertmanager

_TOP = {
    "mode",
    "inventory",
    "playbooks",
    "rule_files",
    "redis",
    "database",
    "receive",
    "limits",
    "time_intervals",
    "prometheus",
    "alertmanagers",
    "reconcile_interval",
    "redact",
    "ignore_labels",
    "escalations",
    "external_url",
    "execution",
    "credentials",
    "retention",
    "audit",
    "heartbeat",
}
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://", *SCHEMES)
_DATABASE_SCHEMES = ("postgresql://", "postgres://", "sqlite:///")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration, read and checked. Paths are absolute."""

    file: Path
    policy: Policy
    inventory: Path
    playbooks: Path
    rules: tuple[Rule, ...]
    #: Where the names of the rules stand.
    places: Mapping[str, Place]
    #: By name.
    chains: Mapping[str, Chain]
    ignore_labels: frozenset[str]
    #: Where people reach the pages; None: it was not said.
    external_url: str | None
    #: None: the embedded one.
    redis_url: str | None
    #: None: SQLite in the storage path.
    database_url: str | None
    max_body_bytes: int
    #: Where failures are escalated to, and what still fires is asked.
    alertmanagers: tuple[Alertmanager, ...]
    #: How often they are asked what fires.
    reconcile_interval: timedelta
    #: What may not be stored, nor shown.
    redaction: Redaction
    #: How long the record is kept; None: for ever.
    retention: timedelta | None
    checkpoints: Checkpoints
    #: Who gets signs of life; None: nobody.
    heartbeat: Heartbeat | None
    #: How playbooks are run.
    confinement: Confinement
    credentials: tuple[Credential, ...]


def read_config(
    path: Path,
    *,
    check_vars: CheckVars | None = None,
    groups: Collection[str] | None = None,
    has_tests: bool = False,
    has_runs: bool = True,
) -> Config:
    """The configuration in `path` with the rule files that it names.

    The rules' vars are checked if someone is given who can, and the groups that are named, if the inventory's are.

    A machine that `has_runs` has the secrets that they take; on another one they may be missing.

    A file that `has_tests` is one of rule tests: its playbooks need not be there, unless it says where they are.

    Raises:
        ConfigError: with every problem in all of the files.
    """
    problems: list[Problem] = []
    fields = known(
        load(path, problems),
        _TOP | {"tests"} if has_tests else _TOP,
        required={"inventory", "rule_files"},
    )
    playbooks = _folder(fields.get("playbooks"), path.parent / "playbooks")
    redis_url = _url(fields.get("redis"), _REDIS_SCHEMES)
    database_url = _url(fields.get("database"), _DATABASE_SCHEMES)
    receive = mapping(fields.get("receive"), known={"max_body_bytes", "max_queue_age"})
    time_intervals = read_time_intervals(fields.get("time_intervals"))
    chains = read_escalations(fields.get("escalations"), has_alertmanagers="alertmanagers" in fields)
    policy = Policy(
        ceiling=read_mode(fields.get("mode")),
        limits=_limits(fields.get("limits")),
        max_queue_age=otherwise(
            duration(receive.get("max_queue_age"), minimum=timedelta(seconds=1)), Policy().max_queue_age
        ),
        time_intervals=time_intervals,
    )
    max_body_bytes = otherwise(integer(receive.get("max_body_bytes"), minimum=1024, maximum=2**30), 4 * 1024 * 1024)
    inventory = _existing(fields.get("inventory"))
    rules, places = read_rules(
        fields.get("rule_files"),
        playbooks=Playbooks(folder=playbooks, check_vars=check_vars, must_exist=not has_tests or "playbooks" in fields),
        prometheus=_prometheus(fields.get("prometheus")),
        names=Names(time_intervals=time_intervals.keys(), escalations=chains.keys()),
        problems=problems,
    )
    alertmanagers = read_alertmanagers(fields.get("alertmanagers"))
    reconcile_interval = otherwise(
        duration(fields.get("reconcile_interval"), minimum=timedelta(seconds=1)), timedelta(minutes=1)
    )
    redaction = _redaction(fields.get("redact"))
    ignore_labels = frozenset(otherwise(string_list(fields.get("ignore_labels")), ()))
    external_url = _external_url(fields.get("external_url"))
    # Less than a day could remove what is still under way.
    retention = duration(fields.get("retention"), minimum=timedelta(days=1))
    checkpoints = read_checkpoints(fields.get("audit"))
    heartbeat = read_heartbeat(fields.get("heartbeat"), has_alertmanagers="alertmanagers" in fields)
    confinement = read_execution(fields.get("execution"))
    credentials = read_credentials(
        fields.get("credentials"),
        # A rule with a mistake is not among them.
        rules=None if problems else [rule.name for rule in rules],
        groups=groups,
        must_exist=has_runs,
    )
    refuse(problems)
    return Config(
        file=path.absolute(),
        policy=policy,
        inventory=inventory,
        playbooks=playbooks,
        rules=rules,
        places=places,
        chains=chains,
        ignore_labels=ignore_labels,
        external_url=external_url,
        redis_url=redis_url,
        database_url=database_url,
        max_body_bytes=max_body_bytes,
        alertmanagers=alertmanagers,
        reconcile_interval=reconcile_interval,
        redaction=redaction,
        retention=retention,
        checkpoints=checkpoints,
        heartbeat=heartbeat,
        confinement=confinement,
        credentials=credentials,
    )


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
    elif url is not None and is_sentinel(url):
        _check_sentinels(field, url)
    return url


def _check_sentinels(field: Node, url: str) -> None:
    try:
        parse_sentinels(url)
    except Unfit as error:
        field.report(str(error))


def _external_url(node: Node | None) -> str | None:
    url = text(node)
    if node is not None and url is not None and not url.startswith(("http://", "https://")):
        node.report("a URL that starts with http:// or https:// is needed")
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


def _redaction(node: Node | None) -> Redaction:
    patterns: list[str] = []
    for item in items(node):
        pattern = text(item)
        if pattern is None:
            continue
        try:
            patterns += Redaction((pattern,)).patterns
        except RedactionError as error:
            item.report(f"{pattern!r}: {error}")
    return Redaction(tuple(patterns))


def _prometheus(node: Node | None) -> Server | None:
    return None if node is None else read_server(mapping(node, known={"url", "http_config"}, required={"url"}))


def _limits(node: Node | None) -> Limits:
    fields = mapping(node, known={"concurrency", "rate_limit", "target_cooldown"})
    default = Limits()
    return Limits(
        concurrency=otherwise(integer(fields.get("concurrency"), minimum=1, maximum=256), default.concurrency),
        rate_limit=read_rate(fields["rate_limit"]) if "rate_limit" in fields else default.rate_limit,
        target_cooldown=otherwise(duration(fields.get("target_cooldown")), default.target_cooldown),
    )
