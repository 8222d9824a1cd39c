"""What holds for every test."""

from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("alertmend", deadline=None)
settings.load_profile("alertmend")
