"""How alike two units of two sessions are, and how probable it is that they are one neuron."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from huidurep_sorter.traces.snippets import find_neighbourhoods
from huidurep_sorter.tracking.shifts import cosines


@dataclass(frozen=True, kw_only=True)
class PairRules:
    """Which units are compared, and a logistic regression on how they differ."""

    max_distance_um: float = 60.0  # um between two units, shifts taken off; beyond it none were one neuron (units-56)
    max_lag: int = 4  # samples by which mean waveforms may be moved to agree (units-56)
    least_dissimilarity: float = 0.002  # of embeddings, 1 - cosine; what is less says nothing more (units-56)
    offset: float = -0.88  # fitted to units of known origin, as the next three (units-56)
    per_log_dissimilarity: float = -2.35  # a factor e of 1 - cosine (units-56)
    per_template_difference: float = -1.1  # of a difference as large as the template (units-56)
    per_um: float = -0.16  # um between the units, shifts taken off (units-56)
    firing_offset: float = 0.91  # where firing counts too, beside `offset`; fitted as the next two (units-56)
    per_interval_difference: float = -0.7  # of intervals of which half differ: 1 (units-56)
    per_rate_ratio: float = -0.96  # a factor e between the rates (units-56)


RULES = PairRules()


def compare_units(sessions, shifts_um, encoder):
    """Compare the units of each two sessions that lie near each other.

    Both are represented around the main channel of either, in traces that are displaced back by the shift.

    Parameters
    ----------
    sessions : list of Session
    shifts_um : (n_sessions,) float64
        As `find_shifts` gives.
    encoder : Encoder

    Returns
    -------
    pairs : DataFrame
        A row a pair: `session_1`, `index_1`, `session_2`, `index_2` (of the unit in its session), `similarity`,
        `template_difference`, `distance_um`, `interval_difference`, `rate_ratio`.
    waveforms : list of (n_units, n_samples, n_neighbours) float32
        Of each session: each unit's mean waveform around its own channel, in traces that are displaced back.
    channels_um : list of (n_units, n_neighbours, 2) float32
        Where these channels are; NaN where there is none.
    """
    contacts_um = sessions[0].recording.get_channel_locations()[:, :2]
    main = [at_rest(contacts_um, s.main, shift) for s, shift in zip(sessions, shifts_um, strict=True)]
    places = [s.location_um - [0.0, shift] for s, shift in zip(sessions, shifts_um, strict=True)]
    pairs = find_candidates(places)
    known = [
        represent_around(session, encoder, list_views(pairs, k, main), shifts_um[k])
        for k, session in enumerate(sessions)
    ]
    rows = []
    for pair in pairs.itertuples(index=False):
        one, other = (pair.session_1, pair.index_1), (pair.session_2, pair.index_2)
        views = [(known[one[0]][one[1], c], known[other[0]][other[1], c]) for c in channels_of(one, other, main)]
        measured = np.mean([compare_views(*view) for view in views], axis=0)
        first, second = sessions[one[0]], sessions[other[0]]
        intervals = np.abs(first.intervals[one[1]] - second.intervals[other[1]]).sum()
        rate_ratio = abs(np.log(first.rate[one[1]] / second.rate[other[1]]))
        distance_um = np.linalg.norm(places[one[0]][one[1]] - places[other[0]][other[1]])
        rows.append((*measured, distance_um, intervals, rate_ratio))
    names = ["similarity", "template_difference", "distance_um", "interval_difference", "rate_ratio"]
    pairs = pd.concat([pairs, pd.DataFrame(rows, columns=names, dtype="float64")], axis=1)
    return pairs, *list_waveforms(sessions[0].recording, encoder.config, main, known)


def list_waveforms(recording, config, main, known):
    """List the mean waveform of each unit around its own channel, and the places of the channels, for each session."""
    near, contacts_um = find_neighbourhoods(recording, config.n_channels), recording.get_channel_locations()[:, :2]
    nothing = np.zeros((0, config.n_samples, config.n_channels), dtype="float32")
    waveforms = [
        np.array([of_unit[index, channel][1] for index, channel in enumerate(channels)], dtype="float32")
        if len(channels)
        else nothing
        for channels, of_unit in zip(main, known, strict=True)
    ]
    places = contacts_um[:, None] + near.offsets_um
    return waveforms, [places[channels].astype("float32") for channels in main]


def at_rest(contacts_um, channels, shift_um):
    """Find the channels that stand where others stood before the probe was displaced, (n,) int64."""
    wanted = contacts_um[channels] - [0.0, shift_um]
    return np.linalg.norm(contacts_um[None] - wanted[:, None], axis=2).argmin(axis=1).astype("int64")


def find_candidates(places) -> pd.DataFrame:
    """List the pairs of units of two sessions that are near each other; `places` are (n_units, 2) of each session."""
    rows = []
    for first in range(len(places)):
        for second in range(first + 1, len(places)):
            away_um = np.linalg.norm(places[first][:, None] - places[second], axis=2)
            rows += [(first, i, second, j) for i, j in np.argwhere(away_um <= RULES.max_distance_um)]
    return pd.DataFrame(rows, columns=["session_1", "index_1", "session_2", "index_2"], dtype="int64")


def channels_of(one, other, main):
    """Give the channels around which two units, each (session, index), are compared."""
    return sorted({int(main[one[0]][one[1]]), int(main[other[0]][other[1]])})


def list_views(pairs, session, main):
    """List around which channels each unit of a session is to be represented, as (index, channel), ordered."""
    views = {(index, int(channel)) for index, channel in enumerate(main[session])}
    for pair in pairs.itertuples(index=False):
        one, other = (pair.session_1, pair.index_1), (pair.session_2, pair.index_2)
        for mine in (one, other):
            if mine[0] == session:
                views |= {(mine[1], channel) for channel in channels_of(one, other, main)}
    return sorted(views)


def represent_around(session, encoder, views, shift_um):
    """Represent units around channels, as a dict of (index, channel) to (embedding, waveform)."""
    if not views:
        return {}
    units, channels = np.array(views).T
    return dict(zip(views, zip(*session.represent(encoder, units, channels, shift_um), strict=True), strict=True))


def compare_views(first, second):
    """Compare two units around one channel, each (embedding, waveform).

    Returns
    -------
    similarity : float
        Cosine of the mean embeddings.
    template_difference : float
        Of the mean waveforms, over the norm of the larger, at the lag at which it is least: 0 for the same.
    """
    similarity = cosines(first[0][None], second[0][None])[0, 0]
    a, b, most = first[1], second[1], RULES.max_lag
    largest = max(np.linalg.norm(a), np.linalg.norm(b), 1e-9)
    inner = a[most : len(a) - most]
    lags = range(2 * most + 1)
    return similarity, min(np.linalg.norm(inner - b[lag : lag + len(inner)]) for lag in lags) / largest


def probability_of_pairs(pairs, use_firing=False, rules=RULES):
    """Estimate how probable it is that two units are one neuron, (n_pairs,) 0 to 1.

    A neuron has one partner at most in another session: what speaks for other partners of either unit speaks against
    a pair.

    Parameters
    ----------
    pairs : DataFrame
        As `compare_units` gives.
    use_firing : bool
        Let rates and intervals count too.
    rules : PairRules
    """
    evidence = (
        rules.offset
        + rules.per_log_dissimilarity * np.log(np.maximum(1 - pairs["similarity"], rules.least_dissimilarity))
        + rules.per_template_difference * pairs["template_difference"]
        + rules.per_um * pairs["distance_um"]
    )
    if use_firing:
        evidence += rules.firing_offset + rules.per_interval_difference * pairs["interval_difference"]
        evidence += rules.per_rate_ratio * pairs["rate_ratio"]
    odds = np.exp(np.clip(evidence, -30.0, 30.0))
    rivals = sum(
        odds.groupby([pairs[name] for name in names]).transform("sum") - odds
        for names in (["session_1", "index_1", "session_2"], ["session_2", "index_2", "session_1"])
    )
    return (odds / (1 + odds + rivals)).to_numpy()
