"""The networks that decide what is one neuron: their examples, their training, their scores.

Examples are of simulated recordings that the sorter itself sorts: pairs of groups at each of its stages, both parts of
units that were cut, and the units at its end. What each truly is follows from the spikes that were simulated.
"""

import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import trange

from huidurep_sorter.encoder.small_networks import SmallNetworks, file_name, save_networks
from huidurep_sorter.spikes.features import FEATURES
from huidurep_sorter.templates import evidence as of_pairs
from huidurep_sorter.training.examples import Examples, collect
from huidurep_sorter.training.footprints import read_footprints
from huidurep_sorter.training.simulation import SimulationConfig, simulate
from huidurep_sorter.units import single_unit as of_units

logger = logging.getLogger(__name__)

MIN_PURITY = 0.6  # of both groups of a pair, of whose spikes so many are of one neuron; others have no true answer
MIN_DURATION_S = 5.0  # of a simulated recording; a limit: shorter ones have too few spikes of a unit
MIN_CHANNELS = 8  # of a large probe; a limit: four columns, or a square of eight
QUESTIONS = {"same_neuron": (of_pairs.EVIDENCE, MIN_PURITY), "single_unit": (of_units.EVIDENCE, 0.0)}


@dataclass(frozen=True, kw_only=True)
class DecisionsConfig:
    """What the networks are trained on, and how; a tuple is what each recording draws from."""

    seed: int = 0
    features: tuple = ("huidurep", "svd")  # networks for each; the first one clusters
    footprints: dict[str, int] = field(default_factory=dict)  # files, and how many times each one counts
    n_recordings: int = 150
    duration_s: tuple = (40.0, 60.0, 90.0, 120.0, 180.0)
    n_channels: tuple = (16, 32)
    few_channels: float = 0.6  # share of recordings on probes of 1 to 16 contacts
    neighbours: tuple = (0.0, 0.25, 0.5)
    bursts: tuple = (0.0, 0.3, 0.8)
    artefacts_per_minute: tuple = (0.0, 0.0, 3.0)
    snr_median: tuple = (5.0, 11.0)  # a range
    n_rare: int = 50  # more recordings, of units that fire rarely, of any size, mostly on few channels
    rare_rate_hz: tuple = (0.1, 1.5)  # a range
    rare_snr_median: tuple = (6.0, 25.0)  # a range
    rare_few_channels: float = 0.8
    drift_probability: float = 0.35
    part_time: tuple = (0.0, 0.0, 0.2)  # share of the units that fire only for a part of the recording
    together: float = 0.2  # share of recordings whose units fire in bursts of all
    wrongly_merged: float = 0.03  # probability that a group is merged with another neuron's
    n_networks: int = 3  # whose mean decides
    n_hidden: int = 32
    n_epochs: int = 40
    n_batches: int = 100  # an epoch: pairs are many, units few
    learning_rate: float = 0.002
    weight_decay: float = 0.3

    def __post_init__(self):
        """Raise ValueError for what no run could work with, by the name of the field."""
        counts = ("n_recordings", "n_networks", "n_hidden", "n_epochs", "n_batches")
        for name, least in (dict.fromkeys(counts, 1) | dict(n_rare=0, seed=0)).items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not isinstance(self.footprints, dict) or not all(
            isinstance(times, int) and times > 0 for times in self.footprints.values()
        ):
            raise ValueError(f"footprints must name files, and how many times each counts, not {self.footprints!r}")
        unknown = set(self.features) - set(FEATURES)
        if unknown or not self.features or len(set(self.features)) < len(self.features):
            raise ValueError(f"features must be some of {sorted(FEATURES)}, each once, not {list(self.features)}")
        several = ("duration_s", "n_channels", "neighbours", "bursts", "artefacts_per_minute", "part_time")
        for name in several:
            values = getattr(self, name)
            if not values or not all(isinstance(value, int | float) and value >= 0 for value in values):
                raise ValueError(f"{name} must be numbers of at least 0, not {list(values)}")
        if min(self.duration_s) < MIN_DURATION_S:
            raise ValueError(f"duration_s must be at least {MIN_DURATION_S} s, not {list(self.duration_s)}")
        if not all(isinstance(n, int) and n >= MIN_CHANNELS for n in self.n_channels):
            raise ValueError(f"n_channels must be integers of at least {MIN_CHANNELS}, not {list(self.n_channels)}")
        self.check_shares_and_ranges()

    def check_shares_and_ranges(self):
        """Raise ValueError for a share, a range or a rate of learning that can't be one."""
        for name in ("few_channels", "rare_few_channels", "drift_probability", "together", "wrongly_merged"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name in ("snr_median", "rare_snr_median", "rare_rate_hz"):
            values = getattr(self, name)
            numbers = len(values) == 2 and all(isinstance(value, int | float) for value in values)
            if not numbers or not 0 < values[0] <= values[1]:
                raise ValueError(f"{name} must be a range, two numbers above 0, not {list(values)}")
        if not (self.learning_rate > 0 and self.weight_decay >= 0):
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}, and weight_decay at least 0")


def read_all(files):
    """Read the footprints of files, each as often as it counts."""
    return [footprint for path, times in files.items() for footprint in read_footprints(path) * times]


def draw_simulation(config, rng) -> SimulationConfig:
    """Draw what one of the first `n_recordings` is like."""
    return SimulationConfig(
        duration_s=float(rng.choice(config.duration_s)),
        n_channels=int(rng.choice(config.n_channels)),
        few_channels=config.few_channels,
        neighbours=float(rng.choice(config.neighbours)),
        bursts=float(rng.choice(config.bursts)),
        artefacts_per_minute=float(rng.choice(config.artefacts_per_minute)),
        snr_median=config.snr_median,
        drift_probability=config.drift_probability,
        drift_um=(3.0, 20.0),
        positive=0.05,
        mix_probability=0.7,
        turn_rad=0.35,
        slowing=0.25,
        background_per_unit=float(rng.choice([1.0, 2.0])),
        part_time=float(rng.choice(config.part_time)),
        together=config.together,
    )


def draw_rare_simulation(config, rng) -> SimulationConfig:
    """Draw what one of the last `n_rare`, of rare units, is like."""
    return replace(
        draw_simulation(config, rng),
        rate_hz=config.rare_rate_hz,
        min_rate_hz=config.rare_rate_hz[0],
        snr_median=config.rare_snr_median,
        few_channels=config.rare_few_channels,
    )


def pretrain_decisions(config, folder, verbose=False) -> list[Path]:
    """Train the networks of each question and kind of features; go on where a run in the same folder stopped.

    Parameters
    ----------
    config : DecisionsConfig
    folder : str or Path
        It receives `examples/` and the weights.
    verbose : bool, default: False
        Show a progress bar.

    Returns
    -------
    weights : list of Path

    Raises
    ------
    ValueError
        If there are no footprints, or the folder holds a run of another configuration.
    """
    folder = Path(folder)
    if not config.footprints:
        raise ValueError("there is nothing to simulate from: name files of footprints in the configuration")
    footprints = read_all(config.footprints)
    described = json.dumps(asdict(config))
    folder.mkdir(parents=True, exist_ok=True)
    claim = folder / "config.json"
    if claim.exists() and claim.read_text(encoding="utf8") != described:
        raise ValueError(f"{folder} holds a run of another configuration: name another folder")
    claim.write_text(described, encoding="utf8")
    paths, written = prepare_examples(folder / "examples", config, footprints, verbose), []
    for question in QUESTIONS:
        examples = Examples.load(path / f"{question}.npz" for path in paths)
        for kind, features in enumerate(config.features):
            written.append(folder / file_name(question, features))
            save_networks(train_networks(question, examples, config, kind), written[-1], training=described)
    return written


def prepare_examples(folder, config, footprints, verbose=False) -> list[Path]:
    """Simulate and sort recordings, and keep their examples, a folder each; what is there already is kept."""
    paths = []
    for index in trange(config.n_recordings + config.n_rare, desc="recordings", disable=not verbose):
        paths.append(Path(folder) / f"{config.seed}-{index}")
        if all((paths[-1] / f"{question}.npz").exists() for question in QUESTIONS):
            continue
        paths[-1].mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([config.seed, index, 1])
        draw = draw_simulation if index < config.n_recordings else draw_rare_simulation
        simulated = simulate(footprints, draw(config, rng), [config.seed, index])
        for question, examples in collect(simulated, config, index, rng).items():
            examples.save(paths[-1] / f"{question}.npz")
    return paths


def train_networks(question, examples, config, kind=0) -> SmallNetworks:
    """Train networks on examples, with one kind of features; deterministic for a seed, in one thread."""
    names, min_purity = QUESTIONS[question]
    examples = examples.take(examples.purity >= min_purity)
    if len(examples.answers) == 0:
        raise ValueError(f"the simulated recordings gave nothing to learn {question} from: make more, or longer ones")
    evidence = examples.evidence[:, kind]
    mean, scale = evidence.mean(axis=0), np.maximum(evidence.std(axis=0), 1e-6)
    nothing = SmallNetworks(names=names, mean=mean, scale=scale, layers=[])
    x = torch.tensor(nothing.standardize(evidence), dtype=torch.float32)
    y = torch.tensor(examples.answers, dtype=torch.float32)
    trained = [train_one(x, y, config, number) for number in range(config.n_networks)]
    layers = [
        tuple(np.stack([getattr(net[2 * k], name).detach().numpy() for net in trained]) for name in ("weight", "bias"))
        for k in range(3)
    ]
    return replace(nothing, layers=layers)


def train_one(x, y, config, number):
    """Train one network of three layers."""
    generator = torch.Generator().manual_seed(1000 * config.seed + number)
    with torch.random.fork_rng():  # the caller's generator is left alone
        torch.manual_seed(1000 * config.seed + number)
        n_in, n_hidden = x.shape[1], config.n_hidden
        first, second, last = nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_hidden), nn.Linear(n_hidden, y.shape[1])
        net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
    size = -(-len(x) // config.n_batches)
    steps = config.n_epochs * -(-len(x) // size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(config.n_epochs):
        for batch in torch.randperm(len(x), generator=generator).split(size):
            loss = F.binary_cross_entropy_with_logits(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net


def score(probability, is_one, n_bins=10):
    """Give the expected calibration error, and the shares of wrong and of missed merges at 0.5."""
    which = np.minimum((probability * n_bins).astype("int64"), n_bins - 1)
    errors = [abs((probability - is_one)[which == k].mean()) * (which == k).mean() for k in np.unique(which)]
    merged = probability >= 0.5
    return float(np.sum(errors)), float((merged & ~is_one).mean()), float((~merged & is_one).mean())
