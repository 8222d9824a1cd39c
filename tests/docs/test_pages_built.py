"""The documentation becomes pages: without a warning, the API's from its own description."""

from __future__ import annotations

import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from tests.docs.pages import FILES, REPOSITORY
from webhook.web.openapi import describe


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages."""
    folder = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(REPOSITORY / "docs")]
    answer = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return folder


def test_every_page_is_built(built: Path) -> None:
    docs = REPOSITORY / "docs"
    wanted = {str(file.relative_to(docs).with_suffix(".html")) for file in FILES if file.is_relative_to(docs)}
    assert wanted <= {str(file.relative_to(built)) for file in built.rglob("*.html")}


def test_the_page_of_the_api_has_every_operation_with_its_answers(built: Path) -> None:
    page = unescape((built / "api.html").read_text())
    for path, operations in describe()["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                assert f"{method.upper()} {path}" in page
                assert operation["summary"] in page or operation.get("description", "") in page
