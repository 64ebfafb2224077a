"""The operations that the pool's proofs speak of are those that the reference's pool performs.

A proof over all pools says nothing of ours unless each step of ours is one that it describes. So states of the
reference's pool are written down as facts of a small world, and z3 is asked whether the proof's operation leads from
the one to the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
import z3

from kvref.reference.pool import BlockPool
from spec.eviction import Release
from spec.proofs import Claim, pool
from spec.proofs.pool import AFTER, BEFORE, NULL, State, chosen, given
from spec.units import BlockId, BlockKey, Blocks

BLOCKS = z3.Consts("block_0 block_1 block_2 block_3", pool.Block)
KEYS = z3.Consts("key_0 key_1", pool.Key)
NAMES = [BlockKey(b"0"), BlockKey(b"1")]
BY_RULE = {theorem.rules[0]: theorem.claims() for theorem in pool.THEOREMS}


@dataclass(frozen=True)
class Picture:
    """What of a pool the proofs speak of."""

    users: list[int]
    queue: list[int]
    keys: list[BlockKey | None]
    holders: dict[BlockKey, list[int]] = field(default_factory=dict)


def picture(ours: BlockPool) -> Picture:
    return Picture(
        [block.ref_cnt for block in ours.blocks],
        [*ours.free_queue],
        [block.block_hash for block in ours.blocks],
        {key: [*holders] for key, holders in ours.prefix_map.items()},
    )


def facts(state: State, seen: Picture) -> Iterator[z3.BoolRef]:
    """All that a picture says, in a world of these blocks and keys alone."""
    for index, block in enumerate(BLOCKS):
        yield state.users(block) == seen.users[index]
        yield state.queued(block) == (index in seen.queue)
        yield state.keyed(block) == (seen.keys[index] is not None)
        for name, key in zip(NAMES, KEYS, strict=True):
            yield state.mapped(key, block) == (index in seen.holders.get(name, []))
            if seen.keys[index] == name:
                yield state.key(block) == key
    for earlier, later in zip(seen.queue, seen.queue[1:], strict=False):
        yield state.at(BLOCKS[earlier]) < state.at(BLOCKS[later])


def world() -> Iterator[z3.BoolRef]:
    yield z3.Distinct(*BLOCKS)
    yield z3.Distinct(*KEYS)
    yield BLOCKS[0] == NULL
    yield z3.ForAll([pool.any_block], z3.Or(*[pool.any_block == block for block in BLOCKS]))
    yield z3.ForAll([pool.any_key], z3.Or(*[pool.any_key == key for key in KEYS]))


def leads(claim: Claim, before: Picture, after: Picture, block: int, key: int) -> bool:
    """Whether the claim's operation, done to the block, leads from one picture to the other."""
    solver = z3.Solver()
    solver.add(*world(), *facts(BEFORE, before), *facts(AFTER, after), *claim.assumptions)
    solver.add(chosen == BLOCKS[block], given == KEYS[key])
    return bool(solver.check() == z3.sat)


def random_step(ours: BlockPool, draw: Random) -> tuple[str, int, int]:
    """Perform one operation that is possible: the rule of it, the block, and the key."""
    block, key = draw.randrange(1, len(BLOCKS)), draw.randrange(len(NAMES))
    one = ours.blocks[block]
    used, rules = one.ref_cnt > 0, ["POOL-6", "POOL-8"]
    rules += ["POOL-1"] * bool(ours.free_queue) + ["POOL-7"] * used
    rules += ["CACHE-4"] * (used and one.block_hash is None)
    rules += ["RESET-1"] * (len(ours.free_queue) == len(BLOCKS) - 1)
    rule = draw.choice(rules)
    match rule:
        case "POOL-1":
            block = ours.take(Blocks(1))[0].block_id
        case "POOL-6":
            ours.hold([one])
        case "POOL-7":
            ends: list[tuple[BlockId, ...]] = [(), (one.block_id,)]
            draw.shuffle(ends)
            ours.release(Release(*ends))
        case "CACHE-4":
            ours.cache(one, NAMES[key])
        case "POOL-8":
            ours.uncache(one)
        case _:
            assert ours.reset()
    return rule, block, key


@pytest.mark.parametrize("seed", range(6))
def test_each_operation_of_the_references_pool_is_the_one_that_is_proved_about(seed: int) -> None:
    draw, ours = Random(seed), BlockPool(len(BLOCKS), caches=True, records_events=False)  # noqa: S311 - not for secrets
    met = set()
    for _ in range(12):
        before = picture(ours)
        rule, block, key = random_step(ours, draw)
        met.add(rule)
        assert leads(BY_RULE[rule][-1], before, picture(ours), block, key), (rule, before, picture(ours))
    assert len(met) > 3


def test_an_operation_that_is_done_wrongly_is_not_the_one_that_is_proved_about() -> None:
    full = Picture([0, 1, 0, 0], [2, 3], [None, NAMES[0], None, None], {NAMES[0]: [1]})
    freed = Picture([0, 0, 0, 0], [2, 3, 1], [None, NAMES[0], None, None], {NAMES[0]: [1]})
    (free,) = BY_RULE["POOL-7"]
    assert leads(free, full, freed, 1, 0)
    between = Picture(freed.users, [2, 1, 3], freed.keys, freed.holders)
    forgetful = Picture(freed.users, freed.queue, [None] * 4, {})
    leaked = Picture(freed.users, [2, 3], freed.keys, freed.holders)
    assert not any(leads(free, full, wrong, 1, 0) for wrong in (between, forgetful, leaked))
