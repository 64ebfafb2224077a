"""Statistics, and what is to be zeroed."""

from kvref.zoo.bug import REPORT, Bug, Edit, Level

_UNASKED: dict[Level, str] = {"hits": REPORT, "safe": REPORT}

BUGS = (
    Bug(
        "preempted-requests-count-as-new",
        "STATS-1",
        "The lookups of preempted requests are counted with those of new ones.",
        (Edit("manager", "preempted = request.num_preemptions > 0", "preempted = False"),),
        hidden={**_UNASKED, "invariants": REPORT},
    ),
    Bug(
        "statistics-never-start-anew",
        "STATS-2",
        "Statistics that were handed over are counted again.",
        (
            Edit(
                "manager",
                "            self.prefix_cache_stats = PrefixCacheStats()\n",
                "            self.prefix_cache_stats = stats\n",
            ),
        ),
        hidden={**_UNASKED, "invariants": REPORT},
    ),
    Bug(
        "a-reset-is-not-counted",
        "RESET-2",
        "A reset that succeeded does not show in the statistics.",
        (Edit("manager", "            self.prefix_cache_stats.reset = True", "            pass"),),
        hidden={**_UNASKED, "invariants": REPORT},
    ),
    Bug(
        "loaded-blocks-are-not-zeroed",
        "IDS-1",
        "Blocks for external tokens are not told as new.",
        (Edit("allocation", "            if start.external and group.is_zeroed:", "            if False:"),),
        hidden={**_UNASKED, "invariants": REPORT},
    ),
    Bug(
        "new-blocks-are-told-twice",
        "IDS-1",
        "Blocks that were told as new are told again.",
        (Edit("manager", "            ids.clear()", "            pass"),),
        hidden={**_UNASKED, "invariants": REPORT},
    ),
)
