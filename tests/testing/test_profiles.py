import os
import subprocess
import sys

from hypothesis import settings

from kvref.testing import PROFILES


def test_profiles_are_registered_under_our_name() -> None:
    for name, profile in PROFILES.items():
        assert settings.get_profile(f"kvref-{name}") is profile


def test_ci_repeats_and_the_others_keep_what_failed_even_on_a_ci_server() -> None:
    program = (
        "from kvref.testing import PROFILES\n"
        "print([(name, p.derandomize, p.database is None) for name, p in PROFILES.items()])"
    )
    environment = {**os.environ, "CI": "true"}
    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str([("ci", True, True), ("nightly", False, False), ("soak", False, False)])
