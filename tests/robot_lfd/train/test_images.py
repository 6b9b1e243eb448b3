"""Pictures are kept once, in the order of time; stacks and batches are formed when they are drawn."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import torch

from robot_lfd.train.images import Sights, draw, draw_transitions
from robot_lfd.train.pixel_reading import PixelDemos


def make_sights(lengths: list[int], mark: int = 0) -> Sights:
    """Episodes of T steps and T + 1 pictures; picture i is all i, its proprioception too."""
    seen = sum(lengths) + len(lengths)
    starts = np.cumsum([0, *(n + 1 for n in lengths)])[:-1]
    first = np.repeat(starts, np.array(lengths) + 1)
    row = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
    pictures = np.broadcast_to((mark + np.arange(seen)).astype(np.uint8)[:, None, None, None], (seen, 4, 4, 3))
    numbers = (mark + np.arange(seen, dtype=np.float32))[:, None]
    ended = np.isin(row + 2, [*starts, seen])
    return Sights((pictures, pictures), numbers, numbers[:, :0], first, row, numbers[row] * 10, ended)


def test_a_stack_holds_the_latest_pictures_and_never_those_of_another_episode():
    sights = make_sights([3, 2])  # pictures 0-3 and 4-6
    stacks = sights.stacked(np.array([0, 2, 4, 5]), 3)
    assert stacks.shape == (4, 2, 3, 4, 4, 3) and stacks.dtype == torch.uint8
    assert stacks[:, 1, :, 0, 0, 0].tolist() == [[0, 0, 0], [0, 1, 2], [4, 4, 4], [4, 4, 5]]


def test_a_row_has_its_own_picture_proprioception_and_action():
    batch = draw(np.random.default_rng(0), [(make_sights([3, 2]), 5)], 64, 1)
    seen = batch.pictures[:, 0, 0, 0, 0, 0].float()
    assert set(seen.tolist()) == {0, 1, 2, 4, 5}, "the last picture of an episode has no action"
    assert (batch.proprio[:, 0] == seen).all() and (batch.action[:, 0] == seen * 10).all()
    assert batch.state.shape == (64, 0)


def test_a_teacher_that_remembers_goes_through_whole_episodes():
    class Counting:
        """Says how many observations of the episode it has had, and the latest; decides anew at each."""

        spec, anew = SimpleNamespace(sizes=(1,)), 0

        def reset(self):
            self.count = 0

        def replan(self):
            self.anew += 1

        def act(self, obs):
            self.count += 1
            return np.array([self.count, obs["place"][0]])

    sights = make_sights([3, 2])  # observations 0-3 and 4-6
    shown = dataclasses.replace(sights, state=sights.proprio, row=np.array([0, 2, 4, 5]))  # a pause was left out
    teacher = Counting()
    labels = PixelDemos(shown, 2, (), ("place",)).labelled_by(teacher).sights.action  # type: ignore[arg-type]
    assert labels.tolist() == [[1, 0], [3, 2], [1, 4], [2, 5]]
    assert teacher.anew == len(shown.state), "what followed was the person's action, not what the teacher had planned"


def test_every_row_of_every_source_is_drawn_alike_and_unfilled_room_never():
    rng = np.random.default_rng(0)
    sources = [(make_sights([3]), 3), (make_sights([9], mark=100), 1)]  # one of nine rows is filled
    counts = np.zeros(256, int)
    for _ in range(50):
        batch = draw(rng, sources, 64, 2)
        counts += np.bincount(batch.pictures[:, 0, -1, 0, 0, 0].numpy(), minlength=256)
    assert set(np.flatnonzero(counts)) == {0, 1, 2, 100}
    assert counts[[0, 1, 2, 100]].min() > 0.8 * counts.sum() / 4
    assert len(draw(rng, [sources[0], (make_sights([9]), 0)], 8, 1).action) == 8


def test_a_transition_has_what_followed_in_its_own_episode_and_halves_keep_apart():
    expert, replay = make_sights([3, 2]), make_sights([4, 9], mark=100)
    batch = draw_transitions(np.random.default_rng(0), expert, (replay, 5), 200, 2)
    now, after = (p[:, 0, -1, 0, 0, 0].long() for p in (batch.now.pictures, batch.next_pictures))
    assert torch.equal(after, now + 1) and torch.equal(batch.next_proprio[:, 0].long(), after)
    assert set(now[:200].tolist()) == {0, 1, 2, 4, 5} and set(now[200:].tolist()) == {100, 101, 102, 103, 105}
    assert torch.equal(batch.is_expert, torch.arange(400) < 200)
    assert set(now[batch.terminated].tolist()) == {2, 5, 103}
    before = batch.next_pictures[:, 0, 0, 0, 0, 0].long()
    assert torch.equal(before, now), "the stack of what followed begins with what was seen"


def test_pictures_on_a_device_are_stacked_as_those_on_the_disk():
    sights = make_sights([3, 2])
    copies = tuple(torch.from_numpy(np.array(p)) for p in sights.pictures)
    seen = np.array([0, 2, 4, 5])
    assert torch.equal(dataclasses.replace(sights, on_device=copies).stacked(seen, 3), sights.stacked(seen, 3))
