"""The page in a real browser: what it draws at any step is what the manager's pictures say."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invariants.view import View
from kvref.explain.page import write_page
from kvref.explain.pool import states
from kvref.explain.story import Story
from kvref.targets.vllm.target import VllmTarget
from tests.explain.stories import HOSTILE, diverging, healthy, hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

SHOWN = """() => {
  const blocks = (list) => [...list.children].map((one) => one.textContent);
  const side = document.querySelector(".side:last-child");
  return {
    pool: [...side.querySelectorAll(".pool > [data-block]")].map((one) => [
      Number(one.dataset.block), one.classList[1], one.classList.contains("keyed")]),
    rest: [...side.querySelectorAll(".pool > .rest")].map((one) => one.textContent),
    queue: [...side.querySelectorAll(".queue > .block")].map((one) => one.dataset.block ?? one.textContent),
    tables: [...side.querySelectorAll(".table")].map((one) => [
      one.querySelector("b").textContent,
      [...one.querySelectorAll("ol")].map((row) => [...row.children].map(
        (cell) => cell.dataset.block ?? cell.textContent))]),
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless browser. Without one tests are skipped, but in CI, where they fail."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    lacking = "" if found else "no Chromium: apt-get install chromium"
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has it
    except ModuleNotFoundError:
        lacking = lacking or "no Playwright: pip install playwright"
    if lacking and os.environ.get("CI"):
        pytest.fail(lacking)
    if lacking:
        pytest.skip(lacking)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


Open = Callable[..., "Page"]


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Open]:
    """Opens a story's page from a file, offline. Whatever goes wrong in it fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    wrong: list[str] = []
    asked: list[str] = []

    def open_page(story: Story, **options: Any) -> "Page":
        path = tmp_path / "story.html"
        write_page(path, story, **options)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    context.close()
    assert wrong == []
    assert {url for url in asked if not url.startswith(("file://", "data:"))} == set()
    assert {url for url in asked if url.startswith("file://")} == {(tmp_path / "story.html").as_uri()}


def slide(page: "Page", to: int) -> None:
    """Move the slider as a hand does."""
    page.locator("#slider").evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input')); }", to
    )


def ids(told: list[str]) -> list[int]:
    """Block ids, ranges told as ranges."""
    found: list[int] = []
    for one in told:
        first, _, last = one.partition("\u2013")
        found += range(int(first), int(last or first) + 1)
    return found


def row(told: list[str]) -> list[int]:
    """Table entries, nulls told by their number."""
    nulls = [int(one.removeprefix("∅\u00d7")) for one in told if one.startswith("∅\u00d7")]
    return [0] * sum(nulls) + [int(one) for one in told if not one.startswith("∅\u00d7")]


def assert_drawn(page: "Page", view: View) -> None:
    """The page shows this picture."""
    shown = page.evaluate(SHOWN)
    pool = [(block, kind, keyed) for block, kind, keyed in shown["pool"]]
    kinds = [state.value for state in states(view)]
    assert pool == [(b, kinds[b], view.keys[b] is not None) for b in range(len(pool))]
    assert ids(shown["rest"]) == list(range(len(pool), len(view.ref_counts)))
    assert set(kinds[len(pool) :]) <= {"free"}
    assert ids(shown["queue"]) == view.free_queue
    assert {name: [row(cells) for cells in rows] for name, rows in shown["tables"]} == view.tables


def test_every_step_is_drawn_as_the_manager_was(opened: Open) -> None:
    story = healthy()
    page = opened(story)
    order = [*range(0, len(story.steps), 13), 349, 99, 100, 101, 0, 200, 199]
    for at in order:
        slide(page, at)
        view = story.steps[at].seen.view
        assert view is not None
        assert_drawn(page, view)
        assert page.locator("#place").inner_text() == f"operation {at} of 349"
    assert any(step.seen.view and len(step.seen.view.tables) > 1 for step in story.steps)


@pytest.mark.parametrize("part", ["queue", "blocks", "tables"])
def test_a_page_that_leaves_a_change_out_is_drawn_otherwise(opened: Open, tmp_path: Path, part: str) -> None:
    page = opened(diverging())
    path = tmp_path / "story.html"
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition('id="data">')
    data, _, tail = rest.partition("</script>")
    told = json.loads(data)
    assert told["steps"][3]["seen"]["delta"].pop(part)
    path.write_text(f'{head}id="data">{json.dumps(told)}</script>{tail}', encoding="utf-8")
    page.reload()
    slide(page, 3)
    view = diverging().steps[3].seen.view
    assert view is not None
    with pytest.raises(AssertionError):
        assert_drawn(page, view)


def test_a_part_of_a_story_begins_with_the_pool_as_it_was(opened: Open) -> None:
    story = healthy()
    page = opened(story, first=180, last=260)
    for at in (0, 80, 33):
        slide(page, at)
        view = story.steps[180 + at].seen.view
        assert view is not None
        assert_drawn(page, view)
        assert page.locator("#place").inner_text() == f"operation {180 + at} of 260"


def test_the_page_opens_at_the_divergence_with_both_sides(opened: Open) -> None:
    page = opened(diverging())
    assert page.locator("h1").inner_text() == "faulty differs from the reference at operation 5"
    assert page.locator("#place").inner_text() == "operation 5 of 5"
    assert page.locator(".side h4").all_inner_texts() == ["reference", "faulty"]
    ours, theirs = (
        page.locator(".side").nth(side).locator(".queue > .block").all_inner_texts() for side in (0, 1)
    )
    assert ours != theirs
    assert sorted(ours) == sorted(theirs)
    assert page.locator("#list .wrong").inner_text().split()[0] == "5"
    assert page.locator("#untold").inner_text().startswith("1 operation")


def test_the_rule_is_told_with_its_text_and_both_sides_are_aligned(opened: Open) -> None:
    page = opened(diverging())
    assert "FREE-1" in page.locator("#rules dt").all_inner_texts()
    assert "A freed table is released from its end, to the back." in page.locator("#rules").inner_text()
    assert page.locator("#sides thead th").all_inner_texts() == ["what", "reference", "faulty"]
    cells = page.locator("#sides tbody tr").first.locator("th, td").all_inner_texts()
    assert cells[0] == "free queue"
    assert json.loads(cells[1]) == [4, 5, 6, 7, 8, 3, 2, 1]


def test_the_keyboard_walks_through_the_steps(opened: Open) -> None:
    page = opened(diverging())
    seen = []
    for key in (
        "Home",
        "ArrowRight",
        "ArrowRight",
        "ArrowLeft",
        "End",
        "ArrowRight",
        "Home",
        "ArrowLeft",
        "d",
    ):
        page.keyboard.press(key)
        seen.append(int(page.locator("#slider").input_value()))
    assert seen == [0, 1, 2, 1, 5, 5, 0, 0, 5]
    page.locator("#slider").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#slider").input_value() == "4"
    assert "A scheduling step begins." in (page.locator("#slider").get_attribute("aria-valuetext") or "")


def test_buttons_and_the_list_go_to_a_step(opened: Open) -> None:
    page = opened(diverging())
    assert page.locator("#jump").is_disabled()
    page.locator("#previous").click()
    page.locator("#previous").click()
    assert page.locator("#step h3").inner_text() == "r asks for slots for 9 new tokens."
    page.locator("#next").click()
    assert page.locator("#step h3").inner_text() == "A scheduling step begins."
    page.locator("#list button").nth(2).click()
    assert page.locator("#list [aria-current]").inner_text().split()[0] == "2"
    page.locator("#jump").click()
    assert page.locator("#place").inner_text() == "operation 5 of 5"


def test_a_healthy_story_has_no_verdict_and_nothing_to_jump_to(opened: Open) -> None:
    page = opened(healthy())
    assert page.locator("h1").inner_text() == "optimized agrees with the reference in 350 operations"
    for hidden in ("#verdict", "#jump", "#mark", "#known"):
        assert not page.locator(hidden).is_visible()


def test_names_are_text_whatever_they_look_like(opened: Open) -> None:
    page = opened(hostile())
    assert page.locator("script").count() == 2
    assert page.locator("main b[onclick], header b[onclick]").count() == 0
    assert page.locator("#note").text_content() == HOSTILE
    page.keyboard.press("Home")
    assert page.locator("#step h3").text_content() == f"Request {HOSTILE} arrives with 9 tokens."
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.locator(".table b").text_content() == HOSTILE


def test_a_picture_that_lies_is_drawn_as_far_as_it_goes(opened: Open) -> None:
    story = diverging()
    sound = story.steps[3].seen.view
    assert sound is not None
    lies = (
        replace(sound, free_queue=[99, 4, 4]),
        replace(sound, tables={"r": [[1, 77], [2], [3]]}, handled={}),
        replace(sound, ref_counts=sound.ref_counts[:3], keys=[]),
        replace(sound, ref_counts=[1] * 20, keys=[None] * 20, reserved=[0, 50]),
    )
    steps = tuple(
        replace(step, seen=replace(step.seen, view=lie)) for step, lie in zip(story.steps, lies, strict=False)
    )
    page = opened(replace(story, steps=steps, wrong=None))
    told = []
    for at in range(len(lies)):
        slide(page, at)
        told.append(page.evaluate(SHOWN))
    assert told[0]["queue"] == ["99", "4", "4"]
    assert told[1]["tables"] == [["r", [["1", "77"], ["2"], ["3"]]]]
    assert len(told[3]["pool"]) == 20


def test_a_block_tells_who_holds_it_and_is_not_known_by_colour_alone(opened: Open) -> None:
    page = opened(diverging())
    slide(page, 3)
    block = page.locator(".pool [data-block='1']")
    told = block.get_attribute("aria-label") or ""
    assert told == "Block 1: held by one table entry; r, group 0, entry 0; content: tokens 0\u20133 of r"
    block.hover()
    assert page.locator("#about").inner_text() == told
    assert page.locator(".table [data-block='1'].pointed").count() == 1
    kinds = ("free", "cached", "used", "shared", "reserved", "lost")
    looks = {
        kind: page.evaluate(
            """(kind) => {
              const probe = document.createElement("span");
              probe.className = `block ${kind}`;
              document.body.append(probe);
              const style = getComputedStyle(probe);
              return `${style.borderTopStyle} ${style.borderTopWidth}`;
            }""",
            kind,
        )
        for kind in kinds
    }
    # Cached blocks have a dot besides, and lost ones a question mark.
    assert len({looks[kind] for kind in ("free", "used", "shared", "reserved", "lost")}) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1200])
def test_the_page_fits_its_window_in_light_and_dark(opened: Open, scheme: Any, width: int) -> None:
    page = opened(diverging())
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    overhang = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overhang <= 0
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = sum(int(part) for part in paper.removeprefix("rgb(").removesuffix(")").split(",")) / 3
    assert (shade > 200) == (scheme == "light")


@pytest.mark.vllm
def test_a_known_deviation_of_the_real_vllm_is_told(opened: Open, vllm_target: VllmTarget) -> None:
    from tests.explain.test_exact import q_1  # noqa: PLC0415 - its target is costly

    page = opened(q_1(vllm_target))
    assert page.locator("h1").inner_text() == "vllm==0.23.0 differs from the reference at operation 4"
    assert "HIT-7" in page.locator("#rules").inner_text()
    assert page.locator("#known").inner_text().startswith("Known deviation Q-1")
    assert page.locator(".side .answer").all_inner_texts() == [
        "A hit of 0 tokens.",
        "A hit of 1 token: group 1: 3.",
    ]
