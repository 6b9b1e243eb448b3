"""What `lfd train` and `lfd sweep` are asked for: one frozen dataclass each, see robot_lfd.config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robot_lfd.config import Flag, JsonFlag


@dataclass(frozen=True)
class TrainConfig:
    """Train a policy from demos.

    Example: lfd train --demos demos/lift --algo iq --mode online --out runs/lift-iq
    """

    demos: tuple[Path, ...]
    """One or more datasets of the same environment."""
    out: Path
    """Run folder."""
    algo: Literal["iq", "bc", "sqil", "dac", "valuedice", "distill"] = "iq"
    """iq: IQ-Learn; bc: behaviour cloning; distill: pixels learn from --teacher; to compare: sqil, dac, valuedice."""
    mode: Literal["online", "offline"] = "online"
    """online: the policy also practises in the simulator; offline: demos alone (on arms no better
    than bc so far)."""
    steps: int | None = None
    """Gradient steps. Default: 5000 for bc, else 25000; with candidates and more than 5000 steps of demos three for
    each of them, at most 90000."""
    seed: int = 0
    """Seeds everything that is drawn."""
    seeds: int | None = None
    """Train so many runs, OUT/seed-0, OUT/seed-1, ..., counting up from --seed."""
    workers: int | None = None
    """--seeds: so many at once, in processes of Ray (extra ray). Default: one after the other."""
    address: str | None = None
    """HOST:PORT of a Ray cluster that is running, in the place of processes on this machine."""
    resume: Flag = False
    """Continue the run in --out from its last checkpoint, exactly; with --seeds, whatever is not finished."""
    obs: Literal["state", "pixels"] = "state"
    """What the policy sees. pixels: the demos' pictures and what the arm feels of itself, nothing of any object."""
    cameras: tuple[str, ...] = ()
    """pixels: whose pictures. Default: all that the demos hold."""
    frame_stack: int = 1
    """How many steps are seen at once, the latest last: pixels: pictures of each camera; state: all features."""
    encoder: Literal["small", "drqv2", "impala"] = "small"
    """pixels: network from picture to vector; small is made for a CPU."""
    shift_px: int = 4
    """pixels: pictures are shifted at random by up to so much in training; 0 switches it off."""
    colour_jitter: float = 0.0
    """pixels: colours are changed at random by up to this share in training."""
    state_weight: float | None = None
    """pixels: weight of guessing the simulator's state in training. Default: 1 where training knows the
    state (distill; iq, sqil with critics on it), else 0."""
    critic_sees: Literal["state", "pixels"] = "state"
    """pixels, iq and sqil: what the critics look at in training; the policy itself never sees the state."""
    encoder_gradient: Literal["critic", "actor", "none"] | None = None
    """pixels: whose losses teach the encoders. Default: actor, but critic where the critics see pixels.
    none: they stay as cloning, or --encoder-weights, left them."""
    encoder_weights: Path | None = None
    """pixels: begin with the encoders of this run, or of a safetensors file."""
    train_on: Literal["auto", "cpu", "cuda"] = "auto"
    """pixels: where networks and pictures are. auto: on a GPU where there is one."""
    teacher: Path | None = None
    """distill: a run on state, of the same environment, that labels what the pixel policy sees."""
    teacher_steps: int = 1500
    """distill: the share of practice steps that the teacher drives falls to nothing over so many."""
    features: tuple[str, ...] = ()
    """Observation keys for the policy. Default: the environment's own policy_keys (relative features)."""
    near_m: float | None = None
    """Show distances (..._rel, ..._height) once more under a magnifying glass, asinh(x / this); 0: no. Metres.
    Default: 0.005 on arms, without --frame-stack."""
    max_demos: int | None = None
    """Use only the first so many demos."""
    include_failures: Flag = False
    """Train on demos labelled as failures too. Default: successes alone."""
    correction_weight: int | None = None
    """How often a step driven by hand in a rollout counts. Default: all of them together weigh as much as the demos."""
    gamma: float | None = None
    """Discount per control step. Default: 0.97 on arms, 0.99 on other environments, and with candidates where a mean
    demo is longer than 100 steps, its pauses left out."""
    critics: int = 2
    """How many critics; their mean counts."""
    no_layer_norm: Flag = False
    """Critics without LayerNorm."""
    batch_rows: int = 128
    """Rows of each half of a batch: expert and replay."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers of actor and critics. Default: 128 128; with candidates and more than 5000 steps of
    demos 256 256."""
    divergence: Literal["chi2-mixture", "chi2", "tv", "w1", "kl", "js", "hellinger"] = "chi2-mixture"
    """iq: distance between the expert's and the policy's ways that is made small."""
    chi2_alpha: float = 0.5
    """iq: rewards stay below 4 times this (chi2 divergences)."""
    value_term: Literal["first", "expert", "replay"] = "replay"
    """iq: rows from which the value of the start is estimated: first observations, demos, or demos and practice."""
    state_only: Flag = False
    """iq: imitate what was seen, not what was done: the demos' actions are not looked at."""
    terminal: Literal["bound", "zero", "bootstrap"] | None = None
    """Value after the task's end: its bound, zero, or as if the episode went on. Default: bound; iq offline on discrete
    actions zero."""
    bound_targets: Flag = False
    """iq: cut the target critics' values at the most that rewards can sum to."""
    temperature: float | None = None
    """Entropy temperature. Default: on arms 0.02, elsewhere 0.006; for a choice (discrete actions, candidates) 0.1."""
    learn_temperature: Flag = False
    """Let the temperature follow the entropy of the demos' spread."""
    practice_noise: float | None = None
    """Most noise of a policy that says numbers, a standard deviation in a range [-1, 1] of actions. Default: the spread
    of the demos' actions, outside arms 0.3 if that is more."""
    bc_weight: float | None = None
    """Weight of cloning beside IQ-Learn; 0: none. Default: 5 online, 50 offline; with discrete actions 1, 0."""
    bc_head: Literal["mse", "gmm"] = "mse"
    """bc: one action by least squares, or a mixture of five Gaussians, for people who did now this, now that."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """bc: a recurrent network; its layers have the widths of --hidden, all of one width."""
    memory_steps: int = 10
    """bc: steps after which memory begins anew, and the length of the pieces of demos that it learns from."""
    candidates: int | None = None
    """iq, sqil, bc: choose among so many things that people did in a state like this; 0: say numbers.
    Default: 16 for iq and sqil on arms, unless something is asked for that needs numbers."""
    chunk: int | None = None
    """Actions that are decided on at once (not with valuedice; pixels: bc); all but bc do all, then look again.
    Default: 4 where there are candidates, of an arm 8 where a mean demo is longer than 100 steps, else 1."""
    chunk_execute: int | None = None
    """bc: how many of them are done before the policy looks again. Default: half of them."""
    chunk_blend: Flag = False
    """bc: say a chunk at every step and do the mean of all that was said about it."""
    bc_decay_steps: int = 0
    """The cloning weight falls to a tenth over so many gradient steps; 0: it stays."""
    bc_fall_at: int | None = None
    """Gradient step from which on cloning has a fifth of its weight; 0: none. Default: 0; with candidates and more than
    5000 steps of demos two thirds of the usual --steps."""
    ema_share: float | None = None
    """iq, sqil, dac: acts by an average of the weights that takes in so much of them each step; 1: no average.
    Default: 0.005; iq offline on discrete actions 0.001."""
    no_normalisation: Flag = False
    """Control experiment: networks see observations as they are, not scaled by the demos' mean and deviation."""
    q_filter: Flag = False
    """Clone the demo's action only where the critics rate it above the policy's own."""
    actor_step: Literal["soft", "advantage"] = "soft"
    """soft: climb Q; advantage: clone the batch's actions, the better the more."""
    action_noise: float = 0.0
    """Standard deviation of noise on the demos' actions as the critics see them, of the range [-1, 1]."""
    n_step: int = 1
    """iq and sqil on state: a reward, and the value after it, count over so many steps at once."""
    updates_per_step: int = 1
    """Gradient steps per practice step."""
    practice_per_update: int | None = None
    """Practice steps per gradient step (--obs state): more to learn from, where a control step costs little. Default: 1
    on arms and of discrete actions; 4 elsewhere, and with candidates and more than 5000 steps of demos."""
    copies: int = 1
    """Practise in so many copies of the environment (--obs state, online), which step while the networks learn."""
    rollout_workers: int = 0
    """online, on state: so many processes of Ray (extra ray) practise while this one learns. Default: it does both."""
    staleness_bound: int = 200
    """--rollout-workers: fewer gradient steps than this lie between a step's weights and its first use."""
    pretrain_steps: int | None = None
    """Gradient steps of behaviour cloning before IQ-Learn begins. Candidates are fitted in twice as many before.
    Default: 1500; with candidates and more than 5000 steps of demos a tenth of the usual --steps, at most 6000."""
    practice_limit: int | None = None
    """Longest practice episode in control steps. Default: twice a mean demo, its pauses left out, at most the
    environment's own."""
    no_own_successes: Flag = False
    """online: what the policy did in practice episodes that solved the task does not count as a demo's. Without this it
    does, up to half of them."""
    keep_pauses: Flag = False
    """Train on steps in which nothing moves, too; with candidates also on those at which nothing was asked for.
    Default: on arms they are left out, because people hesitate; elsewhere, where balance is rest, they are kept."""
    success_blind: Flag = False
    """Control experiment: the policy's own episodes never end at success, only at the time limit."""
    eval_every: int = 0
    """Evaluate every so many steps during training; 0: not at all."""
    eval_episodes: int = 20
    """Episodes of such an evaluation."""
    checkpoint_every: int = 2500
    """Steps between checkpoints."""
    json: JsonFlag = False


@dataclass(frozen=True)
class SweepConfig:
    """Try many settings of lfd train on workers (extra ray); those that fall behind are stopped early (ASHA).

    Example: lfd sweep --demos demos/lift --out sweeps/lift --set algo=iq steps=9000 gamma=0.95,0.97 bc_weight=1,5
    """

    demos: tuple[Path, ...]
    """One or more datasets of the same environment."""
    out: Path
    """Folder for the runs, one a setting, and the page that compares them."""
    set: tuple[str, ...]
    """Fields of lfd train as NAME=VALUE,VALUE,...; with one value, the same in all. Several numbers in one value:
    hidden=64+64. A range to draw from, with --random: temperature=0.005..0.1. Steps that are not set are 5000 of bc,
    25000 of others, however many the demos are."""
    random: int | None = None
    """Try so many of the combinations, drawn by --seed. Default: all."""
    seed: int = 0
    """Decides which."""
    full: Flag = False
    """Train every setting to its end. Default: two in three stop after a ninth and after a third of the steps."""
    eval_episodes: int = 20
    """Episodes of each evaluation, from the same starts for all."""
    resume: Flag = False
    """Continue the sweep in --out; what is finished is not done again."""
    workers: int | None = None
    """So many at once. Default: one for each core."""
    address: str | None = None
    """HOST:PORT of a Ray cluster that is running, in the place of processes on this machine."""
    json: JsonFlag = False
