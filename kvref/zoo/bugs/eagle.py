"""EAGLE's block behind the hit."""

from kvref.zoo.bug import CHOICE, Bug, Edit

_HARMLESS = "only the draft head reads it, and a bad draft is rejected"

BUGS = (
    Bug(
        "eagle-needs-no-block-behind",
        "EAGLE-1",
        "The block behind a hit, which EAGLE recomputes, is not asked for.",
        (Edit("lookup", "1 if kind.eagle and not kind.is_state else 0", "0"),),
        origin="Q-37",
        hidden={"safe": _HARMLESS},
    ),
    Bug(
        "eagles-block-costs-the-window-one",
        "EAGLE-2",
        "A window's hit is looked for with EAGLE's block, and cut by it afterwards: its first block is missing.",
        (
            Edit(
                "lookup",
                "self._first_missing(names, kind.first_read(length), length // size + extra)",
                "self._first_missing(names, kind.first_read(length + extra * size), length // size + extra)",
            ),
        ),
        origin="vllm-project/vllm#17398",
    ),
    Bug(
        "eagles-block-is-not-kept",
        "EAGLE-3",
        "Retention keeps a window's tail without the block behind it, and nothing is ever hit.",
        (Edit("retention", "self._shift = 1 if eagle else 0", "self._shift = 0 * int(eagle)"),),
        origin="vllm-project/vllm#44082",
        hidden={"invariants": CHOICE, "safe": CHOICE},
    ),
    Bug(
        "every-look-costs-eagle-a-block",
        "EAGLE-1",
        "Each time that a group is asked again the hit loses a unit, until nothing is left of it.",
        (
            Edit(
                "lookup",
                "            length = min(length, (most - size) // unit * unit)",
                "            length = (length - size) // unit * unit",
            ),
        ),
        origin="vllm-project/vllm#33270",
        hidden={"invariants": "no invariant asks for the longest hit", "safe": CHOICE},
    ),
    Bug(
        "a-state-lengthens-the-hit",
        "EAGLE-1",
        "A recurrent group is asked for a block more, as for EAGLE, and the hit is what it finds there.",
        (
            Edit(
                "lookup",
                "            return self._last_state(names, length)",
                "            return self._last_state(names, length + size if not self._found_to and length + size < most else length)",
            ),
            Edit(
                "lookup",
                "agreed = agreed + 1 if shorter == length else 1",
                "agreed = agreed + 1 if shorter >= length else 1",
            ),
            Edit(
                "lookup",
                "        first, end = self.kind.first_read(length), length // self.kind.block_size\n",
                "        first, end = self.kind.first_read(length), length // self.kind.block_size\n"
                "        end = end if self.kind.is_state else min(end, self._found_to - self._extra)\n",
            ),
        ),
        origin="Q-1",
    ),
    Bug(
        "equal-specs-do-not-share-eagle",
        "CFG-6",
        "Of groups with one spec only those that are marked feed the draft head.",
        (
            Edit(
                "groups",
                "config.enable_caching and _feeds_eagle(config, spec)",
                "config.enable_caching and index in config.eagle_groups",
            ),
        ),
        hidden={"safe": _HARMLESS},
    ),
)
