"""STUB, to be replaced."""

import subprocess
import sys
from pathlib import Path

from webhook.ports import *


def end_leftovers(run):
    return 0


class AnsibleRunner:
    def __init__(self, *, work_dir):
        pass

    def close(self):
        pass

    def run(self, job, *, is_cancelled):
        p = subprocess.run(
            [
                str(Path(sys.executable).parent / "ansible-playbook"),
                "-i",
                str(job.inventory),
                "--limit",
                job.target,
                str(job.playbook),
            ],
            capture_output=True,
            text=True,
        )
        return PlaybookResult(
            end=PlaybookEnd.OK if p.returncode == 0 else PlaybookEnd.FAILED,
            reason=p.stdout[-300:],
            return_code=p.returncode,
            output=p.stdout,
        )
