"""The reference is to be read in one sitting."""

from pathlib import Path

import kvref.reference


def test_the_reference_has_under_800_lines() -> None:
    folder = Path(kvref.reference.__file__).parent
    assert 0 < sum(len(path.read_text().splitlines()) for path in folder.glob("*.py")) < 800
