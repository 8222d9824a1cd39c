"""How the state changes: one function for each thing that can happen, with the entries that it leaves in the log."""

from __future__ import annotations

from webhook.core.transition.admission import admit, clear, start
from webhook.core.transition.attempt import finish, prove
from webhook.core.transition.claim import RING_AGAIN
from webhook.core.transition.handover import end_storm, escalated, storm_escalation
from webhook.core.transition.moment import Moment, NewId
from webhook.core.transition.people import approve, cancel, expire, pause, planned, reject, resume, take_over
from webhook.core.transition.recovery import restore, restore_pauses

__all__ = [
    "RING_AGAIN",
    "Moment",
    "NewId",
    "admit",
    "approve",
    "cancel",
    "clear",
    "end_storm",
    "escalated",
    "expire",
    "finish",
    "pause",
    "planned",
    "prove",
    "reject",
    "restore",
    "restore_pauses",
    "resume",
    "start",
    "storm_escalation",
    "take_over",
]
