"""The floors of the house: who may import whom, and what starts without what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("robot_lfd", "teleop", "policies")
FLOORS = (  # from the top; a module may import from its own floor's neighbours below, never from above
    {"cli", "demo", "doctor"},
    {"record", "review", "train", "replay", "deploy"},
    {"demos", "evaluate"},
    {"envs", "checkpoint", "durable", "config", "rollout", "limits", "metrics", "video", "errors"},
)
ONLY_IN = {
    "zarr": ("robot_lfd/demos/",),
    "torch": ("policies/", "robot_lfd/train/", "robot_lfd/checkpoint.py"),
    "pygame": ("teleop/",),
    "tyro": ("robot_lfd/cli.py", "robot_lfd/config.py", "robot_lfd/demos/config.py"),
}


def python_files() -> list[Path]:
    return [f for package in PACKAGES for f in sorted((ROOT / package).rglob("*.py"))]


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", ["teleop", "policies"])
def test_the_two_leaves_import_neither_the_application_nor_each_other(package: str):
    others = set(PACKAGES) - {package}
    for file in (ROOT / package).rglob("*.py"):
        assert not {m.split(".")[0] for m in imports(file)} & others, file


@pytest.mark.parametrize("module", ONLY_IN)
def test_a_heavy_package_is_imported_only_where_it_belongs(module: str):
    for file in python_files():
        path = str(file.relative_to(ROOT))
        if module in {m.split(".")[0] for m in imports(file)}:
            assert path.startswith(ONLY_IN[module]), f"{path} imports {module}"


def test_no_arrow_runs_up_between_the_floors():
    height = {name: len(FLOORS) - i for i, floor in enumerate(FLOORS) for name in floor}
    for file in (ROOT / "robot_lfd").rglob("*.py"):
        own = file.relative_to(ROOT / "robot_lfd").parts[0].removesuffix(".py")
        for module in imports(file):
            parts = module.split(".")
            if own in height and parts[0] == "robot_lfd" and len(parts) > 1 and parts[1] in height:
                assert height[parts[1]] <= height[own], f"{file.name} imports {module} from above"


def test_no_pickle_is_ever_loaded():
    for file in python_files():
        text = file.read_text()
        assert not {"pickle", "dill", "joblib"} & {m.split(".")[0] for m in imports(file)}, file
        assert "allow_pickle=True" not in text and "torch.load(" not in text, file


def test_recording_starts_without_torch_and_the_command_line_starts_light():
    code = (
        "import sys, robot_lfd.cli, robot_lfd\n"
        "heavy = {'torch', 'pybullet', 'robosuite', 'zarr', 'pygame', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import robot_lfd.record\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
