"""What a user's own catalogue of intended differences is written with: `--known FILE`, and docs/known.md.

The file is a Python module that defines `KNOWN: tuple[Deviation, ...]`.
"""

from kvref.facts import facts, features
from kvref.targets.deviations import Catalogue, Deviation, Situation, Verdict

__all__ = ["Catalogue", "Deviation", "Situation", "Verdict", "facts", "features"]
