"""A pod's container on this machine: its files lie below a folder, and its arguments say where."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.docs.kustomize import Manifest
from tests.docs.pages import REPOSITORY


def container(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The one that its pods have."""
    [found] = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def laid_out(manifests: Mapping[str, Manifest], deployment: str, *, secrets: Path, below: Path) -> list[str]:
    """Its arguments, once its ConfigMaps, and its Secret from a folder of that name, lie where it has them mounted."""
    found = manifests[f"Deployment/{deployment}"]
    moved = {"/opt/alertmend/playbooks": str(REPOSITORY / "playbooks")}
    moved |= {mount["mountPath"]: f"{below}{mount['mountPath']}" for mount in container(found)["volumeMounts"]}
    # The longest first: one may be the beginning of another.
    paths = "|".join(sorted(map(re.escape, moved), key=len, reverse=True))
    mounts = {mount["name"]: Path(moved[mount["mountPath"]]) for mount in container(found)["volumeMounts"]}
    for volume in found["spec"]["template"]["spec"]["volumes"]:
        folder = mounts[volume["name"]]
        if "secret" in volume:
            shutil.copytree(secrets / volume["secret"]["secretName"], folder, dirs_exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in _content(manifests, volume).items():
            (folder / name).write_text(re.sub(paths, lambda path: moved[path[0]], text))
    return [re.sub(paths, lambda path: moved[path[0]], word) for word in container(found)["args"]]


def _content(manifests: Mapping[str, Manifest], volume: Mapping[str, Any]) -> Mapping[str, str]:
    return dict(manifests[f"ConfigMap/{volume['configMap']['name']}"]["data"]) if "configMap" in volume else {}
