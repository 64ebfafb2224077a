"""What can change is put back in place, and the objects stay the same ones."""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from kvref.check.image import Image
from kvref.operations import Configuration, FullGroup, NewRequest, NewStep
from kvref.targets.inprocess import InProcessSession
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from tests.check.histories import admission


@dataclass(slots=True)
class _Slotted:
    number: int
    other: "_Slotted | None" = None


@dataclass(frozen=True)
class _Frozen:
    within: list[int]


@dataclass
class _Everything:
    numbers: list[int] = field(default_factory=lambda: [1, 2])
    names: dict[str, list[int]] = field(default_factory=lambda: {"a": [1]})
    order: OrderedDict[int, None] = field(default_factory=lambda: OrderedDict.fromkeys([3, 1, 2]))
    counts: Counter[str] = field(default_factory=lambda: Counter(a=2))
    members: set[int] = field(default_factory=lambda: {1})
    queue: deque[int] = field(default_factory=lambda: deque([1, 2]))
    slotted: _Slotted = field(default_factory=lambda: _Slotted(1, _Slotted(2)))
    frozen: _Frozen = field(default_factory=lambda: _Frozen([1]))
    pair: tuple[list[int], int] = ([1], 2)


def test_every_kind_of_container_is_put_back() -> None:
    one = _Everything()
    image = Image(one)
    one.numbers.append(3)
    one.names["a"].append(2)
    one.names["b"] = []
    one.order.move_to_end(3)
    one.counts["a"] -= 2
    one.members.clear()
    one.queue.popleft()
    assert one.slotted.other is not None
    one.slotted.other.number = 7
    one.slotted.other = None
    one.frozen.within.clear()
    one.pair[0].append(4)
    image.restore()
    assert one == _Everything(pair=([1], 2))
    assert [*one.order] == [3, 1, 2]


def test_what_was_replaced_is_the_same_object_again() -> None:
    one = _Everything()
    numbers = one.numbers
    image = Image(one)
    one.numbers = [5]
    image.restore()
    assert one.numbers is numbers


def test_an_attribute_that_came_later_is_gone() -> None:
    one = _Everything()
    image = Image(one)
    one.__dict__["later"] = 1
    image.restore()
    assert "later" not in vars(one)


def test_images_can_be_put_back_in_any_order_and_again() -> None:
    one = _Everything()
    first = Image(one)
    one.numbers.append(3)
    second = Image(one)
    one.numbers.clear()
    for image, expected in ((first, [1, 2]), (second, [1, 2, 3]), (first, [1, 2])):
        image.restore()
        assert one.numbers == expected


def test_a_manager_that_was_put_back_goes_on_as_if_nothing_had_happened() -> None:
    sessions: tuple[type[InProcessSession], ...] = (ReferenceSession, OptimizedSession)
    configuration = Configuration((FullGroup(1),), 4, 4, 1, 1)
    for kind in sessions:
        session = kind(configuration)
        session.apply(NewRequest("a", (1, 2)))
        session.apply(NewStep())
        image = Image(session)
        shown = []
        for _ in range(2):
            shown.append([(session.apply(one), session.view()) for one in admission("a", 2)])
            image.restore()
        assert shown[0] == shown[1]
        assert not session.view().tables
