"""Hypothesis profiles, by what a run is for."""

from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

FOLDER: Final = ".hypothesis/examples"

PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target)
"""Without shrinking: `run_machine` does that, faster."""


def plain() -> settings:
    """The settings of the loaded profile, as a state machine needs them."""
    return settings(
        deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES, report_multiple_bugs=False
    )


def _profile(examples: int, *, fresh: bool) -> settings:
    return settings(
        plain(),
        derandomize=not fresh,
        # Named: on a CI server Hypothesis' own default is none.
        database=DirectoryBasedExampleDatabase(FOLDER) if fresh else None,
        max_examples=examples,
        stateful_step_count=60,
        print_blob=fresh,
    )


PROFILES: Final = {
    "ci": _profile(250, fresh=False),
    "nightly": _profile(10_000, fresh=True),
    "soak": _profile(200_000, fresh=True),
}
"""`max_examples` is of one share. Only `ci` repeats: the same examples in every run, and no database."""


def register_profiles() -> None:
    """Make them known to Hypothesis as `kvref-ci`, `kvref-nightly` and `kvref-soak`."""
    for name, profile in PROFILES.items():
        settings.register_profile(f"kvref-{name}", profile)
