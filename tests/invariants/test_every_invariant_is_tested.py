"""No invariant goes without a test that shows it failing."""

from importlib import import_module

from invariants import STATE_INVARIANTS, STEP_INVARIANTS, StateInvariant, StepInvariant

MODULES = ("references", "free_queue", "prefix_map", "content", "tables", "hits", "events", "effects")


def test_every_invariant_finds_a_corruption() -> None:
    names = [name for module in MODULES for name in vars(import_module(f"tests.invariants.test_{module}"))]
    every: list[StateInvariant | StepInvariant] = [*STATE_INVARIANTS, *STEP_INVARIANTS]
    for invariant in every:
        prefix = f"test_{invariant.id.replace('-', '_')}_finds_"
        assert any(name.startswith(prefix) for name in names), invariant.id
        assert invariant.statement
    assert len({invariant.id for invariant in every}) == len(every)
