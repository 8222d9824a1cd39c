"""What our files may hold, as JSON Schema: for an editor that completes keys and underlines what is wrong.

`alertmend check` knows more: what a schema cannot say, such as whether a playbook is there, is said by it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from webhook.core.guard import NAMES as GUARDS
from webhook.core.rule import Mode
from webhook.core.run import Outcome
from webhook.core.verdict import Choice
from webhook.probing import kind_names

Schema = Mapping[str, Any]


class File(StrEnum):
    """The kinds of files that people write for alertmend."""

    ALERTMEND = "alertmend"
    RULES = "rules"
    TESTS = "tests"
    WEB = "web"


def _text(words: str, pattern: str | None = None) -> Schema:
    return {"type": "string", "minLength": 1, "description": words} | ({"pattern": pattern} if pattern else {})


def _number(minimum: int, maximum: int) -> Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def _one_of(*names: str) -> Schema:
    return {"enum": list(names)}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _mapping_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def _keys(required: Sequence[str] = (), /, **known: Schema) -> Schema:
    """A mapping that holds these keys and no others. What Python has a word for itself ends in `_`."""
    properties = {name.rstrip("_"): schema for name, schema in known.items()}
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _exactly_one(schema: Schema, *names: str) -> Schema:
    return {**schema, "oneOf": [{"required": [name]} for name in names]}


ANY: Final[Schema] = {}
FLAG: Final[Schema] = {"type": "boolean"}
STRING: Final = _text("a text that is not empty")
WORD: Final[Schema] = {"anyOf": [STRING, {"type": "integer"}]}
PATH: Final = _text("a file or folder, relative to this file")
LABEL: Final = _text("the name of a label")
TEMPLATE: Final = _text("a text in which $target, $labels.NAME and $annotations.NAME are replaced")
URL: Final = _text("a URL", r"^[a-z][a-z0-9+.-]*://")
REGEX: Final = _text("an RE2 expression")
MATCHER: Final = _text('a matcher in Alertmanager\'s grammar, such as job="web"')
_SPAN: Final = r"([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?"
DURATION: Final[Schema] = {
    "anyOf": [_text("a duration, such as 90s or 1h30m", f"^(?!$){_SPAN}$"), _text("none", "^0$"), {"const": 0}]
}
RATE: Final = _text("a count and a duration, such as 3/6h", f"^[0-9]+/(?!$){_SPAN}$")
SIZE: Final[Schema] = {
    "anyOf": [_text("a number of bytes, such as 512MiB", r"^[0-9]+ ?[KMGT]?i?B?$"), {"type": "integer"}]
}
SHARE: Final[Schema] = {"anyOf": [_text("a share of the inventory group", "^[0-9]+%$"), _number(1, 1_000_000)]}
MODE: Final = _one_of(*(mode.value for mode in Mode))
TLS_VERSION: Final = _one_of("TLS12", "TLS13")

_TLS_FILES: Final[Mapping[str, Schema]] = {
    "ca_file": PATH,
    "cert_file": PATH,
    "key_file": PATH,
    "server_name": TEMPLATE,
}
_TLS: Final = _keys(**_TLS_FILES, insecure_skip_verify=FLAG, min_version=TLS_VERSION)
_HTTP_CONFIG: Final = _keys(
    basic_auth=_keys(["username"], username=STRING, password_file=PATH, password=STRING),
    authorization=_keys(type=STRING, credentials_file=PATH, credentials=STRING),
    tls_config=_TLS,
    follow_redirects=FLAG,
)
_ROLES: Final = _keys(viewer=_list_of(STRING), operator=_list_of(STRING))
_ADDRESS: Final = _exactly_one(_keys(url=URL, url_file=PATH), "url", "url_file")
_INTERVAL: Final = _keys(
    times=_list_of(_keys(["start_time", "end_time"], start_time=STRING, end_time=STRING)),
    weekdays=_list_of(STRING),
    days_of_month=_list_of(WORD),
    months=_list_of(WORD),
    years=_list_of(WORD),
    location=STRING,
)
_ESCALATION_STEP: Final = _exactly_one(
    _keys(alertmanager=_keys(labels=_mapping_of(WORD)), wait=DURATION, webhook=_ADDRESS),
    *("alertmanager", "wait", "webhook"),
)
_EXECUTION: Final = _keys(
    warm=FLAG,
    limits=_keys(
        cpu=DURATION,
        memory=SIZE,
        open_files=_number(64, 1_048_576),
        processes=_number(16, 4_194_304),
        file_size=SIZE,
    ),
    process_isolation=_keys(
        ["container_image"], container_image=STRING, executable=_one_of("podman", "docker"), options=_list_of(STRING)
    ),
)
_CREDENTIALS: Final = _keys(
    ["name"],
    name=STRING,
    groups=_list_of(STRING),
    rules=_list_of(STRING),
    vault_password_file=PATH,
    ssh_private_key_file=PATH,
    connection_password_file=PATH,
    become_password_file=PATH,
)
_SETTINGS: Final[Mapping[str, Schema]] = {
    "mode": MODE,
    "inventory": PATH,
    "playbooks": PATH,
    "rule_files": _list_of(PATH),
    "redis": _ADDRESS,
    "database": _ADDRESS,
    "retention": DURATION,
    "audit": _keys(checkpoint_interval=DURATION, signing_key_file=PATH),
    "receive": _keys(max_body_bytes=_number(1024, 1_073_741_824), max_queue_age=DURATION),
    "limits": _keys(concurrency=_number(1, 256), rate_limit=RATE, target_cooldown=DURATION),
    "alertmanagers": _list_of(_keys(["url"], url=URL, http_config=_HTTP_CONFIG, receiver=STRING)),
    "reconcile_interval": DURATION,
    "redact": _list_of(REGEX),
    "prometheus": _keys(["url"], url=URL, http_config=_HTTP_CONFIG),
    "time_intervals": _list_of(_keys(["name", "time_intervals"], name=STRING, time_intervals=_list_of(_INTERVAL))),
    "ignore_labels": _list_of(LABEL),
    "heartbeat": _keys(interval=DURATION, alertmanager=_keys(labels=_mapping_of(WORD)), webhook=_ADDRESS),
    "escalations": _list_of(_keys(["name", "steps"], name=STRING, steps=_list_of(_ESCALATION_STEP))),
    "execution": _EXECUTION,
    "credentials": _list_of(_CREDENTIALS),
    "external_url": URL,
}
_KINDS: Final[Mapping[str, Schema]] = {
    "http": _keys(
        ["url"],
        url=TEMPLATE,
        method=STRING,
        status=_list_of(_number(100, 599)),
        body_regex=REGEX,
        json=_keys(["path", "equals"], path=STRING, equals=ANY),
        tls=_TLS,
    ),
    "tcp": _keys(["address"], address=TEMPLATE),
    "command": _keys(["argv"], argv=_list_of(TEMPLATE)),
    "grpc": _keys(["address"], address=TEMPLATE, service={"type": "string"}, tls=_keys(**_TLS_FILES)),
    "promql": _keys(["expr"], expr=TEMPLATE, url=URL, http_config=_HTTP_CONFIG),
    "dns": _keys(["name"], name=TEMPLATE, expect=_list_of(TEMPLATE), server=TEMPLATE),
}
_GUARDS: Final = _keys(
    cooldown=DURATION,
    rate_limit=RATE,
    rule_rate_limit=RATE,
    concurrency=_number(1, 256),
    lock=_list_of(TEMPLATE),
    max_targets=SHARE,
    mute_time_intervals=_list_of(STRING),
    active_time_intervals=_list_of(STRING),
    breaker=_keys(["failures", "window", "open_for"], failures=_number(1, 1000), window=DURATION, open_for=DURATION),
)
_STEP: Final = _keys(["playbook"], playbook=PATH, vars=_mapping_of(ANY), timeout=DURATION, mode=MODE)


def schema_of(file: File) -> Schema:
    """The schema of a kind of file."""
    found = {
        File.ALERTMEND: lambda: _keys(["inventory", "rule_files"], **_SETTINGS),
        File.RULES: lambda: _keys(["rules"], rules=_list_of(_rule())),
        File.TESTS: lambda: _keys(["inventory", "rule_files", "tests"], **_SETTINGS, tests=_list_of(_test())),
        File.WEB: _web,
    }[file]()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"alertmend: {file}", **found}


def _rule() -> Schema:
    return _exactly_one(
        _keys(
            ["name", "match"],
            name=_text("letters, digits and _ . -", r"^[A-Za-z0-9_.-]{1,64}$"),
            match=_list_of(MATCHER),
            target=LABEL,
            mode=MODE,
            for_=DURATION,
            require=_list_of(_probe()),
            probe=_probe(
                period=DURATION,
                failure_threshold=_number(1, 1000),
                success_threshold=_number(1, 1000),
                within=DURATION,
            ),
            resolve_within=DURATION,
            steps=_list_of(_STEP),
            playbook=PATH,
            vars=_mapping_of(ANY),
            timeout=DURATION,
            rollback=PATH,
            guards=_GUARDS,
            approval=_keys(count=_number(1, 20), expires=DURATION),
            give_up=_keys(playbook=PATH, escalate=STRING),
        ),
        *("playbook", "steps"),
    )


def _probe(**timing: Schema) -> Schema:
    kinds = {name: _KINDS.get(name, _mapping_of(ANY)) for name in kind_names()}
    return _exactly_one(_keys(**kinds, timeout=DURATION, **timing), *kinds)


def _test() -> Schema:
    answers = _list_of(_keys(["at", "healthy"], at=DURATION, healthy=FLAG, target=STRING))
    performance = _keys(outcome=_one_of("ok", "failed", "timeout"), takes=DURATION)
    return _keys(
        ["name", "alerts", "expect"],
        name=STRING,
        start=STRING,
        alerts=_list_of(
            _keys(
                ["at", "labels"],
                at=DURATION,
                status=_one_of("firing", "resolved"),
                labels=_mapping_of(STRING),
                annotations=_mapping_of({"type": "string"}),
            )
        ),
        probes=answers,
        require=answers,
        playbooks=_mapping_of({"anyOf": [performance, _list_of(performance)]}),
        approvals=_list_of(_keys(["at", "by", "approve"], at=DURATION, by=STRING, approve=FLAG)),
        pauses=_list_of(_keys(["at", "for"], at=DURATION, for_=DURATION, match=_list_of(MATCHER))),
        expect=_list_of(_expectation()),
    )


def _expectation() -> Schema:
    return _keys(
        ["at"],
        at=DURATION,
        rule=STRING,
        target=STRING,
        decision=_one_of(*(choice.value for choice in Choice), "none"),
        guard=_one_of(*GUARDS),
        reason=STRING,
        outcome=_one_of(*(outcome.value for outcome in Outcome)),
        escalated=STRING,
    )


def _web() -> Schema:
    return _keys(
        tls_server_config=_keys(
            ["cert_file", "key_file"],
            cert_file=PATH,
            key_file=PATH,
            client_ca_file=PATH,
            client_auth_type=_one_of("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"),
            min_version=TLS_VERSION,
        ),
        basic_auth_users=_mapping_of(_text("a bcrypt hash", r"^\$2[aby]\$")),
        roles=_ROLES,
        receiver_tokens_files=_list_of(PATH),
        oidc=_keys(
            ["issuer", "client_id", "redirect_url", "roles"],
            issuer=URL,
            client_id=STRING,
            client_secret_file=PATH,
            redirect_url=URL,
            scopes=_list_of(STRING),
            username_claim=STRING,
            roles_claim=STRING,
            roles=_ROLES,
            tls_config=_TLS,
        ),
        proxy=_keys(["trusted"], trusted=_list_of(STRING), user_header=STRING, groups_header=STRING, roles=_ROLES),
        session=_keys(lifetime=DURATION, key_file=PATH),
    )
