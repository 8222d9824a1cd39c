"""What holds for every test."""

import logging

import pytest
import structlog
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("alertmend", deadline=None)
settings.load_profile("alertmend")


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Whoever runs the program says where its log goes; in a test nobody reads of what went well."""
    # Before each of them: a command that one has run in this process has said otherwise.
    structlog.reset_defaults()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
