"""Examples of what the sorter must decide, of simulated recordings whose true spikes are known."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.features import extract_features
from huidurep_sorter.templates import evidence as of_pairs
from huidurep_sorter.templates.groups import are_comparable, describe_groups
from huidurep_sorter.templates.split_half import estimate_split_half
from huidurep_sorter.traces.preprocessing import open_traces, prepare
from huidurep_sorter.training.sorted_by_truth import STAGES, find_owners, sort_by_truth
from huidurep_sorter.units import single_unit as of_units
from huidurep_sorter.units.curation import align_to_peaks
from huidurep_sorter.units.properties import measure
from huidurep_sorter.units.splitting import are_overlapped, cut_in_two, gather, halve, large_enough, weigh

logger = logging.getLogger(__name__)

MAX_PAIRS = 300  # of one recording and stage; more would let single recordings decide
MIN_ACCURACY = 0.5  # of a unit, as SpikeInterface measures it, to be a neuron that was found; its default
MIN_PURITY_OF_PART = 0.5  # of both parts of a unit, to be of two neurons
MIN_PURITY = 0.8  # of a unit that is one neuron alone


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples of one question, and the true answers.

    Attributes
    ----------
    evidence : (n, n_kinds, n_evidence) float64
        With each kind of features.
    answers : (n, n_answers) bool
    purity : (n,) float64
        Share of the spikes that are of one neuron; of a pair that of the less pure group. 1 of the parts of a unit:
        whether it was cut rightly is known whatever they are.
    stage : (n,) int64
        Index of `STAGES`.
    recording : (n,) int64
    """

    evidence: np.ndarray
    answers: np.ndarray
    purity: np.ndarray
    stage: np.ndarray
    recording: np.ndarray

    def take(self, which):
        """Take some of the examples, by a mask or by indices."""
        return Examples(**{name: values[which] for name, values in vars(self).items()})

    def save(self, path):
        """Write them as `.npz`, whole or not at all."""
        partial = Path(path).with_suffix(".partial.npz")
        np.savez(partial, **vars(self))
        partial.replace(path)

    @classmethod
    def load(cls, paths) -> "Examples":
        """Read them from files, one after another."""
        return cls.join([cls(**dict(np.load(path))) for path in paths])

    @classmethod
    def join(cls, parts) -> "Examples":
        """Put examples of one question one after another."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    @classmethod
    def none(cls, n_kinds, n_evidence, n_answers) -> "Examples":
        """Give no examples, to begin with."""
        nothing = np.zeros(0, "int64")
        return cls(
            evidence=np.zeros((0, n_kinds, n_evidence)),
            answers=np.zeros((0, n_answers), bool),
            purity=np.zeros(0),
            stage=nothing,
            recording=nothing,
        )


def collect(simulated, config, index, rng) -> dict:
    """Sort a simulated recording by the truth, and collect examples at each of `STAGES`.

    Returns
    -------
    examples : dict of str to Examples
        By question: "same_neuron" of pairs of groups and of both parts of units, "single_unit" of units.
    """
    parameters, n_kinds = SortingParameters(features=config.features[0]), len(config.features)
    pairs = [Examples.none(n_kinds, len(of_pairs.EVIDENCE), 1)]
    units = [Examples.none(n_kinds, len(of_units.EVIDENCE), 2)]
    known = np.concatenate([simulated.spikes, simulated.background])
    known = known[np.argsort(known["sample_index"], kind="stable")]
    quiet = dict(n_jobs=1, progress_bar=False)
    try:
        prepared, set_aside = prepare(simulated.recording, parameters, quiet)
        with open_traces(prepared, set_aside, parameters, None, quiet) as traces:
            peaks = None
            for stage, groups in enumerate(sort_by_truth(traces, known, parameters, config.wrongly_merged, rng)):
                peaks = groups if peaks is None else peaks
                if groups.n_units > 1 and STAGES[stage] != "mixed units":
                    pairs.append(describe_pairs(traces, groups, known, config, stage, index, rng))
                if STAGES[stage] == "merged units" and groups.n_units:
                    units.append(describe_units(traces, groups, peaks, known, config, stage, index))
                if STAGES[stage] == "mixed units" and groups.n_units:
                    pairs.append(describe_parts(traces, groups, known, config, stage, index))
    except NothingFound as reason:
        logger.info("recording %d: %s", index, reason)
    return dict(same_neuron=Examples.join(pairs), single_unit=Examples.join(units))


def describe_pairs(traces, spikes, known, config, stage, index, rng) -> Examples:
    """Describe pairs of groups with each kind of features, at most `MAX_PAIRS` drawn at random."""
    owner, purity = find_owners(spikes, known, traces.sampling_frequency)
    comparable = np.triu(are_comparable(traces, estimate_split_half(traces, spikes)))
    pairs = np.argwhere(comparable)
    pairs = pairs[np.sort(rng.permutation(len(pairs))[:MAX_PAIRS])]
    among = np.zeros_like(comparable)
    among[pairs[:, 0], pairs[:, 1]] = among[pairs[:, 1], pairs[:, 0]] = True
    evidence = np.zeros((len(pairs), len(config.features), len(of_pairs.EVIDENCE)))
    for kind, features in enumerate(config.features):
        groups, _ = describe_groups(traces, spikes, SortingParameters(features=features), among)
        for a in np.unique(pairs[:, 0]):
            here = np.flatnonzero(pairs[:, 0] == a)
            evidence[here, kind], _ = groups.compare_with(a, pairs[here, 1])
    return Examples(
        evidence=evidence,
        answers=owner[pairs[:, :1]] == owner[pairs[:, 1:]],
        purity=np.minimum(*purity[pairs.T]) if len(pairs) else np.zeros(0),
        stage=np.full(len(pairs), stage),
        recording=np.full(len(pairs), index),
    )


def describe_units(traces, units, peaks, known, config, stage, index) -> Examples:
    """Describe units with each kind of features of the peaks that were clustered."""
    owner, purity = find_owners(units, known, traces.sampling_frequency)
    shared, both = purity * units.counts(), units.counts() + np.bincount(known["unit_index"])[owner]
    units = align_to_peaks(traces, units, SortingParameters())
    evidence = np.zeros((units.n_units, len(config.features), len(of_units.EVIDENCE)))
    for kind, features in enumerate(config.features):
        seen = extract_features(traces, peaks, SortingParameters(features=features))
        evidence[:, kind] = of_units.describe_units(measure(traces, units, seen))
    return Examples(
        evidence=evidence,
        answers=np.column_stack([shared / (both - shared) >= MIN_ACCURACY, purity >= MIN_PURITY]),
        purity=purity,
        stage=np.full(units.n_units, stage),
        recording=np.full(units.n_units, index),
    )


def describe_parts(traces, units, known, config, stage, index) -> Examples:
    """Cut units in two by each kind of features, and describe both parts with each; one neuron is what has no second.

    A part that is of no neuron for the most part, but of collisions or of noise, is no second neuron.
    """
    described = []
    alone = ~are_overlapped(traces, units)
    for by in config.features:
        parameters = SortingParameters(features=by)
        wholes = gather(traces, units, np.flatnonzero(units.counts() >= 2 * parameters.min_cluster_size), alone)
        sides = cut_in_two(traces, wholes, parameters)
        asked = large_enough(sides, parameters)
        if not asked:
            continue
        wholes, sides = [wholes[k] for k in asked], [sides[k] for k in asked]
        halves = halve(wholes, sides)
        owner, purity = (of.reshape(-1, 2) for of in find_owners(halves, known, traces.sampling_frequency))
        evidence = [weigh(traces, wholes, sides, SortingParameters(features=kind)) for kind in config.features]
        described.append(
            Examples(
                evidence=np.stack(evidence, axis=1),
                answers=(owner[:, :1] == owner[:, 1:]) | (purity.min(axis=1, keepdims=True) < MIN_PURITY_OF_PART),
                purity=np.ones(len(asked)),
                stage=np.full(len(asked), stage),
                recording=np.full(len(asked), index),
            )
        )
    nothing = Examples.none(len(config.features), len(of_pairs.EVIDENCE), 1)
    return Examples.join([nothing, *described])
