"""What the policy thinks, how it was evaluated, and the exported file, in Debian's Chromium."""

import pytest

from robot_lfd import cli
from tests.robot_lfd.record.conftest import wait_until
from tests.robot_lfd.review.conftest import open_page

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.xdist_group("review")


def test_human_and_policy_side_by_side_on_one_clock_and_demos_ranked(judged, browser):
    page = open_page(browser, judged.url)
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
    page = open_page(browser, judged.url)
    page.get_by_role("link", name="Evaluation").click()
    playwright.expect(page.locator("#evaluation-title")).to_be_focused()
    cells = page.locator("tbody tr").all_inner_texts()
    assert len(cells) == 3 and all("of 3" in c and " to " in c for c in cells)  # a run, and two seeds of another
    assert page.locator("tbody th .legend").all_inner_texts() == ["iq", "bc"]
    assert page.locator("svg.runs").count() >= 1 and page.locator(".starts i").count() == 6
    assert page.get_by_text("common starts").is_visible()
    page.locator(".cardButton").first.click()
    page.wait_for_selector(".cardButton video")
    wait_until(lambda: page.locator(".cardButton video").evaluate("v => v.currentTime") > 0, what="the failure to play")
    assert page.problems == []
    page.close()


def test_the_exported_file_works_from_the_disk_and_asks_nobody_for_anything(judged, recorded, browser, tmp_path):
    folder, file = judged.data, tmp_path / "page.html"
    words = ["review", folder / "reach", recorded / "lift", "--policy", folder / "iq", "--runs", folder / "bc"]
    assert cli.call([*map(str, words), "--export", str(file), "--size-px", "64"]) == 0
    page = open_page(browser, file.as_uri())
    assert page.locator(".card").count() == 4 and page.locator("#head h1").all_inner_texts() == ["reach", "lift"]
    assert page.locator(".card img").evaluate_all("all => all.every(i => i.naturalWidth > 0)")
    page.locator(".card a").first.hover()
    video = page.locator(".thumb video")
    wait_until(lambda: video.count() and video.evaluate("v => v.currentTime") > 0, what="the card to play")
    page.locator(".card a").first.click()
    page.wait_for_selector(".screen video")
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator(".screen video").evaluate("v => v.currentTime") == pytest.approx(10.5 / 20, abs=0.02)
    assert page.locator(".plots h2").all_inner_texts()[:2] == ["value", "recovered reward"]
    drawn = "all => all.map(c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)"
    assert min(page.locator(".plots .chart canvas").evaluate_all(drawn)) > 2  # not blank
    assert page.locator(".edit").count() == 0
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Evaluation").click()
    assert page.locator("tbody tr").count() == 3
    assert page.problems == []
    page.close()
