"""What CrossHair's answers depend on besides the contract: set before CrossHair is imported."""

from collections.abc import Mapping

ENVIRONMENT: Mapping[str, str] = {"CROSSHAIR_SMT_RLIMIT": "1000000", "PYTHONHASHSEED": "0"}
"""z3's steps for one question, and the order of sets of text."""
