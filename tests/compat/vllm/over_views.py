"""Drives a manager through the views, and tells how many cases show what the reference shows.

Four numbers: cases that agree, cases that differ, operations, and modules of an installed vLLM.

`python over_views.py MANAGER CASES [VIEW]` runs in an interpreter that has torch. The driver is the
one of the real vLLM, `VllmSession`, which knows nothing of the views. With the name of a view,
that view is made a stale copy first.
"""

import sys
from collections.abc import Callable
from typing import Any

from kvref.compat.vllm import install, optimized_groups, optimized_pool, reference
from kvref.errors import CallerError
from kvref.fuzz.cases import draw_case
from kvref.operations import SinkGroup
from kvref.targets.base import run_case
from kvref.targets.reference import ReferenceSession

SEED = 20
LENGTH = 60


def frozen(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader that answers for ever what it answered first."""
    answers: dict[int, Any] = {}
    alive = []

    def stale(view: Any) -> Any:
        alive.append(view)
        if id(view) not in answers:
            answer = read(view)
            answers[id(view)] = answer if isinstance(answer, int | float) else list(answer)
        answer = answers[id(view)]
        return answer if isinstance(answer, int | float) else iter(answer)

    return stale


STALE: dict[tuple[str, str], tuple[type, str]] = {
    ("reference", "free queue"): (reference.FreeQueue, "__iter__"),
    ("reference", "prefix map"): (reference.PrefixMap, "__iter__"),
    ("reference", "tables"): (reference.Group, "requests"),
    ("optimized", "free queue"): (optimized_pool.FreeQueue, "__iter__"),
    ("optimized", "prefix map"): (optimized_pool.PrefixMap, "__iter__"),
    ("optimized", "tables"): (optimized_groups.Group, "requests"),
}


def main() -> None:
    manager, cases = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        owner, method = STALE[manager, sys.argv[3]]
        setattr(owner, method, frozen(getattr(owner, method)))
    install(manager)
    from kvref.targets.vllm.session import VllmSession  # noqa: PLC0415 - imports what was installed

    class OverViews(VllmSession):
        def meaning(self, error: Exception) -> str:
            return type(error).__name__ if isinstance(error, CallerError) else super().meaning(error)

    agreed = different = operations = 0
    for number in range(cases):
        case = draw_case(SEED, "mixed", number, LENGTH, ReferenceSession, ())
        # A sink's blocks are set aside in the reference's pool, and not group by group.
        if any(isinstance(group, SinkGroup) for group in case.trace.configuration.groups):
            continue
        seen = run_case(OverViews, case.trace)
        same = (seen.refused is None) == (case.expected.refused is None) and (
            seen.digests == case.expected.digests
        )
        agreed, different = agreed + same, different + (not same)
        operations += len(case.trace.operations)
    files = [str(getattr(module, "__file__", "")) for module in sys.modules.values()]
    modules = sum("site-packages/vllm/" in file for file in files)
    sys.stdout.write(f"{agreed} {different} {operations} {modules}\n")


if __name__ == "__main__":
    main()
