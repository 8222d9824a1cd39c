"""From warm, a playbook finds what it would find from cold: settings, plugins, environment, chance."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.edge.playbook_site import Site, marked, until
from webhook.core.confinement import Confinement
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.edge.playbook.warm import Warm
from webhook.world import PlaybookEnd, PlaybookResult


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with an ansible.cfg and a home of its own."""
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "HOME": str(tmp_path / "home")}
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work", environment=environment))
    yield found
    found.runner.close()


def both(site: Site, tasks: list[dict[str, Any]], **given: Any) -> tuple[PlaybookResult, PlaybookResult]:
    """What comes of the same playbook from cold and from warm, with its output as the reason."""
    found = []
    for warm in (False, True):
        job = site.job(tasks, **given)
        result = site.play(replace(job, confinement=Confinement(warm=warm)))
        assert "started cold" not in result.reason
        output = site.output.replace(job.run, "RUN").replace(job.playbook.name, "PLAY")
        output = re.sub(r"run-[a-z0-9_]{8}|ansible-(local|tmp)-[-.0-9a-z_]+|\d+\.\d{4,}", "X", output)
        found.append(replace(result, reason=output, first_task_at=None))
    return found[0], found[1]


LOOK = """
import json, os, resource, signal, sys, locale
said = {
    "environment": dict(os.environ), "folder": os.getcwd(), "umask": os.umask(0), "open": os.listdir("/proc/self/fd"),
    "terminal": [os.isatty(n) for n in range(3)], "limits": [resource.getrlimit(n) for n in range(16)],
    "signals": [str(signal.getsignal(n)) for n in (1, 2, 13, 15, 17)], "groups": os.getgroups(),
    "blocked": [line for line in open("/proc/self/status") if line.startswith("Sig")],
}
print(json.dumps(said, indent=1, sort_keys=True))
"""


def test_the_world_looks_the_same(site: Site) -> None:
    (site.folder / "look.py").write_text(LOOK)
    show = [
        {"ansible.builtin.command": {"argv": ["{{ ansible_playbook_python }}", str(site.folder / "look.py")]}},
        {"ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', 'env | sort; pwd; umask; ulimit -a') }}"}},
        {"ansible.builtin.debug": {"var": "ansible_version"}},
        {
            "ansible.builtin.debug": {
                "msg": "{{ [ansible_playbook_python, ansible_config_file, playbook_dir, ansible_limit] }}"
            }
        },
        {"ansible.builtin.command": {"argv": ["no-such-program"]}, "ignore_errors": True},
        {"ansible.builtin.set_fact": {"a": "{{ [1, 2] | map('string') | join(',') | b64encode | hash('md5') }}"}},
        {"ansible.builtin.assert": {"that": ["a is match('[0-9a-f]{32}')"]}},
        {"ansible.builtin.fail": {"msg": "{{ nothing_of_that_name }}"}},
    ]
    show[0]["register"] = "looked"
    show.insert(1, {"ansible.builtin.debug": {"var": "looked.stdout_lines"}})
    cold, warm = both(site, show)
    assert warm == cold
    assert "ALERTMEND_RUN=RUN" in warm.reason


PLUGINS = {
    "filter_plugins/mine.py": (
        "class FilterModule:\n    def filters(self):\n        return {'mine': lambda x: 'MINE'}\n"
    ),
    "action_plugins/debug.py": (
        "from ansible.plugins.action import ActionBase\nclass ActionModule(ActionBase):\n"
        "    def run(self, tmp=None, task_vars=None):\n        return {'msg': 'MINE ' + self._task.args['msg']}\n"
    ),
    "connection_plugins/local.py": (
        "DOCUMENTATION = '''\nname: local\ndescription: x\nshort_description: x\noptions: {}\n'''\n"
        "import importlib.util as util, ansible.plugins.connection as package\n"
        "spec = util.spec_from_file_location('original', package.__path__[0] + '/local.py')\n"
        "original = util.module_from_spec(spec)\nspec.loader.exec_module(original)\n"
        "class Connection(original.Connection):\n    transport = 'local'\n"
        "    def exec_command(self, cmd, *a, **k):\n        open('{touch}', 'a').write('x')\n"
        "        return super().exec_command(cmd, *a, **k)\n"
    ),
    "library/command.py": (
        "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n"
        "from ansible.module_utils.mine import WORD\n"
        "m = AnsibleModule({'argv': {'type': 'list'}})\nm.exit_json(changed=False, stdout=WORD)\n"
    ),
    "module_utils/mine.py": "WORD = 'MINE'\n",
    "lookup_plugins/env.py": (
        "from ansible.plugins.lookup import LookupBase\nclass LookupModule(LookupBase):\n"
        "    def run(self, terms, variables=None, **k):\n        return ['MINE']\n"
    ),
}


def test_an_operators_own_plugin_comes_before_ansibles_of_that_name_and_a_change_is_noticed(site: Site) -> None:
    touch = site.folder / "touched"
    for name, content in PLUGINS.items():
        (site.folder / name).parent.mkdir()
        (site.folder / name).write_text(content.replace("{touch}", str(touch)))
    tasks: list[dict[str, Any]] = [
        {"debug": {"msg": "{{ 'x' | mine }} {{ lookup('env', 'HOME') }}"}, "register": "shown"},
        {"command": {"argv": ["true"]}, "register": "said"},
        {"set_stats": {"data": {"alertmend_result": {"said": ["{{ shown.msg }}", "{{ said.stdout }}"]}}}},
    ]
    cold, warm = both(site, tasks)
    assert warm == cold
    assert warm.result == {"said": ["MINE MINE MINE", "MINE"]}
    assert touch.exists()
    mine = site.folder / "module_utils/mine.py"
    mine.write_text("WORD = 'YOURS'\n")
    cold, warm = both(site, tasks)
    assert warm == cold
    assert warm.result["said"] == ["MINE MINE MINE", "YOURS"]


def test_a_changed_configuration_is_noticed(site: Site) -> None:
    show = [
        {"ansible.builtin.debug": {"msg": "{{ lookup('config', 'DEFAULT_TIMEOUT', 'DEFAULT_FORKS', wantlist=1) }}"}}
    ]
    both(site, show)
    (site.folder / "ansible.cfg").write_text("[defaults]\ntimeout = 77\nforks = 3\nroles_path = mine\n")
    cold, warm = both(site, show)
    assert warm == cold
    assert re.search(r"77,\s+3", warm.reason)


def test_a_collection_is_found_and_a_change_in_it_is_noticed(site: Site) -> None:
    folder = site.folder / "home/.ansible/collections/ansible_collections/mine/own/plugins/filter"
    folder.mkdir(parents=True)
    show = [{"ansible.builtin.debug": {"msg": "{{ 'x' | mine.own.say }}"}}]
    for word in ("FIRST", "SECOND"):
        filters = f"class FilterModule:\n    def filters(self):\n        return {{'say': lambda x: '{word}'}}\n"
        (folder / "say.py").write_text(filters)
        cold, warm = both(site, show)
        assert warm == cold and word in warm.reason


def test_a_callback_of_the_operators_is_called(site: Site) -> None:
    (site.folder / "callback_plugins").mkdir()
    (site.folder / "callback_plugins/mine.py").write_text(
        "from ansible.plugins.callback import CallbackBase\nclass CallbackModule(CallbackBase):\n"
        "    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, 'notification', 'mine'\n"
        f"    def v2_playbook_on_stats(self, stats):\n        open('{site.folder}/called', 'a').write('x')\n"
    )
    cold, warm = both(site, [{"ansible.builtin.debug": {"msg": "x"}}])
    assert warm == cold
    assert (site.folder / "called").read_text() == "xx"


def test_what_is_left_to_chance_differs_from_run_to_run(site: Site) -> None:
    chance = "{{ 10 ** 12 | random }} {{ lookup('ansible.builtin.password', '/dev/null') }} {{ 99999999 | random }}"
    stats = {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"chance": chance}}}}
    assert len({str(site.run([stats]).result["chance"]) for _ in range(4)}) == 4


def test_a_question_is_asked_on_the_terminal(site: Site) -> None:
    """Nobody answers; but neither does it hang for ever nor find a terminal that is another's."""
    cold, warm = both(site, [{"ansible.builtin.pause": {"seconds": 1}}])
    assert warm == cold


def is_forked(site: Site, *, warm: bool) -> bool:
    """Whether the run that is under way was forked: its environment in the process table is then our mark alone."""
    waiting: list[dict[str, Any]] = [{"ansible.builtin.wait_for": {"path": "{{ home }}/go", "sleep": 1}}]
    job = site.job(waiting, confinement=Confinement(warm=warm))
    thread = threading.Thread(target=lambda: site.play(job))
    thread.start()
    until(lambda: any("wait_for" in line for line in marked(job.run)))
    found = [
        len((folder / "environ").read_bytes().strip(b"\0").split(b"\0"))
        for folder in Path("/proc").glob("[0-9]*")
        if job.run.encode() in read(folder / "environ") and b"ansible-playbook\0" in read(folder / "cmdline")
    ]
    (site.home("web1") / "go").touch()
    thread.join()
    assert found
    return set(found) == {1}


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("warm", [True, False])
def test_one_setting_turns_it_off(site: Site, warm: bool) -> None:
    assert is_forked(site, warm=warm) is warm


def test_what_cannot_be_warm_starts_cold_and_says_so(site: Site) -> None:
    (site.folder / "ansible.cfg").write_text(f"[defaults]\nlog_path = {site.folder / 'ansible.log'}\n")
    result = site.run([{"ansible.builtin.debug": {"msg": "x"}}])
    assert result.end is PlaybookEnd.OK
    assert "(Ansible was started cold: it has a log_path, which it opens when it is imported)" in result.reason
    assert "PLAY [all]" in (site.folder / "ansible.log").read_text()


def test_a_configuration_that_is_wrong_is_ansibles_to_complain_about(site: Site) -> None:
    (site.folder / "ansible.cfg").write_text("[defaults]\nforks = many\n")
    result = site.run([{"ansible.builtin.debug": {"msg": "x"}}])
    assert result.end is PlaybookEnd.FAILED
    assert "forks" in result.reason.lower()
    (site.folder / "ansible.cfg").write_text("[defaults]\nforks = 2\n")
    result = site.run([{"ansible.builtin.debug": {"msg": "x"}}])
    assert (result.end, result.reason) == (PlaybookEnd.OK, "1 tasks ok, 0 changed")


def test_a_server_that_hangs_is_replaced(site: Site) -> None:
    site.runner.warm_up()
    [process] = [site.runner._server.process]
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    site.runner._server.control.settimeout(0.5)  # type: ignore[union-attr]
    assert site.run([{"ansible.builtin.debug": {"msg": "x"}}]).end is PlaybookEnd.OK
    process.wait()


def test_an_ansible_that_was_upgraded_is_stale(tmp_path: Path) -> None:
    file = tmp_path / "release.py"
    file.write_text("1")
    state = file.stat()
    fresh = Warm(files={str(file): (state.st_mtime_ns, state.st_size), str(tmp_path / "none.cfg"): None})
    assert not fresh.is_stale()
    file.write_text("22")
    assert fresh.is_stale()
    assert Warm(files={str(tmp_path / "none.cfg"): None, str(tmp_path / "gone"): (1, 1)}).is_stale()


def test_many_runs_do_not_make_the_server_grow(site: Site) -> None:
    tasks = [{"ansible.builtin.debug": {"msg": "x"}}]
    site.run(tasks)
    process = site.runner._server.process
    assert process is not None

    def resident() -> int:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])

    before = resident()
    for _ in range(12):
        site.run(tasks)
    assert resident() <= before * 1.05
