"""The network that says whether two groups of spikes are one neuron: its pairs, its training, its scores.

Groups are those that the sorter itself makes of simulated recordings: clusters, clusters of which some were merged,
and matched units. What each truly is follows from the spikes that were simulated.
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

from huidurep_sorter.encoder.same_neuron import SameNeuron, save_same_neuron
from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.clustering import find_clusters
from huidurep_sorter.spikes.detection import detect_peaks, select_peaks
from huidurep_sorter.spikes.features import FEATURES, extract_features, locate_spikes
from huidurep_sorter.templates.agglomeration import unite_spikes
from huidurep_sorter.templates.collisions import without_collisions
from huidurep_sorter.templates.duplicates import find_duplicated_spikes
from huidurep_sorter.templates.estimation import make_templates
from huidurep_sorter.templates.evidence import EVIDENCE
from huidurep_sorter.templates.groups import are_comparable, describe_groups
from huidurep_sorter.templates.matching import match_templates
from huidurep_sorter.templates.refinement import refine_templates
from huidurep_sorter.templates.split_half import differences, estimate_split_half
from huidurep_sorter.templates.waveforms import window_samples
from huidurep_sorter.traces.preprocessing import open_traces, prepare
from huidurep_sorter.training.footprints import read_footprints
from huidurep_sorter.training.simulation import SimulationConfig, simulate
from huidurep_sorter.units.curation import drop_rare

logger = logging.getLogger(__name__)

STAGES = ("clusters", "some merged", "most merged", "units")
MATCH_S = 0.0006  # s between a spike of a group and one that was simulated, at most, to be the same
MIN_PURITY = 0.6  # of both groups of a pair, of whose spikes so many are of one neuron; others have no true answer
MAX_PAIRS = 300  # of one recording and stage; more would let single recordings decide


@dataclass(frozen=True, kw_only=True)
class SameNeuronConfig:
    """What the network is trained on, and how; a tuple is what each recording draws from."""

    seed: int = 0
    features: tuple = ("huidurep", "svd")  # a network for each; the first one clusters
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
    wrongly_merged: float = 0.03  # probability that a group of a pair stage is one of two neurons
    n_networks: int = 3  # whose mean decides
    n_hidden: int = 32
    n_epochs: int = 40
    batch_size: int = 512
    learning_rate: float = 0.002
    weight_decay: float = 0.02

    def __post_init__(self):
        """Raise ValueError for what no run could work with, by the name of the field."""
        counts = ("n_recordings", "n_networks", "n_hidden", "n_epochs", "batch_size")
        for name, least in (dict.fromkeys(counts, 1) | dict(n_rare=0, seed=0)).items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not isinstance(self.footprints, dict) or not all(
            isinstance(times, int) and times > 0 for times in self.footprints.values()
        ):
            raise ValueError(f"footprints must name files, and how many times each counts, not {self.footprints!r}")
        unknown = set(self.features) - set(FEATURES)
        if unknown or not self.features:
            raise ValueError(f"features must be some of {sorted(FEATURES)}, not {list(self.features)}")
        for name in ("duration_s", "n_channels", "neighbours", "bursts", "artefacts_per_minute", "snr_median"):
            values = getattr(self, name)
            if not values or not all(isinstance(value, int | float) and value >= 0 for value in values):
                raise ValueError(f"{name} must be numbers of at least 0, not {list(values)}")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of groups, and whether both are one neuron.

    Attributes
    ----------
    evidence : (n_pairs, n_kinds, n_evidence) float64
        With each kind of features.
    is_one : (n_pairs,) bool
    purity : (n_pairs,) float64
        Of the less pure group.
    stage : (n_pairs,) int64
        Index of `STAGES`.
    recording : (n_pairs,) int64
    """

    evidence: np.ndarray
    is_one: np.ndarray
    purity: np.ndarray
    stage: np.ndarray
    recording: np.ndarray

    def take(self, which):
        """Take some of the pairs, by a mask or by indices."""
        return Pairs(**{name: values[which] for name, values in vars(self).items()})

    def save(self, path):
        """Write them as `.npz`, whole or not at all."""
        partial = Path(path).with_suffix(".partial.npz")
        np.savez(partial, **vars(self))
        partial.replace(path)

    @classmethod
    def load(cls, paths) -> "Pairs":
        """Read them from files, one after another."""
        parts = [dict(np.load(path)) for path in paths]
        return cls(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def no_pairs(n_kinds) -> Pairs:
    """Give no pairs, to begin with."""
    nothing = np.zeros(0, "int64")
    evidence = np.zeros((0, n_kinds, len(EVIDENCE)))
    return Pairs(evidence=evidence, is_one=nothing.astype(bool), purity=np.zeros(0), stage=nothing, recording=nothing)


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
    )


def pretrain_same_neuron(config, folder, verbose=False) -> list[Path]:
    """Train the network for each kind of features; go on where a run in the same folder stopped.

    Parameters
    ----------
    config : SameNeuronConfig
    folder : str or Path
        It receives `pairs/` and `FEATURES.safetensors`.
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
    pairs, written = Pairs.load(prepare_pairs(folder / "pairs", config, footprints, verbose)), []
    for kind, features in enumerate(config.features):
        written.append(folder / f"{features}.safetensors")
        save_same_neuron(train_same_neuron(pairs, config, kind), written[-1], training=described)
    return written


def draw_rare_simulation(config, rng) -> SimulationConfig:
    """Draw what one of the recordings of rare units is like."""
    return replace(
        draw_simulation(config, rng),
        rate_hz=config.rare_rate_hz,
        min_rate_hz=config.rare_rate_hz[0],
        snr_median=config.rare_snr_median,
        few_channels=config.rare_few_channels,
    )


def prepare_pairs(folder, config, footprints, verbose=False) -> list[Path]:
    """Simulate and sort recordings, and keep the pairs of their groups, a file each; what is there already is kept."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in trange(config.n_recordings + config.n_rare, desc="pairs", disable=not verbose):
        paths.append(folder / f"pairs-{config.seed}-{index}.npz")
        if paths[-1].exists():
            continue
        rng = np.random.default_rng([config.seed, index, 1])
        draw = draw_simulation if index < config.n_recordings else draw_rare_simulation
        simulated = simulate(footprints, draw(config, rng), [config.seed, index])
        collect_pairs(simulated, config, index, rng).save(paths[-1])
    return paths


def collect_pairs(simulated, config, index, rng) -> Pairs:
    """Sort a simulated recording, and collect the pairs of its groups at each of `STAGES`."""
    parameters, found = SortingParameters(features=config.features[0]), []
    known = np.concatenate([simulated.spikes, simulated.background])
    known = known[np.argsort(known["sample_index"], kind="stable")]
    quiet = dict(n_jobs=1, progress_bar=False)
    try:
        prepared, set_aside = prepare(simulated.recording, parameters, quiet)
        with open_traces(prepared, set_aside, parameters, None, quiet) as traces:
            for stage, groups in enumerate(sort_by_truth(traces, known, parameters, config, rng)):
                if groups.n_units < 2:
                    break
                found.append(describe_pairs(traces, groups, known, config, stage, index, rng))
    except NothingFound as reason:
        logger.info("recording %d: %s", index, reason)
    nothing = (
        np.zeros((0, len(config.features), len(EVIDENCE))),
        *(np.zeros(0, kind) for kind in (bool, float, "int64", "int64")),
    )
    found.append(Pairs(**dict(zip(Pairs.__dataclass_fields__, nothing, strict=True))))
    return Pairs(**{name: np.concatenate([getattr(part, name) for part in found]) for name in vars(found[0])})


def sort_by_truth(traces, known, parameters, config, rng):
    """Yield groups of spikes at each of `STAGES`; in between some are merged, by the truth and at random."""
    peaks = detect_peaks(traces, parameters)
    spikes = select_peaks(traces, peaks, parameters, margin=window_samples(traces, parameters))
    spikes = locate_spikes(traces, extract_features(traces, spikes, parameters))
    clusters = find_clusters(spikes, parameters)
    yield clusters.compact()
    for share in (0.5, 0.9):
        share_here = rng.uniform(share - 0.3, min(share + 0.3, 1.0))
        clusters = merge_by_truth(traces, clusters.compact(), known, share_here, config.wrongly_merged, rng)
        yield clusters.compact()
    templates, clusters = make_templates(traces, clusters, parameters)
    templates = without_collisions(traces, templates, clusters)
    templates = refine_templates(traces, templates, clusters, parameters)
    units, _ = drop_rare(match_templates(traces, templates, parameters).within(traces.n_samples))
    units, _ = drop_rare(units.take(~find_duplicated_spikes(traces, units)))
    yield units


def merge_by_truth(traces, spikes, known, share, wrongly, rng):
    """Merge a share of the groups of each neuron, and a few groups with one that is alike but another neuron."""
    templates = estimate_split_half(traces, spikes)
    comparable = are_comparable(traces, templates)
    owner, _ = find_owners(spikes, known, traces.sampling_frequency)
    stands_for, shifts = np.arange(len(owner)), np.zeros(len(owner), dtype="int64")
    for group in np.argsort(-templates.counts, kind="stable"):
        is_own = owner == owner[group]
        wanted = is_own if rng.random() >= wrongly else ~is_own
        free = np.flatnonzero(comparable[group] & wanted & (stands_for == np.arange(len(owner))))
        if len(free) == 0 or stands_for[group] != group or (stands_for == group).sum() > 1:
            continue
        chosen = free[rng.random(len(free)) < share] if wanted is is_own else rng.choice(free, 1)
        chosen = np.array([other for other in chosen if (stands_for == other).sum() == 1], dtype="int64")
        if len(chosen):
            _, lag = differences(templates, group, chosen)
            stands_for[chosen], shifts[chosen] = group, lag
    return unite_spikes(spikes, stands_for, shifts)


def find_owners(spikes, known, sampling_frequency):
    """Find the neuron that most spikes of each group are of, and how many.

    Parameters
    ----------
    spikes : Spikes
    known : structured array
        `sample_index`, ascending, and `unit_index`.
    sampling_frequency : float

    Returns
    -------
    owner : (n_groups,) int64
    purity : (n_groups,) float64
        0 to 1.
    """
    reach = int(MATCH_S * sampling_frequency)
    first = np.searchsorted(known["sample_index"], spikes.sample_index - reach)
    last = np.searchsorted(known["sample_index"], spikes.sample_index + reach + 1)
    seen = np.zeros((spikes.n_units, known["unit_index"].max() + 1), dtype="int64")
    for step in range((last - first).max(initial=0)):
        near = np.flatnonzero(first + step < last)
        np.add.at(seen, (spikes.label[near], known["unit_index"][first[near] + step]), 1)
    return seen.argmax(axis=1), seen.max(axis=1) / np.maximum(spikes.counts(), 1)


def describe_pairs(traces, spikes, known, config, stage, index, rng) -> Pairs:
    """Describe pairs of groups with each kind of features, at most `MAX_PAIRS` drawn at random."""
    owner, purity = find_owners(spikes, known, traces.sampling_frequency)
    pairs = np.argwhere(np.triu(are_comparable(traces, estimate_split_half(traces, spikes))))
    pairs = pairs[np.sort(rng.permutation(len(pairs))[:MAX_PAIRS])]
    evidence = np.zeros((len(pairs), len(config.features), len(EVIDENCE)))
    for kind, features in enumerate(config.features):
        groups, _ = describe_groups(traces, spikes, SortingParameters(features=features))
        for a in np.unique(pairs[:, 0]):
            here = np.flatnonzero(pairs[:, 0] == a)
            evidence[here, kind], _ = groups.compare_with(a, pairs[here, 1])
    return Pairs(
        evidence=evidence,
        is_one=owner[pairs[:, 0]] == owner[pairs[:, 1]],
        purity=np.minimum(*purity[pairs.T]) if len(pairs) else np.zeros(0),
        stage=np.full(len(pairs), stage),
        recording=np.full(len(pairs), index),
    )


def train_same_neuron(pairs, config, kind=0) -> SameNeuron:
    """Train networks on pairs, with one kind of features; deterministic for a seed, in one thread."""
    pairs = pairs.take(pairs.purity >= MIN_PURITY)
    if len(pairs.is_one) == 0:
        raise ValueError("the simulated recordings gave no pair of groups to learn from: make more, or longer ones")
    evidence = pairs.evidence[:, kind]
    mean, scale = evidence.mean(axis=0), np.maximum(evidence.std(axis=0), 1e-6)
    nothing = SameNeuron(names=EVIDENCE, mean=mean, scale=scale, layers=[])
    x = torch.tensor(nothing.standardize(evidence), dtype=torch.float32)
    y = torch.tensor(pairs.is_one, dtype=torch.float32)[:, None]
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
        net = nn.Sequential(
            nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_hidden), nn.ReLU(), nn.Linear(n_hidden, 1)
        )
    steps = config.n_epochs * -(-len(x) // config.batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(config.n_epochs):
        for batch in torch.randperm(len(x), generator=generator).split(config.batch_size):
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
