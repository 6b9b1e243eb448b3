"""The review page: whole in one file, inert to hostile texts, true to the recording."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from robot_lfd import cli
from robot_lfd.config import ReviewConfig
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.registry import make_env
from robot_lfd.review.clips import ClipMaker
from robot_lfd.review.describe import belief_charts, charts, episode_row
from robot_lfd.review.desk import Desk
from robot_lfd.review.page import json_text, write_page
from robot_lfd.rollout import rollout
from tests.robot_lfd.point_arm import ID, Chase, make_point_arm, register

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'& \u2028 <!-- " + "ж" * 200


class Page(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and the text of scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.blocks: dict[str, str] = {}
        self.title, self._inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag == "title" else dict(attrs).get("id") or "" if tag == "script" else ""

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "title":
            self.title += data
        elif self._inside:
            self.blocks[self._inside] = self.blocks.get(self._inside, "") + data

    def json(self, name: str):
        return json.loads(self.blocks[name])


def record(env, policy, seed, meta=None):
    tape = Tape(env)
    for _ in rollout(tape, policy, seed=seed):
        pass
    return tape.episode(meta={"device": "scripted", "operator": "anna", **(meta or {})})


@pytest.fixture
def store(tmp_path):
    register()
    env = make_point_arm()
    store = DemoStore.create(tmp_path / "demos", make_spec(ID, env, {}))
    for seed, speed in ((1, 0.5), (2, 0.01), (3, 1.0)):
        store.append(record(env, Chase(speed), seed))
    return store


def page_of(store, tmp_path, **kwargs) -> Page:
    write_page(tmp_path / "page.html", [store], size_px=64, **kwargs)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_the_page_is_one_file_that_refers_to_nothing_outside_itself(store, tmp_path):
    text = (write_page(tmp_path / "page.html", [store], size_px=64), (tmp_path / "page.html").read_text())[1]
    assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text)  # no address, with or without its protocol
    assert "@import" not in text and "url(" not in text and "fetch(" not in text and "XMLHttpRequest" not in text
    for tag, attributes in Page(text).elements:
        assert tag != "link" or attributes["href"] == "data:,"  # no icon, so that none is asked for
        assert tag not in ("iframe", "object", "embed", "base")
        assert "src" not in attributes and not any(name.startswith("on") for name in attributes)


def test_the_browser_is_told_to_run_this_script_alone_and_to_load_nothing(store, tmp_path):
    page = page_of(store, tmp_path)
    rules = next(a["content"] for t, a in page.elements if t == "meta" and "content-security" in str(a).lower())
    assert "default-src 'none'" in rules and "'unsafe-inline'" not in rules.split("script-src")[1]
    scripts = [a for t, a in page.elements if t == "script" and "type" not in a]
    assert len(scripts) == 1


def test_every_episode_has_its_facts_its_curves_and_a_video_of_every_step(store, tmp_path):
    page = page_of(store, tmp_path)
    rows = page.json("data")["episodes"]
    assert [r["id"] for r in rows] == store.ids() and [r["success"] for r in rows] == [True, False, True]
    for index, row in enumerate(rows):
        episode = store[row["id"]]
        assert row["length"] == len(episode) and row["return"] == pytest.approx(episode.reward.sum(), rel=1e-3)
        assert (row["seed"], row["operator"], row["device"]) == (index + 1, "anna", "scripted")
        assert row["pictures"] == "re-simulated, equal to the recording"
        (tmp_path / "clip.mp4").write_bytes(base64.b64decode(page.blocks[f"clip-{index}-0"]))
        assert cv2.VideoCapture(str(tmp_path / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == len(episode) + 1
        assert base64.b64decode(page.blocks[f"still-{index}"])[:2] == b"\xff\xd8"
        assert page.json(f"charts-{index}")[0]["name"] == "action"
    head = page.json("data")["datasets"][0]
    assert (head["solved"], head["env"], head["control_hz"]) == (2, ID, 20.0)


def test_curves_have_names_units_and_the_recorded_values(store):
    episode = store[store.ids()[0]]
    found = {c["name"]: c for c in charts(episode, store.spec)}
    assert [line["name"] for line in found["action"]["lines"]] == ["dx", "dy", "dz", "gripper"]
    assert found["action"]["scale"][0] == "1.0 is 0.05 m a step"
    assert found["eef_pos"]["unit"] == "m" and [line["name"] for line in found["eef_pos"]["lines"]] == ["x", "y", "z"]
    T = len(episode)
    assert np.allclose(found["eef_pos"]["lines"][1]["values"], episode.obs["eef_pos"][:, 1], rtol=1e-3, atol=1e-6)
    assert len(found["reward"]["lines"][0]["values"]) == T and len(found["target_rel"]["lines"][0]["values"]) == T + 1
    assert found["target_rel"]["shown"] and not found["eef_vel"]["shown"]


def test_hostile_names_and_notes_stay_text(store, tmp_path):
    ids = store.ids()
    store.label(ids[0], note=HOSTILE, tags=(HOSTILE,))
    store.append(record(make_point_arm(), Chase(), 9, {"operator": HOSTILE, "policy": {"run": HOSTILE}}))
    evil = tmp_path / "<img src=x onerror=alert(3)>&"
    store.path.rename(evil)
    page = page_of(DemoStore.open(evil), tmp_path)
    assert not [t for t, _ in page.elements if t in ("img", "b", "i")]
    assert len([1 for t, a in page.elements if t == "script" and "type" not in a]) == 1
    rows = page.json("data")["episodes"]
    assert rows[0]["note"] == HOSTILE and rows[0]["tags"] == [HOSTILE] and rows[3]["operator"] == HOSTILE
    assert page.title.startswith("<img src=x onerror=alert(3)>&")


def test_the_script_never_turns_text_into_markup(store, tmp_path):
    page_of(store, tmp_path)
    script = (tmp_path / "page.html").read_text().split("<script>")[-1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def test_json_in_the_page_holds_no_sign_that_a_parser_could_take_for_markup():
    text = json_text({"a": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text) and json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_late_steps_and_steps_by_hand_are_marked(store):
    episode = store[store.ids()[0]]
    time, by_hand = episode.time.copy(), np.zeros(len(episode), bool)
    time[4, 1] += 0.03
    by_hand[2:4] = True
    changed = store.append(episode.replace(time=time, intervention=by_hand))
    row = episode_row(store, changed, store[changed], 1)
    assert (row["late"], row["late_worst_ms"], row["interventions"]) == (1, pytest.approx(30.0), 2)


def test_a_label_set_by_hand_and_a_trim_show_on_the_page(store, tmp_path):
    first = store.ids()[0]
    store.label(first, success=False, trim=(1, 4))
    page = page_of(store, tmp_path)
    row = page.json("data")["episodes"][0]
    assert (row["success"], row["verdict"], row["length"], row["trim"]) == (False, "relabelled", 3, [1, 4])
    assert len(page.json("charts-0")[0]["lines"][0]["values"]) == 3  # while the clip stays that of the recording
    (tmp_path / "clip.mp4").write_bytes(base64.b64decode(page.blocks["clip-0-0"]))
    frames = cv2.VideoCapture(str(tmp_path / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)
    assert frames == len(store.recorded(first)) + 1


def filmed(path, *cameras):
    """A dataset of one demo of five steps with stored pictures."""
    env = make_env("pybullet/Reach-v0", cameras=cameras, size_px=48)
    store = DemoStore.create(path, make_spec("pybullet/Reach-v0", env, {}))
    tape = Tape(env)
    tape.reset(seed=0)
    for _ in range(5):
        tape.step(np.array([0.5, 0.5, 0, 0], np.float32))
    store.append(tape.episode())
    return store


def test_stored_pictures_are_shown_as_they_are(tmp_path):
    store = filmed(tmp_path / "pictures", "front")
    page = page_of(store, tmp_path)
    row = page.json("data")["episodes"][0]
    assert row["pictures"] == "" and "images/front" not in {c["name"] for c in page.json("charts-0")}


def test_every_stored_camera_is_on_the_page_on_one_clock(tmp_path):
    store = filmed(tmp_path / "pictures", "front", "wrist")
    page = page_of(store, tmp_path)
    assert page.json("data")["datasets"][0]["cameras"] == ["front", "wrist"]
    clips = [base64.b64decode(page.blocks[f"clip-0-{k}"]) for k in (0, 1)]
    for clip in clips:
        (tmp_path / "clip.mp4").write_bytes(clip)
        assert cv2.VideoCapture(str(tmp_path / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert clips[0] != clips[1]


def test_the_index_reads_no_array_and_the_rest_comes_a_moment_at_a_time(store, monkeypatch):
    desk = Desk([store], ReviewConfig(datasets=(store.path,)))
    try:
        with monkeypatch.context() as m:
            m.setattr(DemoStore, "arrays", None)
            rows = desk.index()["episodes"]
        assert [r["pending"] for r in rows] == [True] * 3 and rows[0]["length"] == len(store[store.ids()[0]])
        monkeypatch.setattr("robot_lfd.review.desk.MOMENT_S", 0.0)
        first, onward = desk.measured(0, 0)
        assert [r["number"] for r in first] == [1] and onward == 1 and "pending" not in first[0]
        monkeypatch.undo()
        rest, onward = desk.measured(0, 1)
        assert [r["id"] for r in rest] == store.ids()[1:] and onward is None
        assert rest[0]["return"] == pytest.approx(store[store.ids()[1]].reward.sum(), rel=1e-3)
        again = Desk([store], ReviewConfig(datasets=(store.path,)))
        assert not any("pending" in r for r in again.index()["episodes"])
        again.close()
    finally:
        desk.close()


def test_an_episode_that_cannot_be_simulated_again_is_shown_without_a_video_and_says_why(store, tmp_path, monkeypatch):
    def gone(*args, **kwargs):
        from robot_lfd.errors import LfdError

        raise LfdError("the environment is gone")

    monkeypatch.setattr("robot_lfd.review.clips.replay_episode", gone)
    page = page_of(store, tmp_path)
    assert page.json("data")["episodes"][0]["pictures"] == "no pictures: the environment is gone"
    assert "clip-0-0" not in page.blocks and page.json("charts-0")


def test_a_re_simulation_that_differs_from_the_recording_says_so(store):
    episode = store[store.ids()[0]]
    state = episode.sim_state.copy()
    state[3, 0] += 1e-9
    changed = store.append(episode.replace(sim_state=state))
    with ClipMaker(store, None, 32) as maker:
        assert maker.clip(changed).note.startswith("re-simulated, but sim_state differs from step 3 on")


def test_clips_are_made_once_and_kept_in_the_cache(store, monkeypatch):
    first = store.ids()[0]
    with ClipMaker(store, None, 32) as maker:
        made = maker.clip(first)
    monkeypatch.setattr("robot_lfd.review.clips.replay_episode", None)
    with ClipMaker(DemoStore.open(store.path), None, 32) as maker:
        assert maker.clip(first) == made
    assert len(DemoStore.open(store.path)) == 3  # the cache is no part of the dataset


class Critic(Chase):
    """V is the target's x, Q its y plus the action's x; an absorbing value of 7."""

    has_critic = True

    def q(self, obs, action):
        return obs["target_rel"][:, 1] + action[:, 0]

    def value(self, obs):
        return obs["target_rel"][:, 0]

    def recovered_reward(self, obs, action, next_obs, terminated):
        return self.q(obs, action) - 0.9 * np.where(terminated, 7.0, self.value(next_obs))


def test_a_policy_shows_its_value_its_recovered_reward_and_its_disagreement(store):
    episode = store[store.ids()[0]]
    found = {c["name"]: [line["values"] for line in c["lines"]] for c in belief_charts(Critic(0.5), episode)}
    x, y = episode.obs["target_rel"][:, 0], episode.obs["target_rel"][:, 1]
    q = y[:-1] + episode.action[:, 0]
    assert np.allclose(found["value"], [q, x[:-1]], rtol=1e-3, atol=1e-6)
    assert np.allclose(found["recovered reward"][0], q - 0.9 * np.append(x[1:-1], 7.0), rtol=1e-2, atol=1e-5)
    assert max(found["disagreement"][0]) < 1e-6
    assert [c["name"] for c in belief_charts(Chase(), episode)] == ["disagreement"]


def test_only_so_many_episodes_are_exported_and_the_page_says_how_many_there_are(store, tmp_path, capsys):
    argv = ["review", str(store.path), "--export", str(tmp_path / "a.html"), "--max-episodes", "2", "--size-px", "64"]
    assert cli.call([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["episodes"] == 2 and found["bytes"] == (tmp_path / "a.html").stat().st_size
    head = Page((tmp_path / "a.html").read_text()).json("data")["datasets"][0]
    assert (head["episodes"], head["hidden"]) == (2, 1)


def test_what_cannot_be_reviewed_is_one_plain_line(tmp_path, capsys):
    DemoStore.create(tmp_path / "empty", make_spec(ID, make_point_arm(), {}))
    for name, words in (("empty", "no episode to review"), ("gone", "no such dataset")):
        assert cli.call(["review", str(tmp_path / name), "--export", str(tmp_path / "a.html")]) == 1
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1 and not (tmp_path / "a.html").exists()
