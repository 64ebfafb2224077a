"""Recurrent states."""

from kvref.zoo.bug import Bug, Edit

BUGS = (
    Bug(
        "a-state-is-hit-before-it-is-there",
        "MAMBA-3",
        "A request resumes from a state that the step being scheduled has yet to compute.",
        (
            Edit(
                "allocation", "        if self._resumes_from_this_step(hits):\n            return None\n", ""
            ),
        ),
        origin="vllm-project/vllm#29387",
    ),
    Bug(
        "rejected-drafts-find-no-state",
        "MAMBA-2",
        "States are released as if no draft were ever taken back.",
        (Edit("groups", "self.first_read(computed - self.drafts)", "self.first_read(computed)"),),
        origin="vllm-project/vllm#47728",
    ),
    Bug(
        "the-running-state-is-released",
        "MAMBA-2",
        "A state goes when the token at its end is computed, though the next one reads it.",
        (Edit("groups", "        return max(0, computed - 1)\n", "        return max(0, computed)\n"),),
    ),
    Bug(
        "a-moved-block-stays-where-it-was",
        "MAMBA-7",
        "A draft's block that moves behind the running state is listed in its old place, too.",
        (
            Edit(
                "tables",
                "            row.append(row[index])\n            row[index] = 0\n",
                "            row.append(row[index])\n",
            ),
        ),
        origin="ai-dynamo/dynamo#13398",
    ),
    Bug(
        "a-moved-block-counts-as-needed",
        "MAMBA-7",
        "The step that moves drafts' blocks asks for fresh ones, and is refused where none is free.",
        (
            Edit(
                "tables",
                "    return min(target - length, group.drafts + 1) if is_new else 1\n",
                "    return min(target - length, group.drafts + 1)\n",
            ),
        ),
        hidden={
            "invariants": "no invariant asks for a grant",
            "safe": "a step that is refused once is granted after a preemption",
        },
    ),
    Bug(
        "an-external-state-is-not-counted",
        "BIND-8",
        "The block of a state that a connector brings is taken, and was not counted.",
        (
            Edit(
                "tables",
                "    need = start.external + growth_need(",
                "    need = (0 if group.is_state else start.external) + growth_need(",
            ),
        ),
        origin="Q-4",
    ),
    Bug(
        "states-that-stand-apart-leak",
        "MAMBA-2",
        "An old state with nulls around it leaves its table and is never free again.",
        (
            Edit(
                "tables",
                "        pool.stretches.release(row, first, at)\n        at = first\n",
                "        at = first\n",
            ),
        ),
        origin="Q-52",
    ),
    Bug(
        "steps-never-begin",
        "MAMBA-4",
        "States of all past steps count as yet to be computed.",
        (Edit("manager", "            one.cached_this_step.clear()", "            pass"),),
        hidden={"invariants": "no invariant asks for a grant"},
    ),
)
