"""The doctor: what works is said to work, what is missing comes with the command that gets it."""

import json

import pytest

from robot_lfd import cli, doctor
from robot_lfd.doctor import Check


def named(checks, name) -> Check:
    return next(c for c in checks if c.name == name)


def test_packages_are_compared_with_the_projects_own_ranges(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda name: ["numpy>=1.26,<2", "zarr>=99", "nowhere-to-be-found>=1"]
    )
    found = list(doctor._packages())
    assert named(found, "numpy").state == "ok"
    assert named(found, "zarr").state == "missing" and "wanted >=99" in named(found, "zarr").found
    assert named(found, "nowhere-to-be-found").fix.endswith("pip install 'nowhere-to-be-found>=1'")


def test_extras_are_not_asked_for(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ['gone>=1; extra == "dev"'])
    assert list(doctor._packages()) == []


def test_a_missing_library_names_its_package_and_one_that_is_there_does_not():
    gone = doctor._library(("libnowhere.so.9",), "somebody", "libnowhere9")
    assert gone.state == "missing" and gone.fix.endswith("apt-get install -y libnowhere9")
    there = doctor._library(("libnowhere.so.9", "libc.so.6"), "everybody", "libc6")
    assert (there.state, there.name, there.fix) == ("ok", "libc.so.6", "")


@pytest.mark.parametrize(("user", "start"), [(0, "apt-get"), (1000, "sudo apt-get")])
def test_only_those_who_are_not_root_are_told_to_use_sudo(monkeypatch, user, start):
    monkeypatch.setattr(doctor.os, "geteuid", lambda: user)
    assert doctor.apt("x").startswith(start)


def test_a_program_that_crashes_does_not_take_the_doctor_along():
    assert doctor._ask("import os; os.kill(os.getpid(), 11)") == (False, "crashed with signal 11")
    assert doctor._ask("raise ValueError('no GL')") == (False, "ValueError: no GL")
    assert doctor._ask("print('fine')") == (True, "fine")


def test_a_program_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.2)
    works, said = doctor._ask("while True: pass")
    assert not works and "no answer" in said


def test_without_a_display_that_is_a_note_and_not_a_fault(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert doctor._display().state == "note" and "xvfb" in doctor._display().fix


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "ENOUGH_GB", 1e9)
    assert doctor._disk(tmp_path).state == "note"


def test_something_missing_makes_the_exit_code_1_and_is_named_in_the_json(monkeypatch, capsys):
    monkeypatch.setattr(
        doctor, "examine", lambda: iter([Check("a", "ok", "1"), Check("b", "missing", "[no]", "get b")])
    )
    assert cli.call(["doctor", "--json"]) == 1
    out = capsys.readouterr().out
    assert "get it with: get b" in out and "[no]" in out
    assert json.loads(out.splitlines()[-1])["missing"] == ["b"]


def test_what_the_other_tests_use_is_found_on_this_machine():
    assert (
        doctor._draws("pybullet/Reach-v0", "pictures").state == doctor._video().state == doctor._python().state == "ok"
    )
    assert named(list(doctor._packages()), "numpy").state == "ok"
    assert "pybullet/Lift-v0" in doctor._environments().found


@pytest.mark.slow
def test_the_whole_examination_of_this_machine_ends_well(capsys):
    cli.call(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    states = {c["name"]: c["state"] for c in found["checks"]}
    assert states["torch device"] == states["robosuite pictures"] == states["PyBullet pictures"] == "ok"
