"""The URL of a Redis behind Sentinels."""

from __future__ import annotations

import pytest

from webhook.core.placeholder import Unfit
from webhook.core.sentinel import Sentinels, parse_sentinels


def test_a_url_names_sentinels_primary_database_and_credentials() -> None:
    assert parse_sentinels("sentinel://us%40er:p%2Fw@one:26379,two,[fd00::1]:5000/mymaster/3") == Sentinels(
        addresses=(("one", 26379), ("two", 26379), ("fd00::1", 5000)),
        primary="mymaster",
        database=3,
        username="us@er",
        password="p/w",
    )


def test_a_password_may_come_alone() -> None:
    found = parse_sentinels("sentinel://:secret@one/mymaster")
    assert (found.username, found.password, found.database) == (None, "secret", 0)
    assert "secret" not in repr(found)


def test_what_the_sentinels_ask_for_stands_in_the_query() -> None:
    found = parse_sentinels("sentinels://:p@one/m?sentinel_username=a&sentinel_password=b%26c&ssl_ca_certs=/ca.pem")
    assert found.tls == {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert found.asking == {"username": "a", "password": "b&c", **found.tls}
    assert "b&c" not in repr(found)
    assert parse_sentinels("sentinel://one/m").asking == {"username": None, "password": None}


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://one:26379",
        "sentinel:///mymaster",
        "sentinel://one,/mymaster",
        "sentinel://one:x/mymaster",
        "sentinel://one/my master",
        "sentinel://one/mymaster/x",
        "sentinel://one/mymaster?db=1",
        "sentinel://one/mymaster?sentinel_password",
        "sentinel://one/mymaster?ssl_ca_certs=/ca.pem",
        "sentinels://one/mymaster#0",
        "redis://one/0",
    ],
)
def test_what_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Unfit) as error:
        parse_sentinels(url.replace("://", "://:secret@"))
    assert "secret" not in str(error.value)
