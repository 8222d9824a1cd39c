"""The laws of incidents, held against everything that can happen, in memory."""

from hypothesis import settings

from tests.flow.machine import Machine

TestLaws = Machine.TestCase
TestLaws.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
