"""One frozen dataclass per command: what `lfd <command> --help` shows. `lfd data ...`: robot_lfd.demos.config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

Flag = FlagCreatePairsOff[bool]
JsonFlag = Annotated[Flag, arg(help="End stdout with one line of JSON.")]
Verdict = Literal["yes", "no"]


@dataclass(frozen=True)
class RecordConfig:
    """Drive the arm and record demos.

    Example: lfd record --env pybullet/Lift-v0 --device keyboard --out demos/lift --episodes 10
    """

    env: str
    """Environment id, such as pybullet/Lift-v0 or robosuite/Lift-v0."""
    out: Path
    """Dataset folder; an existing one of the same environment grows."""
    device: Literal["keyboard", "gamepad", "spacemouse", "scripted"] = "keyboard"
    """What to drive with; scripted stands in for a person."""
    episodes: int = 10
    """Stop after this many kept episodes."""
    cameras: tuple[str, ...] = ()
    """Cameras to store with the demos; none stores low-dim observations alone."""
    size_px: int = 84
    """Height and width of stored pictures."""
    control_hz: float | None = None
    """Control steps per second. Default: the environment's own, 20 for the arms."""
    env_kwargs: tuple[str, ...] = ()
    """Keywords of the environment as KEY=VALUE, such as control=pose (six degrees of freedom) or robots=Sawyer."""
    seed: int = 0
    """Start of the first episode; each further one takes the next that the dataset does not have yet."""
    seeds: tuple[int, ...] = ()
    """Exactly these starts, such as those left out before, instead of counting up from --seed."""
    operator: str = ""
    """Your name or initials, stored with each demo."""
    realtime: bool | None = None
    """Keep the wall clock. Default: yes for people, no for the scripted operator."""
    window: bool | None = None
    """Show the window. Default: yes for people, no for the scripted operator."""
    keep_failures: bool = True
    """Keep scripted failures, labelled, instead of discarding them. A person decides with keys."""
    bindings: Path | None = None
    """A TOML file with your own key or pad bindings."""
    countdown_s: float = 0.0
    """Seconds between the start key and the first step."""
    hold_s: float | None = None
    """End an episode once its task has stayed solved for so long. Default: as the environment itself does it."""
    view_px: int | None = None
    """Side of the main view. Default: as large as the machine draws fluently."""
    json: JsonFlag = False


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
    """online: the policy also practises in the simulator; offline: demos alone (no better than bc so far)."""
    steps: int | None = None
    """Gradient steps. Default: 5000 for bc, else 25000."""
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
    """pixels: how many pictures of each camera, the latest last, are seen at once."""
    encoder: Literal["small", "drqv2", "impala"] = "small"
    """pixels: network from picture to vector; small is made for a CPU."""
    shift_px: int = 4
    """pixels: pictures are shifted at random by up to so much in training; 0 switches it off."""
    colour_jitter: float = 0.0
    """pixels: colours are changed at random by up to this share in training."""
    state_weight: float | None = None
    """pixels: weight of guessing the simulator's state in training. Default: 1 for distill, else 0, state unseen."""
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
    max_demos: int | None = None
    """Use only the first so many demos."""
    include_failures: Flag = False
    """Train on demos labelled as failures too. Default: successes alone."""
    correction_weight: int | None = None
    """How often a step driven by hand in a rollout counts. Default: all of them together weigh as much as the demos."""
    gamma: float | None = None
    """Discount per control step. Default: 0.97 on arms, 0.99 on other environments."""
    critics: int = 2
    """How many critics; their mean counts."""
    no_layer_norm: Flag = False
    """Critics without LayerNorm."""
    batch_rows: int = 128
    """Rows of each half of a batch: expert and replay."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of actor and critics."""
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
    temperature: float | None = None
    """Entropy temperature. Default: 0.02, for discrete actions 0.1."""
    learn_temperature: Flag = False
    """Let the temperature follow the entropy of the demos' spread."""
    bc_weight: float | None = None
    """Weight of cloning beside IQ-Learn; 0: none. Default: 5 online, 50 offline; with discrete actions 1, 0."""
    bc_head: Literal["mse", "gmm"] = "mse"
    """bc: one action by least squares, or a mixture of five Gaussians, for people who did now this, now that."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """bc: a recurrent network; its layers have the widths of --hidden, all of one width."""
    memory_steps: int = 10
    """bc: steps after which memory begins anew, and the length of the pieces of demos that it learns from."""
    chunk: int = 1
    """Actions that are decided on at once (not with valuedice; pixels: bc); all but bc do all, then look again."""
    chunk_execute: int | None = None
    """bc: how many of them are done before the policy looks again. Default: half of them."""
    chunk_blend: Flag = False
    """bc: say a chunk at every step and do the mean of all that was said about it."""
    bc_decay_steps: int = 0
    """The cloning weight falls to a tenth over so many steps; 0: it stays."""
    q_filter: Flag = False
    """Clone the demo's action only where the critics rate it above the policy's own."""
    actor_step: Literal["soft", "advantage"] = "soft"
    """soft: climb Q; advantage: clone the batch's actions, the better the more."""
    action_noise: float = 0.0
    """Standard deviation of noise on the demos' actions, of the range [-1, 1]."""
    updates_per_step: int = 1
    """Gradient steps per practice step."""
    copies: int = 1
    """Practise in so many copies of the environment (--obs state, online), which step while the networks learn."""
    rollout_workers: int = 0
    """online, on state: so many processes of Ray (extra ray) practise while this one learns. Default: it does both."""
    staleness_bound: int = 200
    """--rollout-workers: fewer gradient steps than this lie between a step's weights and its first use."""
    pretrain_steps: int = 1500
    """Gradient steps of behaviour cloning before IQ-Learn begins."""
    practice_limit: int | None = None
    """Longest practice episode in control steps. Default: twice a mean demo, at most the environment's own."""
    keep_pauses: Flag = False
    """Train on steps in which nothing moves, too. Default: they are left out, unless actions are discrete."""
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
    hidden=64+64. A range to draw from, with --random: temperature=0.005..0.1."""
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


@dataclass(frozen=True)
class EvalConfig:
    """Measure a policy's success over fixed seeds.

    Example: lfd eval runs/lift-iq --episodes 50 --video lift.mp4
    """

    run: Positional[Path]
    """Run folder or checkpoint folder."""
    episodes: int = 50
    """Episodes, one seed each."""
    seed: int = 1000
    """Seed of the first episode."""
    copies: int = 1
    """Copies of the environment that play at once; the episodes, and so the numbers, are those of one copy."""
    video: Path | None = None
    """Write the first episodes to this .mp4 or .gif file."""
    video_episodes: int = 4
    """How many episodes the video shows."""
    workers: int | None = None
    """Share the episodes out among so many processes of Ray (extra ray). Default: one after the other."""
    address: str | None = None
    """HOST:PORT of a Ray cluster that is running, in the place of processes on this machine."""
    json: JsonFlag = False


@dataclass(frozen=True)
class CompareConfig:
    """Put runs beside each other: a table, and a picture of their learning curves. Seeds of one setting are one row.

    Example: lfd compare runs/lift-iq runs/lift-bc --out curves.svg
    """

    runs: Positional[tuple[Path, ...]]
    """Run folders, or folders of lfd train --seeds."""
    out: Path | None = None
    """Write the curves to this .svg file, or curves and table to this .html page."""
    metrics: tuple[str, ...] = ()
    """Draw these logged metrics too, such as q_expert critic_loss. Default: success in practice, where there is any."""
    json: JsonFlag = False


@dataclass(frozen=True)
class RewardConfig:
    """Recover the reward behind demos: what a policy's Q-function thinks of recorded episodes, good and bad.

    Example: lfd reward runs/lift-iq --demos rollouts/lift --out reward.csv
    """

    run: Positional[Path]
    """Run folder or checkpoint folder of an algorithm with a Q-function: iq, sqil."""
    demos: tuple[Path, ...]
    """One or more datasets: demos, or rollouts of mixed quality."""
    out: Path | None = None
    """Write reward, recovered reward and value of every step to this .csv file."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DeployConfig:
    """Let a policy drive the arm at the control rate, within limits, and record what it does.

    Example: lfd deploy runs/lift-iq --episodes 5 --record rollouts/lift
    """

    run: Positional[Path]
    """Run folder or checkpoint folder."""
    episodes: int = 5
    """Episodes to run."""
    seed: int = 2000
    """Seed of the first episode."""
    record: Path | None = None
    """Dataset that the rollouts are added to."""
    takeover: Literal["none", "keyboard", "gamepad", "scripted"] = "none"
    """Device with which a person can take over; scripted stands in for a person who helps where nothing goes on."""
    cameras: tuple[str, ...] = ()
    """Cameras to record."""
    size_px: int = 84
    """Height and width of recorded pictures."""
    headless: Flag = False
    """No window."""
    realtime: bool = True
    """Keep the wall clock."""
    json: JsonFlag = False


@dataclass(frozen=True)
class ExportConfig:
    """Write a policy as one file that runs without this project.

    Example: lfd export runs/lift-iq --format onnx
    """

    run: Positional[Path]
    """Run folder or checkpoint folder."""
    format: Literal["torchscript", "onnx"] = "torchscript"
    """torchscript: for libtorch, Python or C++; onnx: for every other runtime."""
    out: Path | None = None
    """File to write; policy.pt or policy.onnx in the checkpoint folder without it."""
    json: JsonFlag = False


@dataclass(frozen=True)
class ReplayConfig:
    """Re-simulate recorded episodes.

    Example: lfd replay demos/lift --check
    """

    dataset: Positional[Path]
    """Dataset folder."""
    demo: tuple[str, ...] = ()
    """Ids of the episodes; all without it."""
    check: Flag = False
    """Compare with what was recorded; exit code 1 where it differs."""
    camera: str | None = None
    """Camera of the video; the main one without it."""
    size_px: int = 256
    """Height and width of the video."""
    video: Path | None = None
    """Write the re-simulated episodes to this .mp4 or .gif file."""
    json: JsonFlag = False


@dataclass(frozen=True)
class ReviewConfig:
    """Look at a dataset: videos, actions, rewards, success, timing.

    Example: lfd review demos/lift --export lift.html
    """

    datasets: Positional[tuple[Path, ...]]
    """Dataset folders."""
    export: Path | None = None
    """Write one self-contained HTML file instead of serving the page."""
    policy: Path | None = None
    """Run whose Q-function is shown along each episode, and which can be watched beside a person."""
    runs: tuple[Path, ...] = ()
    """Further runs for the evaluation page, to compare with --policy and with each other."""
    camera: str | None = None
    """Camera of the videos; stored pictures, or the main camera re-simulated, without it."""
    size_px: int = 192
    """Height and width of re-simulated videos."""
    max_episodes: int = 50
    """At most so many episodes on an exported page."""
    port: int = 8600
    """Port of the local page."""
    json: JsonFlag = False


@dataclass(frozen=True)
class PadConfig:
    """Show every stick and button of a gamepad by its name in the bindings, and calibrate its sticks.

    Example: lfd pad --calibrate
    """

    calibrate: Flag = False
    """Measure where the sticks rest (drift); lfd record takes it into account from then on."""
    bindings: Path | None = None
    """A TOML file with your own bindings, to be checked and shown."""
    seconds: float | None = None
    """End by itself after so long. Default: Esc or the close button."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DoctorConfig:
    """Say what works on this machine, what is missing and how to get it.

    Example: lfd doctor
    """

    json: JsonFlag = False


@dataclass(frozen=True)
class DemoConfig:
    """Run the whole loop in minutes, no screen needed: record, train BC and IQ-Learn, evaluate, deploy, review.

    Example: lfd demo --out demo
    """

    out: Path = Path("demo")
    """Folder for everything that is made; what is already finished there is not done again."""
    env: str = "pybullet/Lift-v0"
    """Task to learn."""
    demos: int = 10
    """Scripted-human demos."""
    steps: int = 15000
    """Gradient steps of IQ-Learn."""
    eval_episodes: int = 50
    """Episodes of each evaluation."""
    seed: int = 0
    """Seed of recording and training."""
    json: JsonFlag = False
