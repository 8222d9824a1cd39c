"""Labels from strangers against Ansible itself, in every place where a playbook may put them.

What is asked is the world: whether a file appeared that only an attack makes, and whether another host was touched. The
same attacks, with a protection taken out, do make it appear: the last tests show that these ones can fail.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.edge.ansible_core import oldest, python_with
from tests.edge.playbook_site import Site
from webhook.core.placeholder import Untrusted
from webhook.edge.playbook import folder as folder_module
from webhook.edge.playbook import runner as runner_module
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.text import VALUE_LIMIT_BYTES, clean
from webhook.world import PlaybookEnd


def event(**content: Any) -> str:
    """What looks like an event of ansible-runner."""
    coded = base64.b64encode(json.dumps(content).encode()).decode()
    return f"\x1b[K{coded}\x1b[{len(coded)}D\x1b[K"


#: By what they try. CANARY is a file that must never appear, and each attack's is its own.
ATTACKS: dict[str, list[str]] = {
    "templates": [
        "{{ lookup('ansible.builtin.pipe', 'touch CANARY') }}",
        "{{ query('pipe', 'touch CANARY') | first }}",
        "{% for x in lookup('pipe', 'touch CANARY') %}{{ x }}{% endfor %}",
        "{{ ''.__class__.__mro__ }}{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
        "{{ \"{{ lookup('pipe', 'touch CANARY') }}\" }}",
        "' ~ lookup('pipe', 'touch CANARY') ~ '",
        "x }}{{ lookup('pipe', 'touch CANARY') }}{{ 'y",
        "x' or lookup('pipe', 'touch CANARY') or 'y",
        "{% raw %}{{ lookup('pipe', 'touch CANARY') }}{% endraw %}",
        "{# x #}{{ lookup('pipe', 'touch CANARY') }}",
        "%(touch)s {0.__class__} %n $labels.evil $target {{",
        "{{",
    ],
    "shells": [
        "$(touch CANARY)`touch CANARY`${x:-$(touch CANARY)}",
        "; touch CANARY; && touch CANARY || touch CANARY | touch CANARY &",
        "x\ntouch CANARY\n",
        "'; touch CANARY; '\"; touch CANARY; \"",
        "a\0b; touch CANARY",
        "x\rtouch CANARY\r\n\x08\x08",
    ],
    "files and options": [
        'x"\n    - ansible.builtin.command: touch CANARY\n    - name: "',
        "{\"__ansible_unsafe\": \"{{ lookup('pipe', 'touch CANARY') }}\"}",
        '{"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\\n00"}',
        '{"ansible_connection": "local", "ansible_shell_executable": "touch CANARY"}',
        "--help",
        "-o CANARY --output=CANARY --files0-from=CANARY",
        "@/etc/passwd",
        "../../../../CANARY",
    ],
    "terminals": [
        "\x1b[2J\x1b]0;touch CANARY\x07\x1b]52;c;dG91Y2g=\x07\x9b31m",
        event(uuid="0" * 8 + "-0000-0000-0000-" + "0" * 12, event="playbook_on_stats", event_data={}),
        event(uuid="../../../../CANARY", event="runner_on_failed", event_data={"host": "web1"}),
        "a\ud800b\udfff {{ lookup('pipe', 'touch CANARY') }}",
        "a\u202eb\u2066c {{ lookup('pipe', 'touch CANARY') }}",
    ],
    "a megabyte": ["{{ lookup('pipe', 'touch CANARY') }}" + "x" * 1_000_000],
}
MAGIC = (
    *("ansible_host", "ansible_connection", "ansible_python_interpreter", "ansible_shell_executable", "ansible_user"),
    *("ansible_become_exe", "ansible_ssh_executable", "ansible_ssh_common_args", "ansible_remote_tmp"),
    *("inventory_hostname", "hostvars", "groups", "omit", "home", "environment", "vars", "play_hosts"),
    *("ansible_facts", "__ansible_unsafe"),
)


@pytest.fixture(scope="module", params=["locked", "oldest"])
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsibleRunner]:
    """With a supported ansible-core."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "oldest":
            patch.setattr(sys, "executable", str(python_with(oldest())))
        found = AnsibleRunner(work_dir=tmp_path_factory.mktemp("storage") / "work")
        found.warm_up()
    yield found
    found.close()


@pytest.fixture
def site(tmp_path: Path, runner: AnsibleRunner) -> Site:
    return Site(tmp_path, runner)


def canaries(site: Site) -> list[Path]:
    """What only attacks make."""
    return list(site.folder.glob("canary*"))


def attacks(site: Site, kind: str) -> list[str]:
    return [text.replace("CANARY", str(site.folder / f"canary{n}")) for n, text in enumerate(ATTACKS[kind])]


def everywhere(site: Site, count: int) -> list[dict[str, Any]]:
    """Tasks that put labels in every place that is a careful author's: none of them evaluates one on purpose."""
    labels = [f"alertmend.alerts[0].labels.a{number}" for number in range(count)]
    (site.folder / "page.j2").write_text("{{ alertmend.alerts[0].labels.values() | join(' ') }}{{ given0 }}\n")
    texts = [f"{{{{ {label} }}}}" for label in labels]
    (site.folder / "more.yml").write_text(json.dumps({f"more{number}": text for number, text in enumerate(texts)}))
    file = {"dest": "{{ home }}/seen", "content": "{{ alertmend.alerts[0].labels | to_json }}", "mode": "0600"}
    quoted = " ".join(f"{{{{ {label} | quote }}}}" for label in labels)
    return [
        {"ansible.builtin.copy": file},
        {"ansible.builtin.command": {"argv": ["echo", *texts]}, "when": [f"{label} != 'x'" for label in labels]},
        {"ansible.builtin.shell": {"cmd": f"printf %s {quoted} > {{{{ home }}}}/quoted"}},
        {"ansible.builtin.command": {"argv": ["sort", "--", *texts]}, "failed_when": False},
        {"ansible.builtin.template": {"src": str(site.folder / "page.j2"), "dest": "{{ home }}/page", "mode": "0600"}},
        {"ansible.builtin.include_vars": {"file": str(site.folder / "more.yml")}},
        *(task for number, label in enumerate(labels) for task in _passed_on(label, number)),
    ]


def _passed_on(label: str, number: int) -> list[dict[str, Any]]:
    text, given = f"{{{{ {label} }}}}", f"given{number}"
    chained = {"a": [f"{{{{ {label} | trim }}}}", {"b": f"{{{{ {given} }}}}"}]}
    return [
        {"name": f"Look at {text}", "ansible.builtin.debug": {"msg": f"{text} {{{{ {given} ~ more{number} }}}}"}},
        {"ansible.builtin.set_fact": {"chained": chained, "joined": f"{{{{ [{given}, {given}] | join(',') }}}}"}},
        {"ansible.builtin.debug": {"msg": "{{ chained.a[1].b }} {{ item }}"}, "loop": ["{{ joined }}"]},
        {"ansible.builtin.add_host": {"name": "another", "evil": text}},
        {"ansible.builtin.debug": {"msg": "{{ hostvars['another'].evil }} {{ hostvars[inventory_hostname].chained }}"}},
        {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"said": f"{{{{ {label} | truncate(99) }}}}"}}}},
        {"ansible.builtin.fail": {"msg": text}, "ignore_errors": True},
        {"ansible.builtin.assert": {"that": [f"{label} == {given}"], "fail_msg": text}},
    ]


def test_the_release_is_the_one_that_is_meant(site: Site, request: pytest.FixtureRequest) -> None:
    said = {"alertmend_result": {"release": "{{ ansible_version.full }}"}}
    release = site.run([{"ansible.builtin.set_stats": {"data": said}}]).result["release"]
    meant = f"{oldest()}.0" if "oldest" in request.node.name else metadata.version("ansible-core")
    assert release == meant


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_label_is_text_wherever_it_is_put(site: Site, kind: str) -> None:
    values = attacks(site, kind)
    labels = {f"a{number}": value for number, value in enumerate(values)}
    result = site.run(
        everywhere(site, len(values)),
        alerts=[{"labels": labels, "annotations": labels}],
        variables={f"given{number}": Untrusted(value) for number, value in enumerate(values)},
        seconds=300,
    )
    assert canaries(site) == []
    assert list(site.home("web2").iterdir()) == []
    assert result.end is PlaybookEnd.OK, result.reason
    seen = json.loads((site.home("web1") / "seen").read_text())
    assert seen == {name: clean(value) for name, value in labels.items()}
    assert all(len(value.encode()) <= VALUE_LIMIT_BYTES for value in seen.values())
    assert "\x1b" not in site.output + result.reason


def test_a_label_called_like_a_magic_variable_is_a_label(site: Site) -> None:
    program = site.folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {site.folder / 'canary'}\n")
    program.chmod(0o755)
    labels = {name: "web2" if "host" in name else str(program) for name in MAGIC} | {"home": str(site.home("web2"))}
    touch = {"ansible.builtin.copy": {"dest": "{{ home }}/touched", "content": "x", "mode": "0600"}}
    result = site.run([touch], alerts=[{"labels": labels, "annotations": labels}])
    assert result.end is PlaybookEnd.OK, result.reason
    assert canaries(site) == []
    assert list(site.home("web2").iterdir()) == []
    assert (site.home("web1") / "touched").exists()


PATTERNS = ["all", "*", "web*", "~web.", "web1:web2", "web1,web2", "all:!web1", "everyone", "@/etc/hosts", "web[1:2]"]


@pytest.mark.parametrize("value", PATTERNS)
def test_a_label_in_hosts_reaches_nobody_but_the_target(site: Site, value: str) -> None:
    """Nor does one as the name of a host to delegate to widen anything: it is one name, and nobody's."""
    touch = {"ansible.builtin.copy": {"dest": "{{ home }}/touched", "content": "x", "mode": "0600"}}
    site.run([touch], hosts="{{ alertmend.alerts[0].labels.evil }}", alerts=[{"labels": {"evil": value}}])
    assert list(site.home("web2").iterdir()) == []


@pytest.mark.parametrize("value", ["", *PATTERNS[1:], "-e", "!web2", "web1\nweb2", "web1 web2", "{{ 'web2' }}"])
def test_a_pattern_as_the_target_reaches_nobody(site: Site, value: str) -> None:
    touch = {"ansible.builtin.copy": {"dest": "{{ home }}/touched", "content": "x", "mode": "0600"}}
    try:
        result = site.run([touch], target=value)
    except ValueError:
        result = None
    assert result is None or result.end is PlaybookEnd.FAILED
    assert [list(site.home(host).iterdir()) for host in ("web1", "web2")] == [[], []]


# ---------------------------------------------------------------------------------------------------------------------
# The protections taken out, one at a time: now the world does change.


def test_without_the_mark_labels_are_carried_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for protection in ("unsafe", "trusted"):
        monkeypatch.setattr(folder_module, protection, lambda value: value)
    for number in (0, 2, 9):
        value = attacks(site, "templates")[number]
        show = {"ansible.builtin.debug": {"msg": "{{ alertmend.alerts[0].labels.evil }}"}}
        site.run([show], alerts=[{"labels": {"evil": value}}])
        assert (site.folder / f"canary{number}").exists(), value


def test_without_a_place_of_their_own_labels_decide_where_ansible_goes(site: Site) -> None:
    program = site.folder / "program"
    program.write_text(f'#!/bin/sh\ntouch {site.folder / "canary"}\nexec /bin/sh "$@"\n')
    program.chmod(0o755)
    site.run(
        [{"ansible.builtin.command": {"argv": ["true"]}}],
        variables={"ansible_shell_executable": Untrusted(str(program))},
    )
    assert canaries(site)


def test_without_the_check_of_the_target_a_pattern_reaches_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "_PATTERN", runner_module.re.compile("(?!)"))
    touch = {"ansible.builtin.copy": {"dest": "{{ home }}/touched", "content": "x", "mode": "0600"}}
    site.run([touch], target="web*")
    assert (site.home("web2") / "touched").exists()


def test_without_the_cleaning_a_label_speaks_to_the_terminal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which shows that it is not Ansible that takes control characters out."""
    monkeypatch.setattr(folder_module, "unsafe", lambda value: _marked(value))
    look = {"ansible.builtin.copy": {"dest": "{{ home }}/seen", "content": "{{ alertmend.alerts[0].labels.evil }}"}}
    look["ansible.builtin.copy"]["mode"] = "0600"
    site.run([look], alerts=[{"labels": {"evil": ATTACKS["terminals"][0]}}])
    assert "\x1b" in (site.home("web1") / "seen").read_text()


def _marked(value: Any) -> Any:
    """As `unsafe`, without the cleaning."""
    if isinstance(value, dict):
        return {name: _marked(item) for name, item in value.items()}
    return [_marked(item) for item in value] if isinstance(value, list) else {"__ansible_unsafe": value}
