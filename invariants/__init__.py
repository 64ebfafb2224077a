"""What must always hold: predicates over the frozen picture that any manager can give of itself.

`STATE_INVARIANTS` hold in every view, `STEP_INVARIANTS` of every operation. A `Checker` holds a
manager's life against all of them.
"""

from invariants.checker import STATE_INVARIANTS, STEP_INVARIANTS, Checker
from invariants.history import History
from invariants.protocols import StateInvariant, StepInvariant
from invariants.setting import GroupSetting, Setting
from invariants.step import Step
from invariants.view import View, Violation

__all__ = [
    "STATE_INVARIANTS",
    "STEP_INVARIANTS",
    "Checker",
    "GroupSetting",
    "History",
    "Setting",
    "StateInvariant",
    "Step",
    "StepInvariant",
    "View",
    "Violation",
]
