"""The page on screens of all sizes, for fingers and for the mouse; what it remembers, and where its notices are."""

from __future__ import annotations

from typing import Any

import pytest
from studio_browser import FAKE_MIDI, Open, Page, choose, dropped, set_length, until

import preludio
from preludio.performance import Performance

SIZES = [(320, 640), (390, 844), (844, 390), (1280, 800), (2560, 1440)]
PHONES = [size for size in SIZES if min(size) < 500]
FINGER = {"has_touch": True, "is_mobile": True}


def sized(visit: Open, size: tuple[int, int], **options: Any) -> Page:
    how = FINGER if size in PHONES else {}
    return visit(viewport={"width": size[0], "height": size[1]}, **how, **options)


def with_a_tune(page: Page, n: int = 200, every_ms: int = 250) -> Page:
    dropped(page, preludio.write_midi(Performance([(i * every_ms, i * every_ms + 200, 48 + i % 24, 70) for i in range(n)])))
    until(page, "preludio.piece?.kind === 'midi'")
    return page


# What a finger can touch, smaller than 44 px either way; and what lies beyond the window's edges, unless it scrolls by itself.
# The black keys lie between white ones that are 44 px wide: they are as a piano's are.
TOO_SMALL = """() => [...document.querySelectorAll("a[href], button, input, select, summary, label")].filter((element) => {
  if (element.matches(".key.black, .unseen, .skip") || !element.checkVisibility({ checkVisibilityCSS: true })) return false;
  const label = element.closest("label");
  const { width, height } = (element.matches("input, select") && label ? label : element).getBoundingClientRect();
  return width > 0 && (Math.round(width) < 44 || Math.round(height) < 44);
}).map((element) => `${element.outerHTML.slice(0, 80)} ${JSON.stringify(element.getBoundingClientRect())}`)"""
CUT = """() => [...document.querySelectorAll("body *")].filter((element) => {
  if (element.closest(".piano, .icons, .unseen, .skip, svg") || !element.checkVisibility({ checkVisibilityCSS: true })) return false;
  const { left, right, width } = element.getBoundingClientRect();
  return width > 1 && (right > innerWidth + 1 || left < -1);
}).map((element) => element.outerHTML.slice(0, 90))"""
SHOW_ALL = """() => {
  for (const fold of document.querySelectorAll("details.more")) fold.open = true;
  preludio.player.setLoop(true);
  preludio.player.setRegion({ from: 2000, to: 5000 });
}"""


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("size", PHONES)
def test_on_a_phone_nothing_is_cut_and_nothing_is_too_small_to_touch(visit: Open, size: tuple[int, int], language: str) -> None:
    page = sized(visit, size, locale=language, script=FAKE_MIDI)
    for state in ("empty", "file", "theme", "play", "edit", "takes"):
        if state == "file":
            with_a_tune(page)
            page.evaluate(SHOW_ALL)
        elif state == "edit":
            page.evaluate("() => document.getElementById('edit').click()")
        elif state == "takes":
            page.evaluate("() => document.getElementById('edit').click()")
            set_length(page, 0)
            choose(page, "takes", "3")
            page.locator("#compose").evaluate("(button) => button.click()")
            until(page, "preludio.takes.open && !preludio.composing.on")
        elif state != "empty":
            choose(page, "begin", state)
        assert page.evaluate(TOO_SMALL) == [], state
        assert page.evaluate(CUT) == [], state
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), state


def test_a_phone_on_its_side_has_a_roll_to_see(visit: Open) -> None:
    """It had 40 px of it."""
    page = with_a_tune(sized(visit, (844, 390)))
    page.evaluate("() => scrollTo(0, 0)")
    roll, transport = page.locator("#roll").bounding_box(), page.locator("#play").bounding_box()
    assert roll["height"] >= 150
    assert transport["y"] + transport["height"] <= 390  # and Play beside it, without scrolling


def test_a_wide_window_is_used(visit: Open) -> None:
    page = with_a_tune(sized(visit, (2560, 1440)))
    roll = page.locator("#roll").bounding_box()
    assert roll["width"] > 2400
    assert roll["height"] > 500


# Fingers on the roll: each step is one event of the browser's own input.
def fingers(page: Page) -> Any:
    session = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    return send


def test_fingers_pan_and_pinch_the_roll_and_scroll_the_page_beside_it(visit: Open) -> None:
    page = with_a_tune(sized(visit, (390, 844)), n=800)
    page.evaluate("() => scrollTo(0, 0)")
    send = fingers(page)
    box = page.locator("#canvas").bounding_box()
    y = box["y"] + box["height"] / 2
    view = "() => [preludio.roll.startMs, preludio.roll.shownMs, scrollY, preludio.player.positionMs]"
    begin = page.evaluate(view)
    send("touchStart", (300, y))
    for x in (280, 220, 160, 100):
        send("touchMove", (x, y + 3))
    send("touchEnd")
    panned = page.evaluate(view)
    assert panned[0] - begin[0] == pytest.approx(200 / (box["width"] / begin[1]), rel=0.15)
    assert panned[1:] == begin[1:]
    send("touchStart", (150, y), (240, y))
    for spread in (10, 30, 60):
        send("touchMove", (150 - spread, y), (240 + spread, y))
    send("touchEnd")
    pinched = page.evaluate(view)
    assert pinched[1] < panned[1] / 2
    middle = [start + 195 * shown / 390 for start, shown, *_ in (panned, pinched)]
    assert middle[0] == pytest.approx(middle[1], abs=0.05 * panned[1])
    send("touchStart", (200, y))
    send("touchEnd")
    assert page.evaluate("() => preludio.player.positionMs") == pytest.approx(
        pinched[0] + (200 - box["x"]) * pinched[1] / box["width"], rel=0.02
    )
    assert page.evaluate("() => scrollY") == 0
    below = page.locator("#begin").bounding_box()["y"] + 30
    send("touchStart", (200, below))
    for dy in (40, 120, 200, 300):
        send("touchMove", (200, below - dy))
    send("touchEnd")
    until(page, "scrollY > 100")


def test_a_seek_while_paused_moves_the_picture_and_zooming_leaves_the_playhead_in_sight(visit: Open) -> None:
    page = with_a_tune(visit(), n=1200)  # five minutes: more than is shown at once
    see = "() => [preludio.roll.startMs, preludio.roll.startMs + preludio.roll.shownMs]"
    for ms in (200_000, 30_000, 290_000, 0):
        page.evaluate(f"() => preludio.player.seek({ms})")
        until(page, f"preludio.roll.position === {ms}")
        left, right = page.evaluate(see)
        assert left <= ms <= right
    page.evaluate("() => preludio.player.seek(150000)")
    until(page, "preludio.roll.position === 150000")
    for button in 3 * ["#zoom-in"] + 12 * ["#zoom-out"]:
        page.click(button)
        left, right = page.evaluate(see)
        assert left <= 150_000 <= right
    assert left == 0
    assert right == pytest.approx(1.02 * 299_950, rel=0.01)  # all of it


def test_the_wheel_zooms_about_the_pointer(visit: Open) -> None:
    page = with_a_tune(visit(), n=1200)
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 600, box["y"] + 50)
    under = "() => preludio.roll.timeAt(600)"
    before = page.evaluate(under)
    page.keyboard.down("Control")
    for turn in (-100, -100, -100, 100, -100):
        page.mouse.wheel(0, turn)
        page.wait_for_timeout(50)
        assert page.evaluate(under) == pytest.approx(before, abs=2)
    page.keyboard.up("Control")


def test_the_roll_is_sharp_at_every_zoom(visit: Open) -> None:
    """The browser's zoom changes how many pixels of the screen a pixel of the page has. The picture had as many as when it was measured."""
    page = with_a_tune(visit())
    session = page.context.new_cdp_session(page)
    for ratio in (1, 1.5, 3, 1.25):
        session.send("Emulation.setDeviceMetricsOverride", {"width": 1000, "height": 800, "deviceScaleFactor": ratio, "mobile": False})
        until(
            page, f"devicePixelRatio === {ratio} && document.getElementById('canvas').width === Math.round(preludio.roll.width * {ratio})"
        )


REMEMBERED = {"volume": "0.35", "length": "6", "surprise": "80", "tempo": "66", "beats": "3"}


def test_what_one_has_set_stays_set(visit: Open) -> None:
    """Volume, length, language, folds and all."""
    page = visit()
    choose(page, "begin", "play")
    for name, value in REMEMBERED.items():
        page.locator(f"#{name}").evaluate(
            "(field, value) => { field.value = value; field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change')); }",
            value,
        )
    page.uncheck("#count-in")
    choose(page, "takes", "3")
    page.click("#more summary")
    page.click("#falling-on")
    page.select_option("#language", "es")
    until(page, "document.documentElement.lang === 'es'")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert {name: page.input_value(f"#{name}") for name in REMEMBERED} == REMEMBERED
    assert page.input_value("#temperature") == "1.07"
    assert not page.is_checked("#count-in")
    assert page.evaluate("() => [document.getElementById('more').open, preludio.falling.on, document.documentElement.lang]") == [
        True,
        True,
        "es",
    ]
    assert page.is_checked("input[name=takes][value='3']")
    assert page.evaluate("() => preludio.sampler.volume.gain.value") == pytest.approx(0.35**2 * 1.55, rel=0.3)


def test_settings_that_make_no_sense_are_left(visit: Open) -> None:
    stored = '{"volume": "loud", "tempo": 9000, "beats": 77, "takes": {}, "length": [], "top-p": null}'
    page = visit(script=f"localStorage.setItem('preludio.settings', '{stored}');")
    assert page.input_value("#tempo") == "90"
    assert page.input_value("#beats") == "4"
    assert page.input_value("#top-p") == "1"


CONTROLS = "#compose, #again, #play, #to-start, #loop, #speed, #volume, #download summary, #piece-menu summary, #undo, #zoom-in, #edit"
# Two notices, and the controls that one of them covers: asked at once, for notices go away by themselves.
COVERED = """async (controls) => {
  const { notify } = await import("/static/js/notices.js");
  notify("One.");
  notify("Another, longer one, of a line or two, as are those that say what was done to a file.");
  const notices = [...document.querySelectorAll(".notice")].map((notice) => notice.getBoundingClientRect());
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  const covered = [...document.querySelectorAll(controls)].filter((e) => notices.some((n) => !apart(n, e.getBoundingClientRect())));
  document.querySelector(".notice button").click();
  return [notices.length, covered.map((element) => element.id || element.parentElement.id), document.querySelectorAll(".notice").length];
}"""


@pytest.mark.parametrize("size", SIZES)
def test_a_notice_covers_no_control_and_is_read_aloud(visit: Open, size: tuple[int, int]) -> None:
    page = with_a_tune(sized(visit, size))
    page.evaluate("() => scrollTo(0, 0)")
    assert page.evaluate(COVERED, CONTROLS) == [2, [], 1]
    assert page.get_attribute("#notices", "role") == "status"


def test_a_notice_of_the_open_list_can_be_pressed(visit: Open) -> None:
    """Beyond an open dialog nothing can: the notice lay there, and Undo with it."""
    page = with_a_tune(visit())
    piece = page.evaluate("() => preludio.piece.id")
    page.click("#library-open")
    page.locator("#pieces button[aria-label^='Delete']").first.click()
    page.locator("#notices").get_by_text("Undo", exact=True).click()
    until(page, f"preludio.piece?.id === '{piece}'")


def test_seams_are_where_a_prompt_ends_and_nowhere_else(visit: Open) -> None:
    page = with_a_tune(visit(), n=20)
    set_length(page, 0)
    page.click("#compose")
    until(page, "!preludio.composing.on && preludio.piece.history.length === 2 && preludio.piece.version.finished")
    prompt_ms = page.evaluate("() => preludio.piece.version.prompt_ms")
    assert page.evaluate("() => preludio.roll.seams") == [prompt_ms]
    page.evaluate("() => { preludio.player.pause(); preludio.player.seek(10000); }")
    page.click("#again")
    until(page, "!preludio.composing.on && preludio.piece.history.length === 3 && preludio.piece.version.finished")
    assert page.evaluate("() => preludio.roll.seams") == [prompt_ms]


def test_how_much_more_counts_from_where_the_new_music_begins_and_says_so(visit: Open) -> None:
    page = with_a_tune(visit(), n=80)
    set_length(page, 1)  # half a minute
    page.evaluate("() => preludio.player.seek(6000)")
    until(page, "document.getElementById('length-text').textContent.includes('0:06')")
    assert page.inner_text("#length-text") == (
        "“Compose” makes new music from 0:19 to about 0:49. "
        "“From 0:06 on again” makes it from 0:06 to about 0:36, in place of what comes after."
    )
    page.evaluate("() => { const use = document.getElementById('use'); use.value = 4000; use.dispatchEvent(new Event('input')); }")
    assert "“Compose” makes new music from 0:04 to about 0:34." in page.inner_text("#length-text")
