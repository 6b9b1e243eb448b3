"""The served page, driven as a person would drive it, in Debian's Chromium."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from robot_lfd.demos.store import DemoStore
from tests.robot_lfd.record.conftest import wait_until

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
LFD = [sys.executable, "-m", "robot_lfd.cli"]
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> & 良い"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Three scripted demos of PyBullet's shortest task and one of robosuite's."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, env, count in (("reach", "pybullet/Reach-v0", "3"), ("lift", "robosuite/Lift-v0", "1")):
        argv = ["record", "--env", env, "--device", "scripted", "--episodes", count, "--out", str(folder / name)]
        subprocess.run([*LFD, *argv, "--operator", "anna"], check=True, capture_output=True)
    return folder


class Served:
    """`lfd review` in a process of its own."""

    def __init__(self, *paths):
        argv = ["review", *map(str, paths), "--port", "0", "--size-px", "64"]
        self.process = subprocess.Popen([*LFD, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.process.communicate()[1]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def served(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "data")
    server = Served(tmp_path / "data/reach", tmp_path / "data/lift")
    server.data = tmp_path / "data"
    yield server
    server.kill()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=args)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, served):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(90_000)  # a loaded machine draws slowly
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
    page.on("request", lambda r: page.problems.append(r.url) if not r.url.startswith((served.url, "blob:")) else None)
    page.goto(served.url)
    page.wait_for_selector("#main:not([aria-busy]) .card")  # it is there at once, measures come later
    yield page
    assert page.problems == []
    page.close()


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


def test_label_note_trim_delete_and_undo_are_in_the_log_and_survive_a_killed_server(page, served, browser):
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
    store = DemoStore.open(served.data / "reach")
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


def test_the_grid_and_an_episode_are_usable_with_the_keyboard_alone(page):
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.card a')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".episode")
    playwright.expect(page.locator("#episode-title")).to_be_focused()
    page.keyboard.press("PageDown")
    playwright.expect(page.locator("#episode-title")).to_have_text("Episode 2")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)], ids=["light laptop", "dark phone"])
def test_axe_finds_no_fault_and_nothing_is_wider_than_the_screen(page, served, browser, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    other = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 844})
    for place, shown in (("", ".card"), ("#e0", ".chart")):
        other.goto(served.url + place)
        other.wait_for_selector(shown)
        faults = [(v["id"], v["nodes"][0]["html"]) for v in axe.run(other).response["violations"]]
        assert faults == []
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other.close()


@pytest.fixture(scope="module")
def judged(recorded, tmp_path_factory):
    """A small IQ-Learn run and a clone, both evaluated, and the server that shows them with the demos."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(recorded / "reach", folder / "reach")
    for algo in ("iq", "bc"):
        more = ["--mode", "offline", "--pretrain-steps", "50"] if algo == "iq" else []
        argv = ["train", "--demos", folder / "reach", "--algo", algo, "--steps", "60", "--out", folder / algo, *more]
        subprocess.run([*LFD, *map(str, argv)], check=True, capture_output=True)
        argv = ["eval", str(folder / algo), "--episodes", "5"]
        subprocess.run([*LFD, *argv], check=True, capture_output=True)
    server = Served(folder / "reach", "--policy", folder / "iq", "--runs", folder / "bc")
    yield server
    server.kill()


def test_human_and_policy_side_by_side_on_one_clock_and_demos_ranked(judged, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(90_000)
    page.goto(judged.url)
    page.wait_for_selector("#main:not([aria-busy]) .card")
    assert sorted(page.locator(".pill:has-text('judged')").all_inner_texts()) == [f"judged {k} of 3" for k in (1, 2, 3)]
    page.get_by_label("Sort by").select_option("recovered")
    assert page.locator(".card .pill:has-text('judged')").first.inner_text() == "judged 3 of 3"
    page.locator(".card a").first.click()
    page.get_by_role("button", name="Policy beside").click()
    page.wait_for_selector(".pane:nth-child(2) video")
    wait_until(lambda: page.locator(".screen video").count() == 2, what="both films")
    page.keyboard.press("Shift+ArrowRight")  # ten frames, which each of them has
    times = page.locator(".screen video").evaluate_all("all => all.map(v => v.currentTime)")
    assert times == pytest.approx([10.5 / 20, 10.5 / 20], abs=0.02)
    page.close()


def test_the_evaluation_page_has_intervals_curves_paired_starts_and_failures_that_play(judged, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(90_000)
    page.goto(judged.url)
    page.get_by_role("link", name="Evaluation").click()
    playwright.expect(page.locator("#evaluation-title")).to_be_focused()
    cells = page.locator("tbody tr").all_inner_texts()
    assert len(cells) == 2 and all("of 5" in c and " to " in c for c in cells)
    assert page.locator("svg.runs").count() >= 1 and page.locator(".starts i").count() == 10
    assert page.get_by_text("common starts").is_visible()
    if page.locator(".cardButton").count():
        page.locator(".cardButton").first.click()
        page.wait_for_selector(".cardButton video", timeout=120_000)
    page.keyboard.press("Tab")
    page.close()


def ask(url, **kwargs):
    data = kwargs.pop("data", None)
    request = urllib.request.Request(
        url, data=data, headers=kwargs.pop("headers", {}), method=kwargs.pop("method", None)
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_foreign_pages_wrong_tokens_traversal_and_large_requests_are_refused(served):
    base, episode = served.url, DemoStore.open(served.data / "reach").ids()[0]
    origin, token = re.match(r"(http://[^/]+)/([^/]+)/", base).groups()
    change = f"{base}change"
    mine = {"Origin": origin, "Content-Type": "application/json"}
    assert ask(base)[0] == 200 and ask(f"{base}index.json")[0] == 200
    assert ask(origin)[0] == ask(f"{origin}/wrong/index.json")[0] == ask(f"{origin}/{token[:-1]}/")[0] == 403
    assert ask(base, headers={"Host": "evil.example"})[0] == 403
    assert ask(f"{base}index.json", headers={"Origin": "http://evil.example"})[0] == 403
    body = json.dumps({"changes": [{"dataset": 0, "id": episode, "note": "x", "revision": "?"}]}).encode()
    odd = body.replace(b'"note": "x"', b'"success": "yes"')
    assert ask(change, data=body, headers={"Content-Type": "application/json"})[0] == 403
    assert ask(change, data=body, headers={**mine, "Origin": "null"})[0] == 403
    assert ask(change, data=body, headers={**mine, "Content-Type": "text/plain"})[0] == 403
    assert ask(change, data=body, headers=mine)[0] == 409
    assert ask(change, data=b"x" * 200_000, headers=mine)[0] == 400
    assert ask(change, data=b"[]", headers=mine)[0] == ask(change, data=odd, headers=mine)[0] == 400
    assert ask(change, data=b'{"changes": [{"dataset": 0, "id": "../.."}]}', headers=mine)[0] == 400
    assert ask(f"{base}split", data=body, headers={"Content-Type": "application/json"})[0] == 403
    assert ask(f"{base}clip/0/{episode}?size=99999")[0] == ask(f"{base}film/0/1/2")[0] == 400
    assert ask(f"{base}clip/0/..%2F..%2Flabels.jsonl")[0] in (400, 404)
    assert ask(f"{base}still/0/../../../../etc/passwd")[0] in (400, 403, 404)
    assert ask(f"{base}curves/9/{episode}")[0] == 400
    assert not DemoStore.open(served.data / "reach").info(episode).note


def test_a_taken_port_is_one_plain_line(served, recorded):
    port = re.search(r":(\d+)/", served.url).group(1)
    done = subprocess.run(
        [*LFD, "review", str(recorded / "reach"), "--port", port], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 1 and f"port {port} is taken" in done.stderr and done.stderr.count("\n") == 1
