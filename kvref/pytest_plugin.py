"""The pytest plugin: `pytest --kvref-target my.module:open_manager` holds a manager to the semantics.

It is loaded wherever kvref is installed, so it imports nothing before a target is named.
"""

from pathlib import Path

import pytest

PROFILES = ("ci", "nightly", "soak")
LEVELS = ("exact", "hits", "safe", "invariants")
SHARES = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("kvref", "KV cache managers held to their semantics")
    group.addoption(
        "--kvref-target",
        metavar="TARGET",
        help="what to test: module:attribute, or a name of `kvref targets`",
    )
    group.addoption(
        "--kvref-level", default="exact", metavar="LEVEL", help=f"one of {', '.join(LEVELS)} (exact)"
    )
    group.addoption(
        "--kvref-profile", default="ci", metavar="PROFILE", help=f"one of {', '.join(PROFILES)} (ci)"
    )
    group.addoption(
        "--kvref-shares",
        default=str(SHARES),
        metavar="N",
        help=f"so many tests, for xdist to spread ({SHARES})",
    )
    group.addoption(
        "--kvref-findings",
        default="findings",
        type=Path,
        metavar="FOLDER",
        help="where traces are written (findings)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything is collected."""
    config.addinivalue_line("markers", "kvref: a share of what --kvref-target asks for")
    for option, allowed in (("level", LEVELS), ("profile", PROFILES)):
        given = config.getoption(f"--kvref-{option}")
        if given not in allowed:
            raise pytest.UsageError(f"--kvref-{option} {given}: choose one of {', '.join(allowed)}")
    shares = config.getoption("--kvref-shares")
    if not shares.isdecimal() or int(shares) < 1:
        raise pytest.UsageError(f"--kvref-shares {shares}: give a whole number, at least 1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """One test a share, beside what was collected."""
    if config.getoption("--kvref-target") is None:
        return
    try:
        from kvref.testing.items import shares_of  # noqa: PLC0415 - Hypothesis is optional
    except ModuleNotFoundError as absent:
        if absent.name != "hypothesis":
            raise
        raise pytest.UsageError("--kvref-target needs Hypothesis: pip install 'kvref[testing]'") from absent
    items.extend(shares_of(session, config))
