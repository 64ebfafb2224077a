"""What becomes of keys that are published before their content is computed, asked of the real scheduler."""

ANSWERS: tuple[tuple[str, str, str], ...] = (
    (
        "a victim that was allocated in this step, by priority",
        "**wrong read** (Q-18): it leaves its keys, and comes back to them",
        "q18_preempted_in_its_own_step.py",
    ),
    (
        "a victim, first come first served",
        "sound: who came last is asked last, and has been allocated nothing in this step",
        "",
    ),
    (
        "an abort with a step in flight",
        "sound: no abort comes between planning and launching, and what was launched runs first",
        "p13_abort_with_a_step_in_flight.py",
    ),
    (
        "a load in the background that is lost, or whose request is aborted",
        "sound: no key before it is told as done, nor a freed block; several groups end the scheduler (Q-74)",
        "p13_late_load_lost.py",
    ),
    (
        "a load within the step that is lost",
        "**wrong read** (Q-69): its keys stay, where the server recomputes",
        "q69_lost_load_keeps_its_keys.py",
    ),
    (
        "the same with a step in flight",
        "**wrong output** (Q-70): what was sampled from it is delivered",
        "q70_load_lost_with_a_step_in_flight.py",
    ),
    (
        "a reset with a step in flight that preempts",
        "sound: every reference is gone, so every key goes",
        "p13_reset_with_a_step_in_flight.py",
    ),
    (
        "the same with drafts in flight",
        "**wrong read** (Q-73): good outputs are dropped, and keys are published for another text",
        "q73_reset_with_drafts_in_flight.py",
    ),
    (
        "a session that stops within its accepted drafts",
        "**wrong read** (Q-71): its next input counts as computed",
        "q71_session_stops_within_its_drafts.py",
    ),
    (
        "a session that stops with a step in flight",
        "**wrong read** (Q-72): a late token lands behind its next input",
        "q72_session_stops_with_a_step_in_flight.py",
    ),
)


def lines() -> list[str]:
    """A table, as lines of Markdown."""
    return [
        "",
        "## Keys before content",
        "",
        "Keys are published when slots are allocated, before the step has computed what they stand for (PROTO-13).",
        "Who leaves them behind, asked of the real scheduler; each answer is a file that runs.",
        "",
        "| who | what becomes of it | shown by |",
        "| --- | --- | --- |",
        *(f"| {who} | {what} | {_link(file)} |" for who, what, file in ANSWERS),
    ]


def _link(file: str) -> str:
    return f"[`{file}`](../reproducers/{file})" if file else "the order of `Scheduler.running`"
