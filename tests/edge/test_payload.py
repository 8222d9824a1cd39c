"""What Alertmanager sends, and what anyone else could."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.alert import AlertStatus, Notification
from webhook.edge.payload import check_size, parse
from webhook.errors import PayloadError, PayloadTooLarge
from webhook.text import CUT_MARK, VALUE_LIMIT_BYTES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DELIVERIES = sorted((Path(__file__).parents[1] / "data" / "deliveries").glob("*.json"))


def read(body: object) -> Notification:
    raw = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return parse(raw, id="n1", received_at=NOW)


def alert(**fields: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "Down"},
        "annotations": {},
        "startsAt": "2026-01-31T11:59:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "5a01f2027af307eb",
        **fields,
    }


def body(*alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="Down"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "alertmend",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://am:9093",
        "alerts": list(alerts),
        **fields,
    }


@pytest.mark.parametrize("path", DELIVERIES, ids=lambda path: path.stem)
def test_real_deliveries_are_read_whole(path: Path) -> None:
    sent = json.loads(path.read_text())["body_raw"]
    found, wire = read(sent), json.loads(sent)
    assert (found.receiver, found.group_key, found.external_url) == (
        wire["receiver"],
        wire["groupKey"],
        wire["externalURL"],
    )
    assert [(a.status, a.labels, a.annotations, a.fingerprint) for a in found.alerts] == [
        (a["status"], a["labels"], a["annotations"], a["fingerprint"]) for a in wire["alerts"]
    ]
    assert found.alerts


def test_a_firing_alert_has_no_end_and_a_resolved_one_has() -> None:
    firing, resolved = read(
        body(alert(), alert(status="resolved", endsAt="2026-01-31T12:00:00+02:00", startsAt="2026-01-31T11:00:00"))
    ).alerts
    assert (firing.status, firing.ends_at) == (AlertStatus.FIRING, None)
    assert firing.starts_at == datetime(2026, 1, 31, 11, 59, 0, 123456, tzinfo=UTC)
    assert resolved.is_resolved and resolved.ends_at == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert resolved.starts_at == datetime(2026, 1, 31, 11, tzinfo=UTC)


def test_a_zero_end_in_any_offset_is_no_end() -> None:
    for zero in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00", "0001-01-01T05:30:00+05:30", None):
        assert read(body(alert(endsAt=zero))).alerts[0].ends_at is None


def test_what_is_missing_and_may_be_missing_is_empty() -> None:
    least = alert()
    for name in ("annotations", "endsAt", "generatorURL"):
        del least[name]
    found = read({"version": "4", "alerts": [least]})
    assert (found.receiver, found.group_key, found.truncated_alerts) == ("", "", 0)
    assert (found.alerts[0].annotations, found.alerts[0].ends_at) == ({}, None)
    assert read({"version": "4", "alerts": []}).alerts == ()


def test_fields_of_newer_senders_are_ignored() -> None:
    newer = body(
        alert(extra={"deep": [1]}), notification_reason="repeat", routeLabels={"a": "b"}, alerts2=[None], x=1e400
    )
    assert read(json.dumps(newer)) == read(body(alert()))


def test_a_body_of_ones_own_is_refused_with_the_settings_name() -> None:
    bodies: list[object] = [
        {},
        {"text": "Down"},
        {"version": "4"},
        {"alerts": []},
        [],
        "4",
        None,
        4,
        b"",
        b"Down: web1",
        b"{",
    ]
    for own in bodies:
        with pytest.raises(PayloadError, match="'payload:'"):
            read(own if isinstance(own, bytes) else json.dumps(own))


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(PayloadError, match="version '5'"):
        read(body(version="5"))
    with pytest.raises(PayloadError, match="version"):
        read(body(version=4))


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"status": "suppressed"}, "alerts.0.status"),
        ({"labels": {"a": 1}}, "alerts.0.labels.a"),
        ({"labels": None}, "alerts.0.labels"),
        ({"startsAt": "yesterday"}, "alerts.0.startsAt"),
        ({"fingerprint": None}, "alerts.0.fingerprint"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(wrong: dict[str, Any], place: str) -> None:
    with pytest.raises(PayloadError, match=place.replace(".", r"\.")):
        read(body(alert(**wrong)))


def test_words_about_a_hostile_body_are_short_and_show_nothing_unseen() -> None:
    for hostile in (body(version="\x1b[2J" * 1000), body(alert(labels={"\x1b[2J" * 1000: 1}))):
        with pytest.raises(PayloadError) as raised:
            read(hostile)
        assert len(str(raised.value)) < 700
        assert str(raised.value).isprintable()


def test_times_at_the_ends_of_the_calendar_are_taken_or_refused_and_nothing_else() -> None:
    for time in ("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00Z", 0, 253402300799):
        try:
            found = read(body(alert(startsAt=time, endsAt=time, status="resolved"))).alerts[0]
        except PayloadError:
            continue
        # Whoever writes it down turns it to UTC.
        assert found.starts_at.astimezone(UTC).tzinfo is UTC
        assert found.ends_at is None or found.ends_at.astimezone(UTC)


def test_a_negative_or_endless_number_of_truncated_alerts_is_bounded() -> None:
    assert read(body(truncatedAlerts=-3)).truncated_alerts == 0
    assert read(body(truncatedAlerts=7)).truncated_alerts == 7
    assert len(str(read(json.dumps(body()).replace('"truncatedAlerts": 0', f'"truncatedAlerts": {"9" * 4000}')))) < 2000


# ---------------------------------------------------------------------------------------------------------------------
# Strangers' words

UNSEEN = "\0\x01\x07\x08\x0b\x0c\r\x1b\x1f\x7f\x85\x9b\u200e\u200f\u202a\u202e\u2066\u2069"


def test_what_nobody_sees_is_taken_out_and_the_rest_is_left() -> None:
    hostile = alert(
        labels={"alertname": f"Do{UNSEEN}wn", f"inst{UNSEEN}ance": "web1"},
        annotations={"summary": "7 % free\n\tsoon é 🔥"},
    )
    found = read(body(hostile, receiver=UNSEEN + "r", groupKey=UNSEEN + "g", externalURL=UNSEEN + "u"))
    assert found.alerts[0].labels == {"alertname": "Down", "instance": "web1"}
    assert found.alerts[0].annotations == {"summary": "7 % free\n\tsoon é 🔥"}
    assert (found.receiver, found.group_key, found.external_url) == ("r", "g", "u")


def test_a_lone_surrogate_is_refused_with_words() -> None:
    with pytest.raises(PayloadError):
        read(json.dumps(body(alert(labels={"alertname": "\ud800"}))))


def test_a_long_value_is_cut_with_a_mark() -> None:
    found = read(body(alert(annotations={"summary": "a" * (VALUE_LIMIT_BYTES + 1)}))).alerts[0].annotations["summary"]
    assert found.endswith(CUT_MARK) and len(found) == VALUE_LIMIT_BYTES


def test_a_fingerprint_stays_short() -> None:
    assert len(read(body(alert(fingerprint="f" * 10_000))).alerts[0].fingerprint) == 64


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {"version": st.just("4") | ANYTHING},
    optional={
        "alerts": ANYTHING
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "status": st.sampled_from(["firing", "resolved"]) | ANYTHING,
                    "labels": st.dictionaries(st.text(), st.text(), max_size=3) | ANYTHING,
                    "annotations": st.dictionaries(st.text(), st.text(), max_size=3) | ANYTHING,
                    "startsAt": st.datetimes(timezones=st.timezones()).map(datetime.isoformat) | ANYTHING,
                    "endsAt": st.datetimes().map(datetime.isoformat) | ANYTHING,
                    "fingerprint": st.text() | ANYTHING,
                },
            ),
            max_size=3,
        ),
        "receiver": ANYTHING,
        "truncatedAlerts": ANYTHING,
        "externalURL": ANYTHING,
    },
)


def notification_or_words(raw: bytes | str) -> None:
    try:
        found = read(raw)
    except PayloadError as error:
        assert 0 < len(str(error)) < 2000
    else:
        assert isinstance(found, Notification)
        # What is taken in can be written down.
        json.dumps([dict(a.labels) for a in found.alerts], ensure_ascii=False).encode()
        assert all(a.starts_at.tzinfo for a in found.alerts)


@given(NEARLY | ANYTHING)
def test_any_json_gives_a_notification_or_words(document: Any) -> None:
    notification_or_words(json.dumps(document))
    notification_or_words(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_notification_or_words(raw: bytes) -> None:
    notification_or_words(raw)


@given(data=st.data())
def test_a_real_body_with_any_bytes_changed_gives_a_notification_or_words(data: st.DataObject) -> None:
    raw = bytearray(json.loads(DELIVERIES[0].read_text())["body_raw"].encode())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    notification_or_words(bytes(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"version":"4","alerts":' + b"[" * 150 + b"]" * 150 + b"}",
        b'{"version":"4","alerts":1,"x":' + b"9" * 5000 + b"}",
        b'{"version":"4","alerts":[],"x":NaN,"y":-Infinity}',
        '{"version":"4","alerts":[]}'.encode("utf-16"),
        b'\xef\xbb\xbf{"version":"4","alerts":[]}',
        b'{"version":"4","alerts":[],"version":"5"}',
        b'{"version":"4","alerts":[]} trailing',
        b'{"version":"4","alerts":[],"x":"\xff"}',
        b"\0",
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_hostile_json_gives_a_notification_or_words(raw: bytes) -> None:
    notification_or_words(raw)


def test_a_body_is_measured_before_it_is_read() -> None:
    check_size(100, limit=100)
    with pytest.raises(PayloadTooLarge, match=r"receive\.max_body_bytes.*max_alerts"):
        check_size(101, limit=100)
