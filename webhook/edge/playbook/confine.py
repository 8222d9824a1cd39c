"""The limits of a run and its container, as the operating system and ansible-runner are told of them."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from webhook.core.confinement import Engine, ProcessLimits, Secrets
from webhook.world import PlaybookJob

_REMOVE_SECONDS: Final = 10
#: Each of our limits as setrlimit(2) knows it, and as an option of `podman run` and `docker run`.
_LIMITS: Final = {
    "cpu": (resource.RLIMIT_CPU, "--ulimit=cpu={0}:{0}"),
    "memory_bytes": (resource.RLIMIT_AS, "--memory={0}"),
    "open_files": (resource.RLIMIT_NOFILE, "--ulimit=nofile={0}:{0}"),
    "processes": (resource.RLIMIT_NPROC, "--pids-limit={0}"),
    "file_size_bytes": (resource.RLIMIT_FSIZE, "--ulimit=fsize={0}:{0}"),
}


def limits_of(limits: ProcessLimits) -> dict[str, int]:
    """The limits that are set, by name, as numbers."""
    found = {field.name: getattr(limits, field.name) for field in fields(limits)}
    if limits.cpu is not None:
        found["cpu"] = max(1, round(limits.cpu.total_seconds()))
    return {name: value for name, value in found.items() if value is not None}


def limit_this_process(limits: Mapping[str, int]) -> None:
    """Take the limits on, for this process and all that it starts; what is limited further already stays so."""
    for name, value in limits.items():
        number, _ = _LIMITS[name]
        _, hard = resource.getrlimit(number)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))


def container_of(job: PlaybookJob, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What ansible-runner has to be told to run the job in a container; None: it has none.

    Playbook, inventory and secrets are found there under the same paths as here, and cannot be changed.
    """
    container = job.confinement.container
    if container is None:
        return None
    limits = limits_of(job.confinement.limits)
    return {
        "process_isolation": True,
        "process_isolation_executable": container.engine.value,
        "container_image": container.image,
        "container_options": [*(_LIMITS[name][1].format(value) for name, value in limits.items()), *container.options],
        "container_volume_mounts": [f"{path}:{path}:ro" for path in _mounts(job)],
        "envvars": dict(environment),
    }


def remove_container(engine: str, ident: str) -> None:
    """End a run's container: its processes need not be descendants of whoever asked for it."""
    from ansible_runner.utils import sanitize_container_name

    name = f"ansible_runner_{sanitize_container_name(ident)}"
    at_once = ["--time=0"] if engine == Engine.PODMAN else []
    command = [engine, "rm", "--force", *at_once, name]
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, timeout=_REMOVE_SECONDS, capture_output=True, check=False)


def _mounts(job: PlaybookJob) -> Sequence[Path]:
    secrets = [getattr(job.secrets, field.name) for field in fields(Secrets)]
    files = [job.playbooks, job.inventory.parent if job.inventory.is_file() else job.inventory]
    return list(dict.fromkeys([*files, *(Path(file) for file in secrets if file)]))
