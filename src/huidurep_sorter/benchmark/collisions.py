"""How many true spikes are found that overlap another near spike, by lag and by similarity of the units."""

import numpy as np

LAGS_MS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
SIMILARITIES = {"different": (-np.inf, 0.5), "alike": (0.5, np.inf)}
RADIUS_UM = 100.0


def collision_recall(truth, found, close, similarity):
    """Recall of the true spikes that have another unit's spike beside them.

    Parameters
    ----------
    truth : BaseSorting
    found : (n_spikes,) bool
        Which spikes of `truth.to_spike_vector()` were found; see `spikes_found`.
    close : (n_units, n_units) bool
        Units whose spikes can disturb each other.
    similarity : (n_units, n_units) float
        Cosine of their templates.

    Returns
    -------
    rows : list of dict
        lag_ms (lower edge), similarity ("different" | "alike"), n, n_found; and spikes without another one
        beside them as lag_ms NaN, similarity "alone". A spike is counted once for each spike beside it.
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


def pairs_of_spikes(truth, close, max_lag):
    """Indices of first and second spike, and lag in samples, of all pairs of spikes of close units."""
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
    """Which spikes of `truth.to_spike_vector()` the matched unit has too; (n_spikes,) bool.

    Parameters
    ----------
    truth, sorting : BaseSorting
    match : dict
        True unit to the unit that was matched with it; units that were not are absent.
    delta_ms : float, default: 0.4
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
