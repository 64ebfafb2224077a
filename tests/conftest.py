"""Hypothesis draws the same examples in every run, so that a failure here is a failure everywhere."""

from hypothesis import settings

settings.register_profile("kvref", derandomize=True, deadline=None)
settings.load_profile("kvref")
