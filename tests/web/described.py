"""Holds an answer against what the API says of itself."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from webhook.web.openapi import describe

_FORMS = [(path, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))) for path in sorted(describe()["paths"])]


def hold_against_description(method: str, path: str, answer: httpx.Response) -> None:
    """Fails when an answer of the API is none that it promises; says nothing of what is no part of the API."""
    form = _form(path.partition("?")[0].rstrip("/"))
    operation = describe()["paths"].get(form, {}).get(method.lower())
    if operation is None or answer.status_code in (204, 500):
        return
    described = operation["responses"].get(str(answer.status_code))
    assert described, f"{method} {form} may answer {answer.status_code}; /openapi.json does not say so"
    media = answer.headers["content-type"].partition(";")[0]
    assert media in described["content"], f"{method} {form} answers {media}"
    if media == "application/json":
        _validator(form, method.lower(), str(answer.status_code)).validate(answer.json())


def _form(path: str) -> str:
    # What is spelt out, such as /audit/verify, before what an id may stand for.
    fitting = [form for form, pattern in _FORMS if pattern.fullmatch(path)]
    return min(fitting, key=lambda form: form.count("{"), default="")


@cache
def _validator(form: str, method: str, status: str) -> Any:
    document = describe()
    schema = document["paths"][form][method]["responses"][status]["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    return validator_for(whole, default=Draft202012Validator)(whole)
