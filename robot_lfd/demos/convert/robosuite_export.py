"""Writes robosuite's raw HDF5 demos, as its own `collect_human_demonstrations` does and its playback reads them.

The format holds models, states and actions alone: observations, pictures, times and labels are not in it. When it is
imported again the actions are simulated, and give the same observations bit for bit in the same robosuite.

Source: https://robosuite.ai/docs/algorithms/demonstrations.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from robot_lfd.demos.convert.robomimic_export import env_args_of, writing
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError


def export_robosuite_hdf5(
    store: DemoStore, ids: list[str], out: Path, *, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Writes episodes of a robosuite environment as a raw file, which appears whole or not at all."""
    if not store.spec.env_id.startswith("robosuite/"):
        raise LfdError(f"the demos are of {store.spec.env_id}, expected an environment of robosuite for its own format")
    args, steps = env_args_of(store.spec), 0
    now = datetime.now(timezone.utc)
    with writing(out) as file:
        data = file.create_group("data")
        data.attrs["env"] = args["env_name"]
        data.attrs["env_info"] = json.dumps({**args["env_kwargs"], "env_name": args["env_name"]})
        data.attrs["repository_version"] = args["env_version"]
        data.attrs["date"], data.attrs["time"] = f"{now.month}-{now.day}-{now.year}", f"{now:%H:%M:%S}"
        for number, episode_id in enumerate(ids, 1):
            episode = store[episode_id]
            group = data.create_group(f"demo_{number}")
            group.attrs["model_file"] = episode.model
            group["states"], group["actions"] = episode.sim_state[:-1], episode.action
            steps += len(episode)
            tick()
    return {"demos": len(ids), "steps": steps}
