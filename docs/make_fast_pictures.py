"""Makes docs/images/fast-pictures-pybullet.png: each picture beside its fast one. python docs/make_fast_pictures.py"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.pybullet_pictures import QUALITIES
from robot_lfd.envs.registry import PYBULLET_TASKS, make_env

OUT = Path(__file__).parent / "images" / "fast-pictures-pybullet.png"
SIZE_PX, SHOWN_PX, STEPS = 84, 168, 12


def row(task: str, robot: str) -> np.ndarray:
    """Returns both pictures of each camera, side by side."""
    shown = []
    for quality in QUALITIES:
        arm = arm_of(make_env(f"pybullet/{task}-v0", robot=robot, pictures=quality))
        arm.reset(seed=1)
        rng = np.random.default_rng(1)
        for _ in range(STEPS):
            arm.step(rng.uniform(-1, 1, arm.action_space.shape).astype(np.float32))
        shown.append([arm.render_camera(camera, SIZE_PX, SIZE_PX) for camera in arm.camera_names])
        arm.close()
    large = [
        cv2.resize(p, (SHOWN_PX, SHOWN_PX), interpolation=cv2.INTER_NEAREST)
        for ps in zip(*shown, strict=True)
        for p in ps
    ]
    return np.concatenate(large, 1)


if __name__ == "__main__":
    rows = [row(task, "panda") for task in PYBULLET_TASKS] + [row("PickPlace", "kuka")]
    picture = np.concatenate(rows)[:, :, ::-1]
    cv2.imwrite(str(OUT), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
