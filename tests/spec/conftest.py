"""Hypothesis draws the same examples in every run, so that a failure here is a failure everywhere."""

from hypothesis import settings

settings.register_profile("spec", derandomize=True, deadline=None, max_examples=200)
settings.load_profile("spec")
