"""What holds for every test."""

import logging

import structlog
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("alertmend", deadline=None)
settings.load_profile("alertmend")

# Whoever runs the program says where its log goes; in a test nobody reads of what went well.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
