"""restart_container.yml on a real Podman, by the API that Docker has as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.podman import Podman, running
from tests.playbooks.stage import PlayEnd, Stage

STEADY = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with running(tmp_path_factory.mktemp("podman")) as podman:
        yield podman


def play(stage: Stage, podman: Podman, container: str, *options: str, **variables: object) -> PlayEnd:
    sound = {"container": container, "socket": str(podman.socket), "grace": 1, "settle": 0, "timeout": 5}
    return stage.play("restart_container.yml", {**sound, **variables}, *options)


def test_a_container_that_was_killed_is_brought_back_and_a_second_run_changes_nothing(
    stage: Stage, podman: Podman
) -> None:
    podman.run("shop", STEADY)
    podman.tell("kill", "--signal", "KILL", "shop")

    checked = play(stage, podman, "shop", "--check")
    stays_down = podman.state("shop")["Running"]
    first = play(stage, podman, "shop")
    started = podman.state("shop")["StartedAt"]
    second = play(stage, podman, "shop")

    assert (checked.return_code, checked.changed, stays_down) == (0, 1, False), checked.output
    assert first.return_code == 0, first.output
    assert first.result == {
        "container": "shop",
        "was": "exited",
        "exit_code": 137,
        "out_of_memory": False,
        "restarted": True,
    }
    assert (second.return_code, second.changed) == (0, 0), second.output
    assert podman.state("shop")["StartedAt"] == started


def test_an_unhealthy_one_is_restarted_and_has_to_become_healthy(stage: Stage, podman: Podman) -> None:
    # Healthy for as long as the process that it began with lives.
    podman.run("sick", f"echo >/well; {STEADY}", "--health-cmd", "test -e /well", "--health-retries", "1")
    podman.tell("exec", "sick", "sh", "-c", "busybox rm /well")
    with pytest.raises(Exception, match="non-zero"):
        podman.tell("healthcheck", "run", "sick")
    assert podman.state("sick")["Health"]["Status"] == "unhealthy"  # type: ignore[index]

    end = play(stage, podman, "sick", timeout=1)

    # Nothing runs its check here but us, so that it stays as it is: it was restarted, and is not believed.
    assert end.return_code == 2, end.output
    assert end.result["restarted"] is True


def test_one_that_falls_over_again_has_not_been_brought_back(stage: Stage, podman: Podman) -> None:
    podman.run("fainting", "sleep 1; exit 3")

    end = play(stage, podman, "fainting", force=True, settle=3)

    assert end.return_code == 2, end.output
    assert "did not stay up for 3 s; it ended with 3" in end.output


def test_one_that_does_not_exist_is_refused(stage: Stage, podman: Podman) -> None:
    end = play(stage, podman, "no-such")

    assert (end.return_code, end.changed) == (2, 0), end.output
    assert "there is no container no-such on this host" in end.output


def test_values_that_cannot_be_are_refused(stage: Stage, tmp_path: Path) -> None:
    sound: dict[str, object] = {"container": "shop", "socket": str(tmp_path / "none.sock")}
    wrong: dict[str, list[object]] = {
        "container": ["-x", "", None, "../images/x", "a/b", "a?force=1", "a b", "a\n"],
        "socket": ["docker.sock", "/run/../x", None],
        "grace": [-1, 301],
        "timeout": [0],
        "settle": [61],
    }

    cases = [{**sound, name: value} for name, values in wrong.items() for value in values]
    stage.refusals("restart_container.yml", cases)
