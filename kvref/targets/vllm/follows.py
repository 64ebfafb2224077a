"""The process of a shadow of vLLM: `follows.py FOLDER LEVEL continue|stop [KNOWN ...]`, a recording on its input.

It runs in the interpreter that has vLLM, and imports nothing of it.
"""

import sys
from pathlib import Path

import msgspec

from kvref.known_file import read_known
from kvref.record.entries import Header
from kvref.record.shadow import Level, Shadow, follow, give_up
from kvref.targets.deviations import Catalogue
from kvref.targets.vllm.deviations import CATALOGUE


def main() -> None:
    """Follow, to the end of the input."""
    folder, told, on_difference, *known = sys.argv[1:]
    level = msgspec.convert(told, Level)

    def shadow_of(header: Header) -> Shadow:
        own = [one for one in CATALOGUE if header.engine in one.releases]
        return shadow_at(header, level, (*read_known([Path(one) for one in known]), *own))

    try:
        follow(
            sys.stdin.buffer, Path(folder), shadow_of, stops=on_difference == "stop", ask=sys.stdout.buffer
        )
    except Exception as defect:  # noqa: BLE001 - told where the summary is looked for
        give_up(Path(folder), defect)


def shadow_at(header: Header, level: Level, catalogue: Catalogue) -> Shadow:
    """A shadow at a level."""
    if level != "safe":
        return Shadow(header, level, catalogue)
    from kvref.followed_safe import FollowedSafe  # noqa: PLC0415 - torch takes seconds

    return Shadow(header, level, safe=FollowedSafe(header.configuration))


if __name__ == "__main__":
    main()
