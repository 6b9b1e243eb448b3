"""Evaluations on the disk: one file each, readable by anything, a damaged one never in the way."""

from __future__ import annotations

from robot_lfd.evaluations import read_evaluations, write_evaluation


def found(step: int, seed: int = 1000, rate: float = 0.5) -> dict:
    return {"step": step, "seed": seed, "episodes": 2, "success_rate": rate, "rows": []}


def test_evaluations_come_back_by_step_and_an_earlier_one_of_the_same_starts_is_replaced(tmp_path):
    for one in (found(10000), found(900), found(10000, seed=7), found(900, rate=1.0)):
        assert write_evaluation(tmp_path, one)
    assert read_evaluations(tmp_path) == [found(900, rate=1.0), found(10000, seed=7), found(10000)]


def test_an_evaluation_of_a_checkpoint_lies_in_its_run(tmp_path):
    checkpoint = tmp_path / "checkpoints" / "00000900"
    checkpoint.mkdir(parents=True)
    assert write_evaluation(checkpoint, found(900)) == tmp_path.resolve() / "evaluations" / "900-1000.json"
    assert read_evaluations(tmp_path) == read_evaluations(checkpoint) == [found(900)]


def test_a_torn_or_foreign_file_is_left_out(tmp_path):
    write_evaluation(tmp_path, found(900))
    (tmp_path / "evaluations" / "1-1.json").write_text('{"step": 1, "se')
    (tmp_path / "evaluations" / "2-1.json").write_text("[1, 2]")
    assert read_evaluations(tmp_path) == [found(900)]


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path):
    (tmp_path / "evaluations").write_text("a file where the folder should be")
    assert write_evaluation(tmp_path, found(900)) is None and read_evaluations(tmp_path) == []
