"""The arms of the PyBullet tasks: where their models are, which joints they have, where they start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot_lfd.envs.pybullet_quiet import pybullet_data
from robot_lfd.envs.stored_once import stored_once
from robot_lfd.errors import LfdError


@dataclass(frozen=True)
class Arm:
    """An arm of seven joints with a gripper of two fingers that slide, 0 to 4 cm each.

    Attributes:
        name: in the recipe of a recorded world.
        urdf: returns the model's file.
        joints, fingers, grasp: joint and link numbers; the link `grasp` lies between the fingertips, z along the
            fingers, y from finger to finger.
        home: (7,) rad, the gripper pointing down 0.2 m above the table.
        forces: (7,) Nm, of its motors.
        base_x: metres, where it stands; the KUKA's elbow bends no further than 120 degrees, so it stands back to reach
            the near side of the table.
        eye: the wrist camera's place, metres along x and z of the link `grasp`.
    """

    name: str
    urdf: Callable[[], Path]
    joints: tuple[int, ...]
    fingers: tuple[int, int]
    grasp: int
    home: np.ndarray
    forces: tuple[float, ...]
    base_x: float
    eye: tuple[float, float]


def arm_named(robot: str) -> Arm:
    """Returns the arm of that name.

    Raises:
        LfdError: there is none.
    """
    if robot not in ARMS:
        raise LfdError(f"robot is '{robot}', expected one of: {', '.join(ARMS)}")
    return ARMS[robot]


def _panda() -> Path:
    return Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf"


def _kuka() -> Path:
    """Returns KUKA's LBR iiwa 14 of pybullet_data with a Schunk WSG 50 on its flange, composed once."""
    data = Path(pybullet_data.getDataPath())
    text = (data / "kuka_iiwa" / "model.urdf").read_text().replace('filename="meshes/', 'filename="kuka_iiwa/meshes/')
    text = text.replace("</robot>", _WSG50 + _finger("left", -1) + _finger("right", 1) + "</robot>")
    text = text.replace('filename="', f'filename="{data}/')
    return stored_once("kuka", text, lambda: {"kuka_wsg50.urdf": text.encode()}) / "kuka_wsg50.urdf"


# pybullet_data's own WSG 50 hangs its fingers on a linkage of soft constraints, whose state no file tells; a real one
# has two jaws that slide, as here. The meshes are the same. It is turned by a quarter, so that the jaws slide along y.
_WSG50 = """
  <link name="wsg50">
    <inertial><origin xyz="0 0 0.036"/><mass value="1.2"/>
      <inertia ixx="0.001" ixy="0" ixz="0" iyy="0.003" iyz="0" izz="0.002"/></inertial>
    <visual><geometry><mesh filename="gripper/meshes/WSG50_110.stl"/></geometry>
      <material name="Steel"><color rgba="0.33 0.35 0.38 1"/></material></visual>
    <collision><origin xyz="0 0 0.036"/><geometry><box size="0.146 0.05 0.072"/></geometry></collision>
  </link>
  <joint name="flange" type="fixed">
    <parent link="lbr_iiwa_link_7"/><child link="wsg50"/>
    <origin xyz="0 0 0.045" rpy="0 0 -1.57079632679"/>
  </joint>
  <link name="grasp"><inertial><mass value="0"/>
    <inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial></link>
  <joint name="grasp" type="fixed">
    <parent link="wsg50"/><child link="grasp"/><origin xyz="0 0 0.1465" rpy="0 0 -1.57079632679"/>
  </joint>
"""


def _finger(name: str, side: int) -> str:
    """Returns a jaw with its fingertip; at 0 its face lies in the middle, 1.0 of its joint is 1 m away from there."""
    turn = 0.0 if side < 0 else 3.14159265359

    def place(x: float, z: float) -> str:
        return f'<origin xyz="{-side * x:.4f} 0 {z:.4f}" rpy="0 0 {turn}"/>'

    def box(x: float, y: float, low: float, high: float, face: float) -> str:
        middle = place(face - x / 2, (low + high) / 2)
        return f'<collision>{middle}<geometry><box size="{x} {y} {high - low:.4f}"/></geometry></collision>'

    def mesh(file: str, z: float) -> str:
        return (
            f'<visual>{place(-0.003, z)}<geometry><mesh filename="gripper/meshes/{file}" '
            'scale="0.001 0.001 0.001"/></geometry>'
            '<material name="Bright"><color rgba="0.72 0.74 0.76 1"/></material></visual>'
        )

    return f"""
  <link name="{name}_finger">
    <contact><friction_anchor/><stiffness value="30000.0"/><damping value="1000.0"/>
      <spinning_friction value="0.1"/><lateral_friction value="1.0"/></contact>
    <inertial><origin xyz="{side * 0.005} 0 0.1"/><mass value="0.2"/>
      <inertia ixx="0.0003" ixy="0" ixz="0" iyy="0.0003" iyz="0" izz="0.0001"/></inertial>
    {mesh("GUIDE_WSG50_110.stl", 0.0)}{mesh("WSG-FMF.stl", 0.023)}
    {box(0.018, 0.03, 0.073, 0.1165, -0.003)}{box(0.014, 0.02, 0.1165, 0.1535, 0.0)}
  </link>
  <joint name="{name}_finger" type="prismatic">
    <parent link="wsg50"/><child link="{name}_finger"/><axis xyz="{side} 0 0"/>
    <limit effort="20" lower="0.0" upper="0.04" velocity="0.2"/>
  </joint>
"""


_ARM = tuple(range(7))
ARMS = {
    "panda": Arm(
        "panda", _panda, _ARM, (9, 10), 11, np.array([0.0, -0.0536, 0.0, -2.4474, 0.0, 2.3949, 0.7854]),
        (87.0,) * 4 + (12.0,) * 3, 0.0, (0.08, -0.06),
    ),
    "kuka": Arm(
        "kuka", _kuka, _ARM, (9, 10), 8, np.array([0.0, 0.5666, 0.0, -1.6054, 0.0, 0.9696, 0.0]),
        (320.0, 320.0, 176.0, 176.0, 110.0, 40.0, 40.0), -0.08, (0.08, -0.06),
    ),
}  # fmt: skip
