"""`lfd compare` on run folders made by hand: every number of the table can be checked against what lies there."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from robot_lfd.cli import call
from robot_lfd.evaluate import wilson_interval
from robot_lfd.evaluations import write_evaluation
from robot_lfd.runs import differences, families

SVG = "{http://www.w3.org/2000/svg}"


def make_run(path: Path, *, seed: int = 0, steps: int = 200, q: float = 1.0, **settings) -> Path:
    """Writes a run of `steps` steps with two metrics records and an empty, finished checkpoint."""
    (path / "checkpoints" / f"{steps:08d}").mkdir(parents=True)
    (path / "checkpoints" / f"{steps:08d}" / "DONE").write_text("")
    config = {"command": "train", "algo": "iq", "mode": "online", "demos": ["demos/lift"], "out": str(path)}
    (path / "config.json").write_text(json.dumps({**config, "seed": seed, "read": {"demos": 10}, **settings}))
    records = [{"step": s, "q_expert": q * s, "steps_per_s": 50.0, "train_s": s / 50} for s in (100, 200)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def evaluated(run: Path, step: int, solved: int, of: int = 50, seed: int = 1000) -> None:
    """Adds an evaluation in which the first `solved` episodes succeed with a return of 2, the others with 1."""
    rows = [{"seed": seed + i, "success": i < solved, "return_sum": 2.0 if i < solved else 1.0} for i in range(of)]
    write_evaluation(run, {"step": step, "seed": seed, "episodes": of, "success_rate": solved / of, "rows": rows})


def compare(capfd, *words: str) -> dict:
    assert call(["compare", *words, "--json"]) == 0
    return json.loads(capfd.readouterr().out.splitlines()[-1])


def test_the_last_checkpoint_is_the_result_and_the_best_stands_apart(tmp_path: Path, capfd):
    run = make_run(tmp_path / "iq")
    evaluated(run, 100, 48)
    evaluated(run, 200, 40)
    (row,) = compare(capfd, str(run))["families"]
    assert (row["final"]["success_rate"], row["best"]["success_rate"], row["best"]["step"]) == (0.8, 0.96, 100)
    assert row["final"]["interval"] == pytest.approx(wilson_interval(40, 50))
    assert row["final"]["return_mean"] == pytest.approx(1.8)
    assert (row["demos"], row["steps"], row["train_s"]) == (10, [200], 4.0)


def test_seeds_of_one_setting_are_one_row_wherever_they_lie(tmp_path: Path, capfd):
    seeds = tmp_path / "lift"
    for k, solved in enumerate((50, 49, 48)):
        evaluated(make_run(seeds / f"seed-{k}", seed=k), 200, solved)
    alone = make_run(tmp_path / "lift-again", seed=7)
    evaluated(alone, 200, 47)
    (row,) = compare(capfd, str(seeds), str(alone))["families"]
    assert row["seeds"] == [0, 1, 2, 7] and row["final"]["rates"] == [1.0, 0.98, 0.96, 0.94]
    assert row["final"]["success_rate"] == pytest.approx(194 / 200) and row["name"] == "lift"


def test_what_sets_runs_apart_is_named_and_defaults_of_older_runs_are_filled_in(tmp_path: Path):
    make_run(tmp_path / "a", batch_rows=128)  # the default, written down
    make_run(tmp_path / "b")
    make_run(tmp_path / "c", batch_rows=64)
    groups = families([tmp_path / n for n in "abc"])
    assert [len(g.runs) for g in groups] == [2, 1]
    assert differences(groups) == {"batch_rows": [128, 64]}


def test_two_runs_that_left_a_setting_open_are_of_one_setting_only_if_they_came_to_the_same(tmp_path: Path):
    for name, temperature in (("a", 0.1), ("b", 0.1), ("c", 0.02)):
        make_run(tmp_path / name, policy={"temperature": temperature, "window": 4})
    before = make_run(tmp_path / "d") / "checkpoints" / "00000200" / "config.json"
    before.write_text(json.dumps({"temperature": 0.02, "window": 4}))  # as earlier versions left it
    make_run(tmp_path / "e", temperature=0.02, policy={"temperature": 0.02, "window": 4})
    make_run(
        tmp_path / "f", changes=[{"step": 100, "bc_weight": [None, 0.2]}], policy={"temperature": 0.1, "window": 4}
    )
    groups = families([tmp_path / n for n in "abcdef"])
    assert [len(g.runs) for g in groups] == [2, 3, 1]
    assert differences(groups)["temperature"] == [0.1, 0.02, 0.1]


def test_the_same_starts_evaluated_twice_count_once(tmp_path: Path, capfd):
    run = make_run(tmp_path / "iq")
    evaluated(run, 200, 10, of=20)
    evaluated(run, 200, 50, of=50, seed=1010)  # 10 starts are in both: the later file counts
    (row,) = compare(capfd, str(run))["families"]
    assert row["final"]["episodes"] == 60


def test_the_picture_is_sound_svg_with_a_curve_and_a_band_a_family(tmp_path: Path, capfd):
    for name, algo, solved in (("iq", "iq", (30, 45)), ("sqil <x>", "sqil", (20, 25))):
        run = make_run(tmp_path / name, algo=algo)
        for step, k in zip((100, 200), solved, strict=True):
            evaluated(run, step, k)
    out = tmp_path / "pictures" / "curves.svg"
    found = compare(capfd, str(tmp_path / "iq"), str(tmp_path / "sqil <x>"), "--out", str(out), "--metrics", "q_expert")
    assert found["picture"] == str(out)
    root = ET.parse(out).getroot()
    assert len(root.findall(f".//{SVG}polyline")) == 4  # two families in two panels
    titles = [t.text for t in root.findall(f".//{SVG}text") if t.get("class") == "title"]
    assert titles == ["success in evaluation", "q_expert"]
    first = root.find(f".//{SVG}polyline")
    assert first is not None and first.get("points") == "190.0,100.0 380.0,25.0"  # 60 % at half way, 90 % at the end
    assert "sqil <x>" in [t.text for t in root.findall(f".//{SVG}text")]


def test_the_page_holds_picture_table_and_numbers_and_needs_nothing_else(tmp_path: Path, capfd):
    run = make_run(tmp_path / "iq")
    evaluated(run, 200, 40)
    page = tmp_path / "page.html"
    compare(capfd, str(run), "--out", str(page))
    text = page.read_text()
    assert "<svg" in text and "80 % (67–89)" in text and "http://www.w3.org/2000/svg" in text
    assert text.count("http") == 1 and "src=" not in text


def test_curves_of_logged_metrics_average_over_seeds(tmp_path: Path):
    for k, q in enumerate((1.0, 3.0)):
        make_run(tmp_path / "lift" / f"seed-{k}", seed=k, q=q)
    (group,) = families([tmp_path / "lift"])
    assert group.curve("q_expert") == {100: [100.0, 300.0], 200: [200.0, 600.0]}


def test_a_run_without_evaluation_is_said_to_be_so(tmp_path: Path, capfd):
    run = make_run(tmp_path / "iq")
    assert call(["compare", str(run)]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "not evaluated" in out and f"lfd eval {run}" in out.replace("\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{tmp}/none",), "no such run"),
        (("{tmp}/empty",), "is no run"),
        (("{tmp}/iq", "{tmp}/iq"), "is named twice"),
        (("{tmp}/iq", "--metrics", "nonsense"), "no run has the metric 'nonsense'; logged are: q_expert"),
        (("{tmp}/iq", "--out", "{tmp}/a.png"), "pictures are written as .svg or .html, found '.png'"),
        (("{tmp}/iq", "--out", "{tmp}/a.svg"), "nothing to draw"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(tmp_path: Path, capfd, words, message):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "iq")
    assert call(["compare", *(w.replace("{tmp}", str(tmp_path)) for w in words)]) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
