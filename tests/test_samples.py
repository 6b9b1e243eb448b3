"""What ships works the moment the install is done."""

from __future__ import annotations

import json
from pathlib import Path

from robot_lfd.cli import call


def test_the_sample_demos_replay_bit_for_bit(capfd):
    assert call(["replay", "sample:lift-demos", "--check", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["ok"]


def test_the_sample_policy_lifts_the_cube(capfd):
    assert call(["eval", "sample:lift-iq", "--episodes", "4", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["success_rate"] >= 0.75


def test_the_sample_page_is_written(tmp_path: Path):
    assert call(["review", "sample:lift-demos", "--export", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 50_000


def test_an_unknown_sample_names_those_there_are(capfd):
    assert call(["replay", "sample:nothing"]) == 1
    assert "sample:lift-demos" in capfd.readouterr().err
