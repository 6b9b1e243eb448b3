"""The served page, driven as a person would drive it, in Debian's Chromium."""

import shutil
from concurrent.futures import Future

import pytest

from robot_lfd.demos.store import DemoStore
from tests.robot_lfd.record.conftest import wait_until
from tests.robot_lfd.review.conftest import Served, Serving, open_page

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.xdist_group("review")  # one browser, one set of demos
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> & 良い"


def frame(page) -> int:
    return int(page.get_by_role("slider", name="Time").get_attribute("aria-valuenow"))


def test_grid_filter_search_and_hover(page, served):
    assert page.locator(".card").count() == 4 and page.locator("#head h1").all_inner_texts() == ["reach", "lift"]
    page.get_by_role("radio", name="Not solved 0").check()
    assert page.get_by_text("No episode fits").is_visible()
    page.get_by_role("radio", name="All 4").check()
    page.get_by_role("searchbox").fill("nobody")
    assert page.locator(".card").count() == 0
    page.get_by_role("searchbox").fill("anna")
    page.get_by_label("Sort by").select_option("length")
    seconds = [float(t.split()[0]) for t in page.locator(".secs").all_inner_texts()]
    assert len(seconds) == 4 and seconds == sorted(seconds)
    page.locator(".card a").first.hover()
    page.wait_for_selector(".thumb video")


def test_scrubbing_by_keyboard_mouse_and_playing(page):
    page.locator(".card a").nth(1).click()
    page.wait_for_selector(".screen video")
    steps = int(page.get_by_role("slider", name="Time").get_attribute("aria-valuemax"))
    for key, expected in (("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", steps), ("Home", 0)):
        page.keyboard.press(key)
        assert frame(page) == expected
    plot = page.locator(".plot").first.bounding_box()
    page.mouse.click(plot["x"] + plot["width"] / 2, plot["y"] + 10)
    middle = frame(page)
    assert abs(middle - steps / 2) <= 1
    hz = 20.0
    shown = page.locator(".screen video").evaluate("v => v.currentTime")
    assert shown == pytest.approx((middle + 0.5) / hz, abs=0.02)
    page.keyboard.press(" ")
    wait_until(lambda: frame(page) > middle + 3, what="the video to play on")
    page.keyboard.press("Escape")
    page.wait_for_selector(".card")


def test_label_note_trim_delete_and_undo_are_in_the_log_and_survive_a_killed_server(recorded, tmp_path, browser):
    shutil.copytree(recorded / "reach", tmp_path / "reach")
    served = Served(tmp_path / "reach")
    page = open_page(browser, served.url)
    page.locator(".card a").first.click()
    page.get_by_role("button", name="✕ Not solved").click()
    page.wait_for_selector(".bar .pill.bad")
    page.get_by_label("Note", exact=True).fill(HOSTILE)
    page.get_by_label("Tags, with commas between").fill("bad grasp, slow")
    page.get_by_role("button", name="Keep note and tags").click()
    page.wait_for_selector("dd:has-text('bad grasp, slow')")
    for _ in range(5):
        page.locator(".track").press("ArrowRight")
    page.get_by_role("button", name="Cut before here").click()
    page.wait_for_selector("dt:has-text('Trim')")
    page.get_by_role("button", name="Delete").click()
    page.wait_for_selector(".pill:has-text('deleted')")
    page.locator("#toast button").click()  # undo the deletion
    playwright.expect(page.locator(".pill:has-text('deleted')")).to_have_count(0)
    assert page.title() != "hacked"
    served.kill()
    page.close()
    store = DemoStore.open(tmp_path / "reach")
    info = store.info(store.ids(deleted=True)[0])
    assert (info.success, info.note, info.tags, info.deleted) == (False, HOSTILE, ("bad grasp", "slow"), False)
    assert info.trim is not None and info.trim[0] == 5 and info.trim[1] == info.attributes["length"]


def test_two_tabs_do_not_overwrite_one_another(page, served, browser):
    other = browser.new_page()
    other.goto(served.url + "#e0")
    other.wait_for_selector("#main:not([aria-busy]) .edit")
    page.locator(".card a").first.click()
    page.get_by_label("Note", exact=True).fill("first")
    page.get_by_role("button", name="Keep note and tags").click()
    page.wait_for_selector("dd:has-text('first')")
    other.get_by_label("Note", exact=True).fill("second")
    other.get_by_role("button", name="Keep note and tags").click()
    other.wait_for_selector("#toast:has-text('changed meanwhile')")
    store = DemoStore.open(served.data / "reach")
    assert store.info(store.ids()[0]).note == "first"
    other.close()


def test_many_episodes_are_changed_at_once_and_taken_back_at_once(page, served):
    page.get_by_label("Select episode 1").first.check(force=True)
    page.get_by_label("Select episode 3").click(modifiers=["Shift"], force=True)
    assert page.get_by_text("3 episodes selected").is_visible()
    page.get_by_label("Tag for the selected episodes").fill("monday")
    page.get_by_role("button", name="Add tag").click()
    playwright.expect(page.locator(".card .pill:has-text('monday')")).to_have_count(3)
    page.get_by_label("Split of the selected episodes").select_option("valid")
    playwright.expect(page.locator(".card .pill:has-text('valid')")).to_have_count(3)
    store = DemoStore.open(served.data / "reach")
    assert [(*store.info(i).tags, store.info(i).split) for i in store.ids()] == [("monday", "valid")] * 3
    page.get_by_role("button", name="Delete", exact=True).click()
    playwright.expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    playwright.expect(page.locator(".card")).to_have_count(4)
    assert len(store.ids()) == 3
    page.get_by_role("button", name="Clear selection").click()
    playwright.expect(page.locator(".bulk")).to_be_hidden()


def test_filters_by_tag_length_operator_and_day(page, served):
    store = DemoStore.open(served.data / "reach")
    store.label(store.ids()[1], tags=("slow",))
    page.reload()
    page.wait_for_selector("#main:not([aria-busy]) .card")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Tag", exact=True).select_option(label="slow")
    playwright.expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Operator", exact=True).select_option(label="anna")
    playwright.expect(page.locator(".card")).to_have_count(4)
    page.get_by_label("Steps from").fill("100000")
    playwright.expect(page.locator(".card")).to_have_count(0)
    page.get_by_label("Steps from").fill("")
    page.get_by_label("Recorded from").fill("2199-01-01")
    playwright.expect(page.locator(".card")).to_have_count(0)


def test_an_episode_is_split_in_two_and_the_split_is_taken_back(page, served):
    store = DemoStore.open(served.data / "reach")
    first = store.ids()[0]
    whole = store.info(first).length
    page.locator(".card a").first.click()
    page.wait_for_selector(".edit")
    for _ in range(4):
        page.locator(".track").press("ArrowRight")
    page.get_by_role("button", name="Split here").click()
    page.wait_for_selector("#toast:has-text('split at step 4')")
    parts = [store.info(i).length for i in store.ids()[:2]]
    assert sorted(parts) == sorted([4, whole - 4]) and store.info(first).length == 4
    page.locator("#toast button").click()
    page.wait_for_selector("#toast:has-text('undone')")
    assert len(store.ids()) == 3 and store.info(first).length == whole


def test_another_camera_at_another_size(page):
    page.locator(".card a").first.click()
    page.wait_for_selector(".screen video")
    page.get_by_label("Size of the pictures").select_option("128")
    video = page.locator(".screen video")
    wait_until(lambda: video.count() and video.evaluate("v => v.videoWidth") == 128, what="pictures of 128 px")
    before = video.get_attribute("src")
    page.get_by_label("Camera").select_option("side")
    wait_until(lambda: video.count() and video.get_attribute("src") != before, what="the other camera")


def test_what_is_typed_outlives_another_change(page):
    page.locator(".card a").first.click()
    page.get_by_label("Note", exact=True).fill("half a thought")
    page.get_by_role("button", name="✕ Not solved").click()
    page.wait_for_selector(".bar .pill.bad")
    assert page.get_by_label("Note", exact=True).input_value() == "half a thought"


def tab_to(page, selector):
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab never reaches {selector}")


def test_everything_is_done_with_the_keyboard_alone(page, served):
    tab_to(page, ".card a")
    page.wait_for_selector(".thumb video")  # it plays for who cannot point
    page.keyboard.press("Enter")
    page.wait_for_selector(".episode")
    playwright.expect(page.locator("#episode-title")).to_be_focused()
    page.keyboard.press("PageDown")
    playwright.expect(page.locator("#episode-title")).to_have_text("Episode 2")
    page.wait_for_selector(".edit")
    tab_to(page, ".mark[aria-pressed=false]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bar .pill.bad")
    page.keyboard.press("Control+z")
    page.wait_for_selector("#toast:has-text('undone')")
    store = DemoStore.open(served.data / "reach")
    assert store.info(store.ids()[1]).success
    page.keyboard.press("Escape")
    page.wait_for_selector(".card")


def test_pages_turn_while_films_are_still_to_be_made_and_films_that_nobody_wants_are_given_up(page, served):
    asked = []

    def never(*_):
        asked.append(Future())
        return asked[-1]

    served.desk.clip = never
    page.locator(".card a").first.click()
    for key, number in [("PageDown", 2), ("PageUp", 1)] * 5:  # a browser holds six requests to one address
        playwright.expect(page.locator("#episode-title")).to_have_text(f"Episode {3 - number}")
        page.keyboard.press(key)
        playwright.expect(page.locator("#episode-title")).to_have_text(f"Episode {number}")
    wait_until(lambda: asked and all(f.cancelled() for f in asked[:-1]), what="the earlier films to be given up")
    last = asked[-1]
    page.keyboard.press("Escape")
    wait_until(last.cancelled, what="the last one, too")


def test_hostile_names_and_notes_are_text_in_the_browser(recorded, tmp_path, browser):
    home = tmp_path / "<b>bold<img src=x onerror=alert(1)>"
    shutil.copytree(recorded / "reach", home)
    store = DemoStore.open(home)
    first = store.ids()[0]
    store.label(first, note=HOSTILE + "ж" * 300, tags=(HOSTILE,))
    episode = store.recorded(first)
    store.append(episode.replace(meta={**episode.meta, "operator": HOSTILE, "stop_reason": HOSTILE, "stopped_at": 2}))
    server = Serving(home)
    page = open_page(browser, server.url)
    page.on("dialog", lambda dialog: page.problems.append(dialog.message))
    try:
        assert page.locator("#head h1").inner_text() == home.name
        assert (
            HOSTILE in page.locator(".card").first.inner_text() and HOSTILE in page.locator(".card").last.inner_text()
        )
        for card in (0, 3):
            page.locator(".card a").nth(card).click()
            page.wait_for_selector(".facts")
            assert HOSTILE in page.locator(".facts").inner_text()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.keyboard.press("Escape")
            page.wait_for_selector(".card")
        assert page.locator("img[src=x], main b b, h1 b").count() == 0 and "hacked" not in page.title()
        assert page.problems == []
    finally:
        page.close()
        server.close()


LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


@pytest.mark.parametrize(("scheme", "width"), LOOKS, ids=[f"{s} {w}" for s, w in LOOKS])
def test_axe_finds_no_fault_and_nothing_is_wider_than_the_screen(judged, browser, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(browser, judged.url, color_scheme=scheme, viewport={"width": width, "height": 844})
    for place, shown in (("", ".card"), ("#e0", ".chart"), ("#evaluation", ".startsRow")):
        page.goto(judged.url + place)
        page.wait_for_selector(shown)
        faults = [(v["id"], v["nodes"][0]["html"]) for v in axe.run(page).response["violations"]]
        assert faults == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
