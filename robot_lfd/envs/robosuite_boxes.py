"""Boxes: sizes that a robosuite task draws when it loads, changed in the compiled model instead of compiled anew."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from robosuite.models.objects import BoxObject

_BODY_FIELDS = ("body_mass", "body_inertia", "body_ipos", "body_iquat")
_GEOM_FIELDS = ("geom_size", "geom_rbound", "geom_aabb")


class Boxes:
    """The boxes of one compiled world: their ranges, their sizes now, and how a compiled model takes new ones.

    Args:
        env: robosuite's environment, its model loaded.
        xml: the world's text as it was compiled.
        drawn: what was drawn while the model was loaded, from Draws: nothing, three uniform numbers a box, or more
            than is known here.
    """

    def __init__(self, env: Any, xml: str, drawn: Sequence[tuple[float, float] | None]) -> None:
        boxes = [o for o in env.model.mujoco_objects if isinstance(o, BoxObject)]
        self._ranges = [r for r in drawn if r is not None]
        self._known = len(self._ranges) == len(drawn) and len(drawn) in (0, 3 * len(boxes))
        self._objects = [_Box(env, box, xml) for box in boxes]
        self._xml = xml
        self._blank = self._blanked(xml)

    def redraw(self, rng: np.random.Generator) -> bool:
        """Draws new sizes as loading would; returns False, having drawn none, where loading draws other things too."""
        if not self._known:
            return False
        draws = [rng.uniform(low, high) for low, high in self._ranges]
        for i, box in enumerate(self._objects if draws else ()):
            box.wanted = np.array(draws[3 * i : 3 * i + 3])
            box.robosuites.size = box.wanted
        return True

    def adopt(self, xml: str) -> bool:
        """Takes the sizes of another world's text; returns False, having taken none, where more than they differ."""
        if self._blanked(xml) != self._blank:
            return False
        for box in self._objects:
            box.wanted = box.size_in(xml)
        return True

    def apply(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Gives the compiled model the sizes wanted: every derived number as compilation would have it."""
        changed = [box for box in self._objects if not np.array_equal(box.wanted, box.compiled)]
        for box in changed:
            box.change(model)
        if changed:
            mujoco.mj_setConst(model, data)

    def text(self) -> str:
        """Returns the world's text with the sizes of now."""
        xml = self._xml
        for box in self._objects:
            if not np.array_equal(box.wanted, box.size_in(xml)):
                xml = box.resized(xml, " ".join(repr(float(v)) for v in box.wanted))
        return xml

    def _blanked(self, xml: str) -> str:
        for box in self._objects:
            xml = box.resized(xml, "")
        return xml


class _Box:
    def __init__(self, env: Any, box: BoxObject, xml: str) -> None:
        self.robosuites = box
        root = ET.fromstring(xml)
        found = next(b for b in root.iter("body") if b.get("name") == box.root_body)
        self._geoms = [g for g in found.iter("geom") if g.get("type") == "box"]
        names = "|".join(re.escape(g.get("name", "")) for g in self._geoms)
        self._pattern = re.compile(rf'(<geom (?=[^>]*name="(?:{names})")[^>]*? size=")([^"]*)')
        for part in found.iter():
            part.attrib.pop("material", None)
        self._alone = ET.Element("mujoco")  # the box in a world of its own compiles in a third of a millisecond
        self._alone.extend(root.findall("compiler"))
        ET.SubElement(self._alone, "worldbody").append(found)
        self._body = env.sim.model.body_name2id(box.root_body)
        self.wanted = self.compiled = self.size_in(xml)

    def size_in(self, xml: str) -> np.ndarray:
        """Returns the size that a world's text gives the box, (3,) float64."""
        found = self._pattern.search(xml)
        if found is None:
            raise ValueError(f"there is no {self.robosuites.name} in it")
        return np.array([float(v) for v in found[2].split()])

    def resized(self, xml: str, size: str) -> str:
        """Returns a world's text with another size of the box."""
        return self._pattern.sub(lambda found: found[1] + size, xml)

    def change(self, model: mujoco.MjModel) -> None:
        """Gives the compiled box its new size, with mass, inertia and bounds as the compiler computes them."""
        for geom in self._geoms:
            geom.set("size", " ".join(repr(float(v)) for v in self.wanted))
        alone = mujoco.MjModel.from_xml_string(ET.tostring(self._alone, encoding="unicode"))
        body, geoms = self._body, model.body_geomadr[self._body]
        for name in _BODY_FIELDS:
            getattr(model, name)[body] = getattr(alone, name)[1]
        for name in _GEOM_FIELDS:
            getattr(model, name)[geoms : geoms + alone.ngeom] = getattr(alone, name)
        first, count = model.body_bvhadr[body], model.body_bvhnum[body]
        model.bvh_aabb[first : first + count] = alone.bvh_aabb[alone.body_bvhadr[1] :][:count]
        dofs = model.body_dofadr[body]
        model.dof_length[dofs : dofs + alone.nv] = alone.dof_length
        self.compiled = self.wanted
