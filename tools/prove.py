"""Proves every theorem of `spec.proofs`, and has each one's wrong variant refuted.

Exit code 0: all proved, and all wrong variants refuted; 1: not so.
"""

import sys
import time

from rich.console import Console
from rich.table import Table

from spec.proofs import THEOREMS, Answer, decide, decide_all


def main() -> int:
    """Print a line a theorem."""
    table = Table("statement", "rules", "z3 says", "its wrong variant", "s")
    failed = 0
    for theorem in THEOREMS:
        began = time.monotonic()
        answer, wrong = decide_all(theorem), decide(theorem.wrong())
        failed += (answer, wrong) != (Answer.PROVED, Answer.REFUTED)
        told = "proved for all sizes" if answer is Answer.PROVED else answer.value
        seconds = f"{time.monotonic() - began:.1f}"
        table.add_row(
            theorem.statement, " ".join(theorem.rules), told, f"{wrong.value}: {theorem.why_wrong}", seconds
        )
    console = Console()
    console.print(table)
    console.print(
        f"{len(THEOREMS) - failed} of {len(THEOREMS)} theorems proved, their wrong variants refuted"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
