"""A bug as a target."""

from collections.abc import Callable
from pathlib import Path

from invariants.view import View
from kvref.errors import UserError
from kvref.operations import Configuration, NewRequest, Observation, Operation
from kvref.request import Request
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.zoo.bug import PACKAGE, Bug, changed_by
from kvref.zoo.catalogue import bug_called
from kvref.zoo.copies import copy_of
from kvref.zoo.patience import PATIENCE, counting

NO_PICTURE = -1.0
"""The usage of a state that cannot be pictured, where every block has less than no user."""


class BuggySession(OptimizedSession):
    """A manager with a fault: what it raises is an answer, and a state that cannot be pictured a picture."""

    bug: Bug

    def __init__(self, configuration: Configuration) -> None:
        PATIENCE.begin()
        super().__init__(configuration)
        self._configuration = configuration

    def new_request(self, operation: NewRequest) -> Request:
        """The request as the manager sees it."""
        sees = type(self).bug.sees
        return super().new_request(operation if sees is None else sees(self._configuration, operation))

    def meaning(self, error: Exception) -> str | None:
        """The class's own name, whatever was raised."""
        return type(error).__name__

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation, if the manager comes to an end."""
        PATIENCE.begin()
        return super().apply(operation)

    def view(self) -> View:
        """The manager's state; nothing at all, where its parts contradict one another."""
        PATIENCE.begin()
        try:
            return super().view()
        except Exception:  # noqa: BLE001 - whatever comes of the fault
            count = self._configuration.num_blocks
            return View([-1] * count, [None] * count, [], [], {}, {}, [], [], NO_PICTURE, None)


def session_with(bug: Bug) -> type[BuggySession]:
    """Sessions over the optimized manager with the bug."""
    PATIENCE.begin()
    module = copy_of(PACKAGE, bug.name.replace("-", "_"), changed_by(bug), counting)
    manager = module.KVCacheManager
    return type("BuggySession", (BuggySession,), {"bug": bug, "manager_class": manager})


def raising(bug: Bug) -> type[BuggySession]:
    """Sessions that raise what the manager raises, where it is no mistake of the caller's."""
    return type("BuggySession", (session_with(bug),), {"meaning": OptimizedSession.meaning})


def open_zoo(release: str | None, python: Path | None, tell: Callable[[str], None]) -> InProcessTarget:
    """The registry's entry point: `zoo==NAME`."""
    del tell
    if python is not None:
        raise UserError("zoo runs in this interpreter: leave out --python")
    if release is None:
        raise UserError("zoo has many bugs: say which, as in zoo==a-window-is-a-token-too-short")
    return InProcessTarget(f"zoo=={release}", session_with(bug_called(release)))
