"""When the units of a simulated recording fire."""

import numpy as np

N_STEPS_PER_S = 10  # times a second at which the probe's displacement may change
REFRACTORY_S = 0.0025  # s
INTERVAL_SHAPE = 0.8  # of the gamma distribution of intervals: a little more irregular than Poisson
EDGE_S = 0.02  # s at both ends without a spike, so that snippets are whole
AMPLITUDE_SPREAD = 0.07  # standard deviation of a unit's amplitude
AMPLITUDE_LIMITS = (0.4, 1.5)  # of a spike's amplitude over its unit's mean
BURST_PROBABILITY = 0.3  # that a unit's spikes are smaller after a short interval
BURST_LOSS = (0.15, 0.4)  # share of the amplitude that a spike loses after an interval of zero
BURST_S = 0.012  # s over which that recovers to 1/e
BURST_NEXT = (0.2, 0.65)  # probability that another spike follows in a burst
BURST_INTERVAL_S = (0.0025, 0.02)  # s between the spikes of a burst, uniform in the logarithm
BURST_FATIGUE = (0.3, 0.8)  # of the whole change, that each spike of a burst adds
BURST_RECOVERY_S = (0.01, 0.04)  # s over which the change recovers to 1/e
SPIKE_DTYPE = [("sample_index", "int64"), ("unit_index", "int64"), ("step", "int64"), ("amplitude", "float32")]
PART_OF_TIME = (0.15, 0.7)  # of the recording, in which a unit that fires only for a while does so
BURSTS_OF_ALL_S = (1.0, 4.0)  # s from one burst of all units to the next
BURST_OF_ALL_S = (0.1, 0.4)  # s that it lasts
SHARE_IN_BURSTS = (0.4, 1.0)  # of the spikes, that lie in bursts of all units


def fire(unit, rate_hz, config, sampling_frequency, step_of_time, bursts_of_all, rng):
    """Draw the spikes of a unit."""
    duration_s = config.duration_s
    n = int(2 * duration_s * rate_hz) + 20  # more than will fit into the recording
    mean_s = max(1 / rate_hz - REFRACTORY_S, 1e-3)  # 1 ms: at rates that refractoriness hardly allows
    times = np.cumsum(REFRACTORY_S + rng.gamma(INTERVAL_SHAPE, mean_s / INTERVAL_SHAPE, n))
    if config.part_time and rng.random() < config.part_time:
        times = fire_for_a_while(times, duration_s, rng)
    if bursts_of_all is not None:
        times = move_into_bursts(times, *bursts_of_all, rng)
    times = times[(times > EDGE_S) & (times < duration_s - EDGE_S)]
    spikes = np.zeros(times.size, dtype=SPIKE_DTYPE)
    spikes["sample_index"] = (times * sampling_frequency).astype("int64")
    spikes["unit_index"] = unit
    spikes["step"] = step_of_time[(times * N_STEPS_PER_S).astype(int)]
    amplitude = rng.normal(1.0, AMPLITUDE_SPREAD, times.size)
    if rng.random() < BURST_PROBABILITY:
        amplitude *= 1 - rng.uniform(*BURST_LOSS) * np.exp(-np.diff(times, prepend=-1.0) / BURST_S)
    spikes["amplitude"] = amplitude.clip(*AMPLITUDE_LIMITS)
    return spikes


def fire_for_a_while(times, duration_s, rng):
    """Keep the spike times of one part of the recording, (n,) in s."""
    length_s = duration_s * rng.uniform(*PART_OF_TIME)
    start_s = rng.uniform(0, duration_s - length_s)
    return times[(times >= start_s) & (times < start_s + length_s)]


def draw_common_bursts(config, rng):
    """Draw the period and the length in s of bursts of all units, and the share of spikes in them; None for none."""
    if not (config.together and rng.random() < config.together):
        return None
    return rng.uniform(*BURSTS_OF_ALL_S), rng.uniform(*BURST_OF_ALL_S), rng.uniform(*SHARE_IN_BURSTS)


def move_into_bursts(times, period_s, length_s, share, rng):
    """Move a share of the spike times (n,) in s into the bursts before them; those within the refractory period go."""
    moved = period_s * np.floor(times / period_s) + rng.uniform(0, length_s, len(times))
    times = np.sort(np.where(rng.random(len(times)) < share, moved, times))
    return times[np.diff(times, prepend=-1.0) >= REFRACTORY_S]


def fire_bursts(spikes, sampling_frequency, rng):
    """Draw from a unit's spikes those that begin a burst, and let others follow them.

    Returns
    -------
    spikes : structured array
    change : (n_spikes,)
        How much each has changed, 0 to 1.
    """
    following, low, high = rng.uniform(*BURST_NEXT), *np.log(BURST_INTERVAL_S)
    fatigue, recovery_s = rng.uniform(*BURST_FATIGUE), rng.uniform(*BURST_RECOVERY_S)
    first = spikes[rng.random(len(spikes)) < 1 - following]  # so that the rate stays about the same
    lengths = rng.geometric(1 - following, len(first))
    out = np.repeat(first, lengths)
    is_first = np.concatenate([[True], np.diff(np.repeat(np.arange(len(first)), lengths)) > 0])[: len(out)]
    gaps = np.where(is_first, 0.0, np.exp(rng.uniform(low, high, len(out))))
    since = np.cumsum(gaps) - np.repeat(np.cumsum(gaps)[is_first], lengths)
    out["sample_index"] += np.round(since * sampling_frequency).astype("int64")
    out = np.sort(out, order="sample_index")
    far = np.diff(out["sample_index"], prepend=-(10**9)) >= REFRACTORY_S * sampling_frequency
    far &= out["sample_index"] <= spikes["sample_index"].max()
    out, change, state = out[far], np.zeros(far.sum()), 0.0
    for index, gap_s in enumerate(np.diff(out["sample_index"], prepend=0) / sampling_frequency):
        state = state * np.exp(-gap_s / recovery_s)
        change[index], state = state, min(state + fatigue, 1.0)
    return out, change
