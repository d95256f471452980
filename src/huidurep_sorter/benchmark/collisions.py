"""Count how many true spikes are found although another neuron fires nearby at almost the same time."""

import numpy as np

LAGS_MS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
SIMILARITIES = {"different": (-np.inf, 0.5), "alike": (0.5, np.inf)}
RADIUS_UM = 100.0


def collision_recall(truth, found, close, similarity):
    """Count the true spikes that have another unit's spike beside them, and how many of these were found.

    Parameters
    ----------
    truth : BaseSorting
    found : (n_spikes,) bool
        Which spikes of `truth.to_spike_vector()` were found, as from `spikes_found`.
    close : (n_units, n_units) bool
        Units whose spikes can disturb each other, as from `close_units`.
    similarity : (n_units, n_units) float
        Cosine of their templates.

    Returns
    -------
    rows : list of dict
        lag_ms (lower edge), similarity ("different" | "alike"), n and n_found. A spike is counted once for each spike
        beside it. The first row counts the spikes that have none: its lag_ms is NaN, its similarity is "alone".
    """
    edges = np.asarray(LAGS_MS) * truth.sampling_frequency / 1000
    first, second, lag = pairs_of_spikes(truth, close, edges[-1])
    unit = truth.to_spike_vector()["unit_index"]
    alone = np.ones(len(unit), dtype=bool)
    alone[first] = alone[second] = False
    rows = [dict(lag_ms=np.nan, similarity="alone", n=int(alone.sum()), n_found=int(found[alone].sum()))]
    alike = similarity[unit[first], unit[second]]
    lag_bin = np.clip(np.searchsorted(edges, lag, side="right") - 1, 0, len(edges) - 2)
    for name, (low, high) in SIMILARITIES.items():
        for i, lag_ms in enumerate(LAGS_MS[:-1]):
            inside = (lag_bin == i) & (alike >= low) & (alike < high)
            n_found = found[first[inside]].sum() + found[second[inside]].sum()
            rows.append(dict(lag_ms=lag_ms, similarity=name, n=2 * int(inside.sum()), n_found=int(n_found)))
    return rows


def close_units(locations_um, radius_um=RADIUS_UM):
    """Tell which units are within a radius of each other, (n_units, n_units) bool; no unit is close to itself."""
    close = np.linalg.norm(locations_um[:, None] - locations_um[None], axis=2) <= radius_um
    np.fill_diagonal(close, False)
    return close


def pairs_of_spikes(truth, close, max_lag):
    """Find all pairs of spikes of close units that are at most `max_lag` samples apart.

    Returns
    -------
    pairs : (3, n_pairs) int64
        Index of the first spike, index of the second one, and the lag in samples.
    """
    spikes = truth.to_spike_vector()
    unit, sample = spikes["unit_index"], spikes["sample_index"]
    out, step = [np.empty((3, 0), dtype="int64")], 1
    while step < len(spikes):
        lag = sample[step:] - sample[:-step]
        near = (lag <= max_lag) & (spikes["segment_index"][step:] == spikes["segment_index"][:-step])
        first = np.flatnonzero(near)
        if len(first) == 0:
            break
        chosen = first[close[unit[first], unit[first + step]]]
        out.append(np.stack([chosen, chosen + step, lag[chosen]]))
        step += 1
    return np.concatenate(out, axis=1)


def spikes_found(truth, sorting, match, delta_ms=0.4):
    """Tell which spikes of `truth.to_spike_vector()` the matched unit has too, (n_spikes,) bool.

    Parameters
    ----------
    truth, sorting : BaseSorting
    match : dict
        True unit to the unit of `sorting` that was matched with it. True units without a match are absent.
    delta_ms : float, default: 0.4
        How far apart the two spikes may be.
    """
    spikes = truth.to_spike_vector()
    found = np.zeros(len(spikes), dtype=bool)
    delta = delta_ms * truth.sampling_frequency / 1000
    for unit_index, unit_id in enumerate(truth.unit_ids):
        if unit_id not in match:
            continue
        for segment in range(truth.get_num_segments()):
            own = (spikes["unit_index"] == unit_index) & (spikes["segment_index"] == segment)
            train = sorting.get_unit_spike_train(match[unit_id], segment_index=segment).astype("float64")
            train = np.concatenate([[-np.inf], train, [np.inf]])
            sample = spikes["sample_index"][own]
            after = np.searchsorted(train, sample)
            found[own] = np.minimum(train[after] - sample, sample - train[after - 1]) <= delta
    return found


def matched_units(comparison):
    """Return true unit to matched unit, for those that have a match in SpikeInterface's comparison with the truth."""
    return {true: found for true, found in comparison.hungarian_match_12.items() if found not in (-1, "")}
