"""The story: sessions -> the probe's shift -> pairs of units -> one identity of each neuron."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from spikeinterface.core import SortingAnalyzer

from huidurep_sorter.encoder.checkpoints import load_encoder
from huidurep_sorter.encoder.network import Encoder
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.checks import prepare_recording
from huidurep_sorter.traces.silence import BridgedPeriodsRecording, find_silent_periods
from huidurep_sorter.tracking.identities import find_identities
from huidurep_sorter.tracking.pairs import compare_units, probability_of_pairs
from huidurep_sorter.tracking.sessions import RULES, Session
from huidurep_sorter.tracking.shifts import find_shifts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrackedUnits:
    """Units of several sessions, and which of them are one neuron.

    Attributes
    ----------
    units : DataFrame
        A row a unit: `session`, `unit_id`, `neuron` (the same number in each session), `n_sessions` in which that
        neuron was found, `probability` of its least sure pair with another session (NaN without one), `x` and `y` (um,
        on the probe as it stood in the first session), `num_spikes`.
    pairs : DataFrame
        A row for each two units of two sessions that lie near each other: `session_1`, `unit_id_1`, `session_2`,
        `unit_id_2`, `probability` that they are one neuron, `same_neuron` (what was decided), `similarity` (cosine of
        mean embeddings), `template_difference` (0 for the same), `distance_um`, `interval_difference` (0 to 2: of the
        distributions of their intervals), `rate_ratio` (absolute logarithm).
    shifts_um : dict
        Session to by how much units lie further along y in it than in the first.
    waveforms : list of (n_units, n_samples, n_channels) float32
        Of each session: mean preprocessed waveforms, in units of noise, with the shift taken off, on the channels
        nearest to the unit's main channel.
    channels_um : list of (n_units, n_channels, 2) float32
        Where these channels are; NaN where a probe has fewer.
    autocorrelograms : list of (n_units, n_bins) float64
        Of each session, in Hz.
    bins_ms : (n_bins + 1,) float64
    """

    units: pd.DataFrame
    pairs: pd.DataFrame
    shifts_um: dict
    waveforms: list
    channels_um: list
    autocorrelograms: list
    bins_ms: np.ndarray


def track_units(
    analyzers, *, use_firing=False, min_probability=0.5, weights=None, torch_device="auto", seed=0
) -> TrackedUnits:
    """Find the same neurons in several sessions of one probe.

    Parameters
    ----------
    analyzers : list of SortingAnalyzer, or dict of name to SortingAnalyzer
        One a session, each with its recording, raw or filtered; by any sorter. Nothing needs to be computed in them,
        and nothing is changed. Channels are known by their place; those that not all sessions have are left out.
    use_firing : bool, default: False
        Let rate and intervals between spikes count too. Neurons fire otherwise in another task, so that it is off.
    min_probability : float, default: 0.5
        That two units are one neuron, from which they get one identity. Raise it where a wrong match costs more than a
        missed one.
    weights : str, Path, Encoder or None, default: None
        As in `load_encoder`.
    torch_device : str, default: "auto"
    seed : int, default: 0
        Chooses the spikes that are looked at.

    Returns
    -------
    tracked : TrackedUnits

    Raises
    ------
    ValueError
        If there are fewer than two sessions, one has no recording or no probe, or they share no channels.
    """
    named = dict(analyzers) if isinstance(analyzers, Mapping) else dict(enumerate(analyzers))
    if not 0 < min_probability < 1:
        raise ValueError(f"min_probability must be over 0 and under 1, not {min_probability}")
    check_sessions(named)
    encoder = weights if isinstance(weights, Encoder) else load_encoder(weights, torch_device)
    recordings = on_common_channels({name: open_recording(name, analyzer) for name, analyzer in named.items()})
    sessions = [Session.of(analyzer.sorting, recordings[name], seed) for name, analyzer in named.items()]
    embeddings = [s.represent(encoder, np.arange(len(s.unit_ids)), s.main)[0] for s in sessions]
    shifts_um = find_shifts(sessions, embeddings)
    logger.info("shift of each session in um: %s", dict(zip(named, shifts_um.round(1), strict=True)))
    pairs, waveforms, channels_um = compare_units(sessions, shifts_um, encoder)
    pairs["probability"] = probability_of_pairs(pairs, use_firing)
    neurons = find_identities(pairs, [len(s.unit_ids) for s in sessions], min_probability)
    pairs["same_neuron"] = are_same(pairs, neurons)
    return TrackedUnits(
        units=list_units(list(named), sessions, shifts_um, neurons, pairs),
        pairs=name_pairs(pairs, list(named), sessions),
        shifts_um=dict(zip(named, shifts_um.tolist(), strict=True)),
        waveforms=waveforms,
        channels_um=channels_um,
        autocorrelograms=[s.autocorrelograms for s in sessions],
        bins_ms=sessions[0].bins_ms,
    )


def check_sessions(analyzers):
    """Raise ValueError where sessions can't be tracked, before any work; see `track_units`."""
    if len(analyzers) < 2:
        raise ValueError(f"tracking takes at least two sessions, not {len(analyzers)}")
    for name, analyzer in analyzers.items():
        if not isinstance(analyzer, SortingAnalyzer):
            raise ValueError(f"session {name!r} must be a SortingAnalyzer, not a {type(analyzer).__name__}")
        if not analyzer.has_recording():
            raise ValueError(
                f"session {name!r} has no recording, or it was moved: load its analyzer with recording=..."
            )
        if not analyzer.recording.has_probe():
            raise ValueError(f"session {name!r} has no probe: set one with recording.set_probe(...)")


def open_recording(name, analyzer):
    """Give the recording of a session without dead channels, and with lines in place of missing values, lazily.

    Raises
    ------
    ValueError
        If nothing was recorded where units are said to be.
    """
    recording = analyzer.recording
    if len(analyzer.sorting.to_spike_vector()) == 0:
        return recording
    try:
        recording = prepare_recording(recording)
        silent = find_silent_periods(recording)
    except NothingFound as reason:
        raise ValueError(f"session {name!r} can't be used: {reason}") from None
    return BridgedPeriodsRecording(recording, silent) if len(silent) else recording


def on_common_channels(recordings):
    """Give the recordings with the channels that all of them have, within a micrometre, in one order.

    Raises
    ------
    ValueError
        If there are none.
    """
    places = {name: recording.get_channel_locations()[:, :2] for name, recording in recordings.items()}
    wanted = next(iter(places.values()))
    nearest = {name: cKDTree(at).query(wanted, distance_upper_bound=RULES.max_apart_um) for name, at in places.items()}
    common = np.all([np.isfinite(away_um) for away_um, _ in nearest.values()], axis=0)
    if not common.any():
        raise ValueError("the sessions have no channel in common: the contacts of their probes lie at other places")
    return {
        name: recording.select_channels(recording.channel_ids[nearest[name][1][common]])
        for name, recording in recordings.items()
    }


def list_units(names, sessions, shifts_um, neurons, pairs):
    """Make the table `TrackedUnits.units`."""
    tables = []
    for k, (session, shift) in enumerate(zip(sessions, shifts_um, strict=True)):
        at = session.location_um - [0.0, shift]
        columns = dict(unit_id=session.unit_ids, neuron=neurons[k], x=at[:, 0], y=at[:, 1])
        tables.append(pd.DataFrame(dict(session=names[k]) | columns | dict(num_spikes=session.num_spikes)))
    units = pd.concat(tables, ignore_index=True)
    units.insert(3, "n_sessions", units.groupby("neuron")["session"].transform("size"))
    least = least_sure(pairs, neurons)
    units.insert(4, "probability", [least.get(neuron, np.nan) for neuron in units["neuron"]])
    return units


def least_sure(pairs, neurons):
    """Give the probability of the least sure pair of each neuron that was found in several sessions, as a dict."""
    same = pairs[pairs["same_neuron"]]
    of = [neurons[pair.session_1][pair.index_1] for pair in same.itertuples()]
    return same["probability"].groupby(np.array(of, dtype="int64")).min().to_dict()


def are_same(pairs, neurons):
    """Say which pairs were given one identity, (n_pairs,) bool."""
    return np.array(
        [neurons[p.session_1][p.index_1] == neurons[p.session_2][p.index_2] for p in pairs.itertuples()], dtype=bool
    )


def name_pairs(pairs, names, sessions):
    """Make the table `TrackedUnits.pairs`, the most probable first."""
    table = pairs.drop(columns=["index_1", "index_2", "session_1", "session_2"])
    for side in (2, 1):
        of, index = pairs[f"session_{side}"], pairs[f"index_{side}"]
        ids = [sessions[k].unit_ids[i] for k, i in zip(of, index, strict=True)]
        table.insert(0, f"unit_id_{side}", ids)
        table.insert(0, f"session_{side}", [names[k] for k in of])
    table.insert(4, "probability", table.pop("probability"))
    table.insert(5, "same_neuron", table.pop("same_neuron"))
    return table.sort_values("probability", ascending=False, kind="stable", ignore_index=True)
