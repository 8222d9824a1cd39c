"""A real Podman with its own storage and its own API socket, and an image with nothing but busybox in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.playbooks.debian import find
from tests.playbooks.stage import wait_until

IMAGE = "localhost/toy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Podman:
    """Its containers see no network and no limits: the machine of a test may not be allowed to make either."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "api.sock"

    def run(self, name: str, script: str, *options: str) -> None:
        """A container that runs a script."""
        self.tell("run", "-d", "--name", name, "--cgroups=disabled", *options, IMAGE, "sh", "-c", script)

    def state(self, name: str) -> dict[str, object]:
        """What it says of a container."""
        found: list[dict[str, dict[str, object]]] = json.loads(self.tell("inspect", name))
        return found[0]["State"]

    def tell(self, *words: str) -> str:
        """What the program answers."""
        command = self.command(*words)
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def command(self, *words: str) -> list[str]:
        """The program with a storage of its own, in a namespace where cgroups v1 and v2 are not mixed."""
        podman = f"podman --root {self.folder}/root --runroot {self.folder}/run --storage-driver vfs"
        mixed = "/sys/fs/cgroup/unified"
        script = f'if mountpoint -q {mixed}; then umount {mixed}; fi; exec {podman} "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *words]

    @property
    def environment(self) -> dict[str, str]:
        """With a configuration of its own."""
        configuration = self.folder / "containers.conf"
        configuration.write_text(
            "[containers]\n"
            'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
            'cgroups = "disabled"\nnetns = "host"\nlog_driver = "k8s-file"\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        return os.environ | {"CONTAINERS_CONF": str(configuration), "XDG_RUNTIME_DIR": str(self.folder)}


@contextmanager
def running(folder: Path) -> Iterator[Podman]:
    """Podman with its API; both and all containers are gone afterwards."""
    for program, package in (("podman", "podman crun"), ("busybox", "busybox-static")):
        find(program=program, package=package)
    podman = Podman(folder=folder)
    podman.tell("import", str(_image(folder)), IMAGE)
    service = subprocess.Popen(
        podman.command("system", "service", "--time=0", f"unix://{podman.socket}"),
        env=podman.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(podman.socket.exists)
        yield podman
    finally:
        podman.tell("rm", "--all", "--force", "--time=0")
        service.terminate()
        service.wait(60)


def _image(folder: Path) -> Path:
    image = folder / "image.tar"
    busybox = shutil.which("busybox")
    assert busybox is not None
    with tarfile.open(image, "w") as tar:
        tar.add(busybox, arcname="bin/busybox")
        for name in ("sh", "sleep"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return image
