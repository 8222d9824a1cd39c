"""Renders a kustomization as kustomize does, as far as ours go; what it does not know it does not pass over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_KNOWN = {"apiVersion", "kind", "namespace", "resources", "components", "labels", "images", "configMapGenerator"}
#: Belongs to no namespace.
_CLUSTER_WIDE = {"Namespace"}


def render(folder: Path) -> dict[str, Manifest]:
    """Every manifest by kind and name; a generated ConfigMap is called as it is asked for, without a hash."""
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in _with_kustomization(folder, [])}


def _with_kustomization(folder: Path, found: list[Manifest]) -> list[Manifest]:
    what = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert what.keys() <= _KNOWN, f"{folder}: {what.keys() - _KNOWN}"
    found = [*found, *_resources(folder, what.get("resources", ()))]
    for name in what.get("components", ()):
        found = _with_kustomization(folder / name, found)
    for generator in what.get("configMapGenerator", ()):
        _generate(folder, generator, found)
    for manifest in found:
        _change(manifest, what)
    return found


def _resources(folder: Path, names: list[str]) -> Iterator[Manifest]:
    for path in (folder / name for name in names):
        yield from _with_kustomization(path, []) if path.is_dir() else yaml.safe_load_all(path.read_text())


def _generate(folder: Path, generator: Mapping[str, Any], found: list[Manifest]) -> None:
    content = {Path(name).name: (folder / name).read_text() for name in generator["files"]}
    if generator.get("behavior") == "merge":
        [there] = [one for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"] == generator["name"]]
        there["data"] |= content
    else:
        assert generator.keys() == {"name", "files"}
        metadata = {"name": generator["name"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": content})


def _change(manifest: Manifest, what: Mapping[str, Any]) -> None:
    metadata, spec = manifest["metadata"], manifest.get("spec", {})
    if "namespace" in what and manifest["kind"] not in _CLUSTER_WIDE:
        metadata["namespace"] = what["namespace"]
    for label in what.get("labels", ()):
        metadata["labels"] = {**metadata.get("labels", {}), **label["pairs"]}
        if label.get("includeSelectors"):
            for labels in _selecting(manifest):
                labels |= label["pairs"]
    for image in what.get("images", ()):
        for container in spec.get("template", {}).get("spec", {}).get("containers", ()):
            name = container["image"].partition(":")[0]
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image['newTag']}"


def _selecting(manifest: Manifest) -> Iterator[dict[str, str]]:
    """The labels by which pods are chosen, and those that they have."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Service":
        yield spec["selector"]
    for selector in ("selector", "podSelector"):
        if "matchLabels" in spec.get(selector, {}):
            yield spec[selector]["matchLabels"]
    if "template" in spec:
        yield spec["template"]["metadata"]["labels"]
        for spread in spec["template"]["spec"].get("topologySpreadConstraints", ()):
            yield spread["labelSelector"]["matchLabels"]
