"""A tap changes nothing that a caller sees, and notes alike in its plain and its native form."""

import gc
import importlib.util
import random
import shutil
import sys
import weakref
from collections.abc import Callable
from itertools import product
from pathlib import Path
from traceback import extract_tb
from types import SimpleNamespace
from typing import Any

import pytest

from kvref.record import taps
from kvref.record.notes import TAPS, Notes, native
from kvref.record.taps import AS_IS, BARE, FOUND, HIT, LENGTH, NAMED, NOTHING, OF_REQUEST, ROWS, WHETHER
from tools.compile import compile_taps

FORMS = ("plain", "native")


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("taps")
    compile_taps(folder)
    (built,) = folder.glob("native_taps.*")
    spec = importlib.util.spec_from_file_location("native_taps", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"plain": taps, "native": module}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, forms: dict[str, Any]) -> Any:
    return forms[request.param]


class Requested:
    """A request, as far as taps look at one."""

    def __init__(self, tokens: int, state: Any = None) -> None:
        self._all_token_ids = list(range(tokens))
        self.state = state


def tell(*_: Any) -> None: ...


class Defects(list[Exception]):
    """What taps have told of."""


def drained(queue: Any) -> list[tuple[Any, ...]]:
    return [queue.popleft() for _ in range(len(queue))]


BLOCKS = SimpleNamespace(blocks=([1, 2], [], [3]))
RESULTS: dict[int, tuple[Any, ...]] = {
    AS_IS: (None, 5, 10**30, "a"),
    WHETHER: (None, BLOCKS, 0),
    LENGTH: ([], [1, 2]),
    ROWS: (BLOCKS, SimpleNamespace(blocks=()), SimpleNamespace(blocks=[[4]])),
    HIT: ((BLOCKS, 0), (BLOCKS, 300)),
    FOUND: ((BLOCKS, 7),),
    NOTHING: (None, 5),
}
KEPT = {
    AS_IS: RESULTS[AS_IS],
    WHETHER: (False, True, True),
    LENGTH: (0, 2),
    ROWS: (((1, 2), (), (3,)), (), ((4,),)),
    HIT: (0, 300),
    FOUND: ((7, (1, 2), (), (3,)),),
    NOTHING: (None, None),
}


@pytest.mark.parametrize(("shape", "keeps"), [*product((BARE, NAMED, OF_REQUEST), RESULTS)])
def test_a_note_has_what_is_kept_of_the_result_and_what_was_given(form: Any, shape: int, keeps: int) -> None:
    queue, one = form.Queue(), Requested(400, state="new")
    for result, kept in zip(RESULTS[keeps], KEPT[keeps], strict=True):
        extra = "state" if result is not None else None
        tap = form.around(queue, lambda *_, of=result, **__: of, tell, tell, tell, shape, keeps, extra)
        given: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((one,), {}),
            ((one, 3), {"more": -1, "flag": True}),
            ((), {"other": 2**62, "request": one}),
        ]
        for arguments, named in given if shape != BARE else [((), {})]:
            assert tap(*arguments, **named) is result
            end = () if shape == BARE else (arguments, named)
            middle = (400, "new" if extra else None) if shape == OF_REQUEST else ()
            assert drained(queue) == [(tell, kept, *middle, *end)]


def test_the_lists_of_a_manager_are_copied(form: Any) -> None:
    queue, blocks = form.Queue(), SimpleNamespace(blocks=([1],))
    form.around(queue, lambda: blocks, tell, tell, tell, NAMED, ROWS)()
    blocks.blocks[0].append(2)
    assert drained(queue) == [(tell, ((1,),), (), {})]


@pytest.mark.parametrize("even_if_raised", [False, True])
def test_what_a_method_raises_is_told_and_raised_as_it_is(form: Any, even_if_raised: bool) -> None:
    error, told, queue = ValueError("full"), Defects(), form.Queue()

    def method(*_: Any) -> None:
        raise error

    tap = form.around(queue, method, tell, told.append, tell, OF_REQUEST, AS_IS, None, even_if_raised)
    one = Requested(2)
    with pytest.raises(ValueError, match="full") as caught:
        tap(one, 5)
    assert caught.value is error
    assert caught.traceback[-1].name == "method"
    assert told == [error]
    assert drained(queue) == [(tell, None, 2, None, (one, 5), {})] * even_if_raised


def test_an_interrupt_is_not_the_methods(form: Any) -> None:
    told, queue = Defects(), form.Queue()

    def method() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        form.around(queue, method, tell, told.append, told.append, BARE, AS_IS)()
    assert (told, len(queue)) == ([], 0)


class Ends(SystemExit):
    """As the handler of a signal raises it, wherever Python's code runs just then."""


def ends(*_: Any) -> Any:
    raise Ends


class Ending:
    """Whatever is asked of it, a signal has come."""

    _all_token_ids = property(ends)
    __len__ = ends


def fails() -> None:
    raise ValueError


Played = Callable[[Any, Any], Any]


@pytest.mark.parametrize(
    "played",
    [
        lambda form, queue: form.around(queue, lambda _: 7, tell, tell, tell, OF_REQUEST, AS_IS)(Ending()),
        lambda form, queue: form.around(queue, Ending, tell, tell, tell, BARE, LENGTH)(),
        lambda form, queue: form.around(queue, fails, tell, ends, tell, BARE, AS_IS)(),
        lambda form, queue: form.around(queue, lambda: 7, tell, tell, ends, BARE, LENGTH)(),
        lambda form, queue: form.paced(queue, lambda: 7, tell, tell, tell, ends)(),
        lambda form, queue: form.saying_lengths(queue, tell, tell)({"r": Ending()}, ["r"]),
    ],
    ids=["noting", "keeping", "failed", "gave_up", "due", "lengths"],
)
def test_an_end_of_the_process_that_comes_while_a_tap_notes_is_not_lost(form: Any, played: Played) -> None:
    with pytest.raises(Ends):
        played(form, form.Queue())


def test_who_is_told_of_an_error_is_told_where_it_was_raised(form: Any) -> None:
    places = list[str]()

    def failed(error: Exception) -> None:
        places.extend(frame.name for frame in extract_tb(error.__traceback__))

    with pytest.raises(ValueError, match=r"^$"):
        form.around(form.Queue(), fails, tell, failed, tell, BARE, AS_IS)()
    assert places[-1] == "fails"


@pytest.mark.parametrize(
    ("shape", "keeps", "given", "kind"),
    [
        (OF_REQUEST, AS_IS, (object(),), AttributeError),
        (OF_REQUEST, AS_IS, (), KeyError),
        (OF_REQUEST, AS_IS, (SimpleNamespace(_all_token_ids=5),), TypeError),
        (NAMED, ROWS, (), AttributeError),
        (NAMED, HIT, (), TypeError),
        (BARE, LENGTH, (), TypeError),
    ],
)
def test_a_defect_of_ours_is_told_and_not_the_engines(
    form: Any, shape: int, keeps: int, given: tuple[Any, ...], kind: type[Exception]
) -> None:
    defects, queue = Defects(), form.Queue()
    tap = form.around(queue, lambda *_: 7, tell, tell, defects.append, shape, keeps)
    assert tap(*given) == 7
    assert [type(one) for one in defects] == [kind]
    assert len(queue) == 0


def test_a_defect_in_telling_of_an_error_leaves_the_error(form: Any) -> None:
    defects, error = Defects(), ValueError("theirs")

    def method() -> None:
        raise error

    def failed(_: Exception) -> None:
        raise TypeError("ours")

    with pytest.raises(ValueError, match="theirs") as caught:
        form.around(form.Queue(), method, tell, failed, defects.append, BARE, AS_IS)()
    assert caught.value is error
    assert [str(one) for one in defects] == ["ours"]


def test_requests_that_are_there_are_noted_with_their_lengths(form: Any) -> None:
    queue, defects = form.Queue(), Defects()
    say = form.saying_lengths(queue, tell, defects.append)
    there = {f"r{number}": Requested(number) for number in range(0, 300, 3)}
    say(there, {f"r{number}": 1 for number in range(300)})
    say(there, ["r6", "gone", "r3"])
    say(there, [])
    say({"r6": None, **there, "r3": None}, ["r6", "r3"])
    say({"r0": object()}, ["r0"])
    assert drained(queue) == [
        (tell, *there.values(), *range(0, 300, 3)),
        (tell, there["r6"], there["r3"], 6, 3),
        (tell,),
        (tell, there["r6"], 6),
    ]
    assert [type(one) for one in defects] == [AttributeError]


def test_names_that_become_more_while_they_are_looked_up_do_no_harm(form: Any) -> None:
    class Name:
        def __hash__(self) -> int:
            return 5

        def __eq__(self, _: object) -> bool:
            names.update((str(number), 1) for number in range(5000))
            return False

    queue, defects = form.Queue(), Defects()
    names: dict[Any, int] = {Name(): 1}
    requests: dict[Any, Any] = {str(number): Requested(1) for number in range(5000)}
    requests[5] = Requested(1)
    form.saying_lengths(queue, tell, defects.append)(requests, names)
    assert len(names) == 5001
    assert len(queue) + len(defects) == 1


def test_the_same_is_said_again_and_again(form: Any) -> None:
    queue, note = form.Queue(), (tell, 12)
    say = form.saying(queue, note)
    say()
    say()
    assert drained(queue) == [note, note]


def test_what_is_due_comes_behind_the_call_that_it_waits_for(form: Any) -> None:
    queue, at = form.Queue(), list[int]()

    def due() -> None:
        at.append(tap.calls)
        tap.until = tap.calls + 3

    tap = form.paced(queue, lambda: None, tell, tell, tell, due)
    for _ in range(8):
        tap()
    assert at == [1, 4, 7]
    tap.until = 0
    tap()
    assert at == [1, 4, 7, 9]
    assert drained(queue) == [(tell, None)] * 9


@pytest.mark.parametrize("seed", range(3))
def test_a_queue_keeps_the_order_of_its_notes_however_many_there_are(form: Any, seed: int) -> None:
    queue, choices = form.Queue(), random.Random(seed)  # noqa: S311 - a fixed seed is what is wanted
    say: Callable[..., Any] = form.around(queue, lambda *_: None, tell, tell, tell, NAMED, NOTHING)
    noted, taken = 0, 0
    for _ in range(60):
        for _ in range(choices.randrange(4000)):
            if choices.random() < 0.1:
                queue.append((noted,))
            else:
                say(noted, *range(noted % 7))
            noted += 1
        for _ in range(choices.randrange(min(3500, len(queue) + 1))):
            note = queue.popleft()
            assert note == ((taken,) if len(note) == 1 else (tell, None, (taken, *range(taken % 7)), {}))
            taken += 1
    assert len(queue) == noted - taken > 0
    assert noted > 60_000
    queue.clear()
    assert len(queue) == 0
    with pytest.raises(IndexError):
        queue.popleft()


def test_what_a_note_held_may_empty_the_queue_and_note_as_it_goes(form: Any) -> None:
    queue, lengths = form.Queue(), list[int]()

    class Going:
        def __del__(self) -> None:
            lengths.append(len(queue))
            queue.clear()
            queue.append((len(lengths),))

    tap = form.around(queue, tell, tell, tell, tell, NAMED, NOTHING)
    for number in range(100):
        tap(Going(), number, object(), "more")
    queue.clear()
    assert lengths == [0] + [1] * 99
    assert drained(queue) == [(100,)]


def test_nothing_is_kept_of_notes_that_were_taken_or_thrown_away(form: Any) -> None:
    queue, one, result = form.Queue(), Requested(3, state=10**20), (SimpleNamespace(blocks=([1],)), 10**20)
    defects = Defects()
    all_kept = [
        form.around(queue, lambda *_, **__: result, tell, tell, defects.append, OF_REQUEST, keeps, "state")
        for keeps in (AS_IS, WHETHER, LENGTH, FOUND, HIT, NOTHING, ROWS)
    ]
    say = form.saying_lengths(queue, tell, defects.append)
    followed = one, one.state, result, result[0], result[1], all_kept, tell

    def counts() -> list[int]:
        return [sys.getrefcount(each) for each in followed]

    def play() -> None:
        for tap in all_kept:
            tap(one, result[1], named=result)
            tap(request=one)
        say({"r": one}, ["r"])

    before = counts()
    for _ in range(50):
        play()
        drained(queue)
        play()
        queue.clear()
        defects.clear()
    assert counts() == before


def test_a_manager_with_taps_goes_when_nobody_wants_it(form: Any) -> None:
    class Manager:
        def free(self) -> None: ...

    manager, queue = Manager(), form.Queue()
    manager.free = form.around(queue, manager.free, tell, tell, tell, BARE, AS_IS)  # type: ignore[method-assign] # as a recorder does
    manager.free()
    queue.append((manager, queue))
    gone = weakref.ref(manager)
    del manager, queue
    gc.collect()
    assert gone() is None


def test_a_tap_is_whole_as_long_as_it_can_be_called_even_in_garbage(forms: dict[str, Any]) -> None:
    form, watches, heard = forms["native"], list[Any](), list[str]()

    class Last:
        """What a tap tells with: only the tap has it."""

        def __call__(self) -> None: ...

    class Holder:
        tap: Any
        others: list[Any]

        def __del__(
            self,
        ) -> None:  # behind the last look for weak references, and before garbage is taken apart
            this = weakref.ref(self)

            def call(_: object) -> None:
                holder = this()
                try:
                    heard.append(holder.tap() if holder is not None else "no holder")
                except (AttributeError, ReferenceError) as error:
                    heard.append(type(error).__name__)

            watches.extend(
                weakref.ref(one, call) for one in gc.get_referents(self.tap) if isinstance(one, Last)
            )

    def discard() -> None:
        first = list[Any]()
        tap = form.around(form.Queue(), lambda: "a result", Last(), first.append, tell, BARE, AS_IS)
        holder = Holder()
        first.append(holder)
        holder.tap, holder.others = tap, [holder, holder]

    discard()
    gc.collect()
    assert len(watches) == 1
    assert watches[0]() is None
    assert "ReferenceError" not in heard


def test_plain_taps_are_used_where_there_are_no_others_or_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, forms: dict[str, Any]
) -> None:
    assert Notes().taps is (native() or taps)
    assert Notes(forms["native"]).taps is forms["native"]
    monkeypatch.setenv(TAPS, "plain")
    assert Notes().taps is taps
    monkeypatch.delenv(TAPS)
    monkeypatch.delattr("kvref.record.native_taps", raising=False)
    monkeypatch.setitem(sys.modules, "kvref.record.native_taps", None)
    assert Notes().taps is taps


def test_the_native_form_has_all_that_the_plain_one_has(forms: dict[str, Any]) -> None:
    text = (Path(taps.__file__).with_name("native_taps.pyi")).read_text(encoding="utf-8")
    for name in ("Queue", "around", "paced", "saying", "saying_lengths"):
        assert hasattr(forms["native"], name)
        assert hasattr(taps, name)
        assert f" {name}(" in text or f"class {name}" in text
