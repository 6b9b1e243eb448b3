"""What ships works the moment the install is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robot_lfd.cli import call


def test_the_sample_demos_replay_bit_for_bit(capfd):
    assert call(["replay", "sample:lift-demos", "--check", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["ok"]


@pytest.mark.parametrize("policy", ["lift-iq", "robosuite-lift-iq", "push-iq", "square-iq"])
def test_the_sample_policies_do_their_task(policy: str, capfd):
    assert call(["eval", f"sample:{policy}", "--episodes", "4", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["success_rate"] >= 0.75


@pytest.mark.parametrize(("policy", "least"), [("hopper-iq", 3000), ("halfcheetah-iq", 3800)])
def test_the_sample_policies_walk_as_the_expert_does(policy: str, least: float, capfd):
    assert call(["eval", f"sample:{policy}", "--episodes", "2", "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out.splitlines()[-1])["return_mean"] > least
    assert "this environment tells none" in out, "nobody should read 0 % of success here"


def test_the_sample_page_is_written(tmp_path: Path):
    assert call(["review", "sample:lift-demos", "--export", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 50_000


def test_an_unknown_sample_names_those_there_are(capfd):
    assert call(["replay", "sample:nothing"]) == 1
    assert "sample:lift-demos" in capfd.readouterr().err
