"""Recordings whose spikes are known, from footprints and probes: units, small background units, noise, drift.

The numbers are choices that span what common recordings look like. What was varied in an experiment is in
`SimulationConfig`; the others were chosen once and are the same for all shipped weights. Changing one changes every
recording of a seed.
"""

from dataclasses import dataclass

import numpy as np
from probeinterface import Probe, ProbeGroup, generate_linear_probe, generate_multi_columns_probe, generate_tetrode
from spikeinterface.core import NumpyRecording

from huidurep_sorter.training.footprints import N_DELAYS, mix, project, slow, template_samples, turn, vary
from huidurep_sorter.training.simulated_trains import (
    N_STEPS_PER_S,
    SPIKE_DTYPE,
    draw_common_bursts,
    fire,
    fire_bursts,
)

DRIFT_STEP_UM = 1.5  # um between the positions for which a unit has templates: below what a template shows
REACH_UM = 200.0  # um beyond which a unit isn't projected: it is lost in the noise there
BACKGROUND_SPREAD_UM = 40.0  # um, standard deviation of the distance of a background unit from a unit
SNR_SPREAD = 0.45  # standard deviation of the logarithm, among the units of a recording
SNR_LIMITS = (3.5, 30.0)  # of a unit: smaller ones can't be detected, larger ones are rare
SNR_BACKGROUND = (1.0, 3.3)  # of a background unit: too small to be detected, part of the noise
RATE_SPREAD = 0.5  # standard deviation of the logarithm, among the units of a recording
MAX_RATE_HZ = 20.0  # of a unit, so that not most spikes are of one
MIX_SHARE = (0.3, 1.0)  # of the first footprint in a mixed one
PROBE_KINDS = {"two columns": 0.35, "four columns": 0.25, "linear": 0.14, "tetrodes": 0.14, "square": 0.12}  # shares
N_TETRODES = 7  # in a recording of tetrodes
TETRODE_PITCH_UM = 300.0  # um between tetrodes, so far that no unit is seen on two
UNITS_PER_TETRODE = 6
TETRODE_SPREAD_UM = 15.0  # um, standard deviation of the distance of a unit from a contact of a tetrode
FEW_CHANNELS = (1, 2, 4, 8, 16)  # contacts of a small probe; four are a tetrode, the others one or two columns
UNITS_PER_CONTACT = (0.8, 2.0)  # of a small probe, and two more: more than larger ones have, as close to them
NEIGHBOUR_UM = (5.0, 20.0)  # um from a unit to its neighbour of like shape
EDGE_UM = 8.0  # um beyond the outer contacts where units may lie
N_FORMS = 4  # of a spike that changes in bursts, from that of a lone spike to the last of a long burst
BURST_SIZE = (0.4, 0.9)  # of a spike that has changed as much as it can, over a lone one
BURST_SLOWING = (1.1, 1.7)  # of its course after the trough
BURST_GRADIENT = 0.5  # standard deviation of what its size changes by along 50 um of the cell, each way
ARTEFACT_MS = (5.0, 60.0)  # ms that an artefact lasts
ARTEFACT_SIZE = (3.0, 12.0)  # times the noise, in the band of spikes, on all channels in part alike
NOISE_BAND_HZ = (300.0, 6000.0)  # in which the noise has the wanted size; the usual band of spikes


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What the simulated recordings are like; a pair is a range from which each recording draws."""

    n_recordings: int = 80
    duration_s: float = 40.0
    n_channels: int = 64
    um_per_unit: tuple = (12.0, 22.0)  # a unit for so much of the probe's length
    background_per_unit: float = 2.0  # small units for each unit
    snr_median: tuple = (5.5, 10.0)  # of the units
    rate_hz: tuple = (3.0, 9.0)  # median of the units
    min_rate_hz: float = 1.0  # of a unit: enough spikes in 40 s to learn from
    drift_probability: float = 0.65
    drift_um: tuple = (4.0, 25.0)  # largest displacement
    noise_uv: float = 10.0  # standard deviation within NOISE_BAND_HZ
    mix_probability: float = 0.0  # that a neuron lies between two footprints
    turn_rad: float = 0.0  # standard deviation of the angle by which footprints are turned
    slowing: float = 0.0  # standard deviation of the logarithm by which the course after the trough is slowed
    few_channels: float = 0.0  # probability that the probe has 1 to 16 contacts
    neighbours: float = 0.0  # probability that a unit lies 5 to 20 um from another, and is of like shape
    bursts: float = 0.0  # probability that a unit fires in bursts, in which its spikes change size and shape
    positive: float = 0.0  # probability that a unit's spikes are turned over, as those of axons
    artefacts_per_minute: float = 0.0  # on all channels
    part_time: float = 0.0  # probability that a unit fires only for a part of the recording
    together: float = 0.0  # probability that the units of a recording fire together, in bursts of all


@dataclass(frozen=True, kw_only=True)
class SimulatedRecording:
    """A recording, its spikes and the bank of templates that made them.

    Attributes
    ----------
    recording : NumpyRecording
    spikes : structured array
        `sample_index`, `unit_index`, `step` (of the drift; where spikes change in bursts, of each form in turn),
        `amplitude`.
    templates : (n_units, n_steps, n_samples, n_channels) float32
        In the recording's unit, without sub-sample delay.
    n_before : int
    background : structured array
        Like `spikes`, of the background units; `unit_index` goes on.
    """

    recording: object
    spikes: np.ndarray
    templates: np.ndarray
    n_before: int
    background: np.ndarray


def random_probe(rng, n_channels):
    """Draw a probe of one of the common kinds, with pitches that vary.

    Returns
    -------
    probes : ProbeGroup
        Of shanks.
    kind : str
        One of PROBE_KINDS.
    """
    kind = rng.choice(list(PROBE_KINDS), p=list(PROBE_KINDS.values()))
    stretch = rng.uniform(0.9, 1.1)  # pitches differ by a tenth from the common ones
    if kind == "two columns":
        x, y = rng.choice([[32, 15], [32, 20], [20, 25], [16, 20]])  # um across and along, of common probes
        probe = generate_multi_columns_probe(2, [n_channels // 2] * 2, xpitch=x * stretch, ypitch=y * stretch)
    elif kind == "four columns":
        probe = generate_multi_columns_probe(
            4, [n_channels // 4] * 4, xpitch=16 * stretch, ypitch=40 * stretch, y_shift_per_column=[20 * stretch, 0] * 2
        )
    elif kind == "square":
        pitch = rng.uniform(15, 40)
        probe = generate_multi_columns_probe(8, [n_channels // 8] * 8, xpitch=pitch, ypitch=pitch)
    elif kind == "linear":
        probe = generate_linear_probe(n_channels // 2, ypitch=rng.uniform(18, 50))
    else:
        return _tetrodes(rng, N_TETRODES), kind
    return _group([probe]), kind


def simulate(footprints, config: SimulationConfig, seed, sampling_frequency=30000.0) -> SimulatedRecording:
    """Simulate one recording from footprints that vary; same seed, same recording.

    Parameters
    ----------
    footprints : list of Footprint
    config : SimulationConfig
    seed : int or list of int
    sampling_frequency : float
        In Hz.
    """
    rng = np.random.default_rng(seed)
    probes, kind = _draw_probe(config, rng)
    contacts = np.vstack([p.contact_positions for p in probes.probes])
    n_samples = int(config.duration_s * sampling_frequency)
    traces = make_noise(n_samples, contacts, config.noise_uv, sampling_frequency, rng)
    steps_um, step_of_time = _drift(config, rng)
    bursts_of_all = draw_common_bursts(config, rng)

    soma = _place_units(contacts, kind, config, rng)
    like = draw_neighbours(soma, config, rng)
    n_units = len(soma)
    soma, snr, rates = _add_background(soma, config, rng)
    n_before, _ = template_samples(sampling_frequency)
    spikes, bank, drawn = [], [], []
    for unit in range(len(soma)):
        of_like = drawn[like[unit]] if unit < n_units and like[unit] >= 0 else None
        drawn.append(of_like or _draw_footprint(footprints, config, rng))
        templates, near = _templates(vary(drawn[unit], rng), contacts - soma[unit], steps_um, sampling_frequency)
        trough = -templates.min(axis=(1, 3)).min(axis=1).mean()
        templates *= snr[unit] * config.noise_uv / max(trough, 1e-6)  # 1e-6: against a division by zero
        own = fire(unit, rates[unit], config, sampling_frequency, step_of_time, bursts_of_all, rng)
        if config.bursts or config.positive:
            own, templates = _change(own, templates, contacts[near] - soma[unit], sampling_frequency, config, rng)
        quarter = rng.integers(N_DELAYS, size=own.size)
        _inject(traces, own, quarter, templates, near, n_before)
        spikes.append(own)
        if unit < n_units:
            dense = np.zeros((*templates.shape[:2], len(contacts)), dtype="float32")
            dense[:, :, near] = templates[..., 0]
            bank.append(dense)
    if config.artefacts_per_minute:
        _add_artefacts(traces, config, sampling_frequency, rng)
    recording = NumpyRecording([traces], sampling_frequency)
    recording.set_probegroup(probes, group_mode="by_probe")
    return SimulatedRecording(
        recording=recording,
        spikes=_in_order(spikes[:n_units]),
        templates=np.stack(bank),
        n_before=n_before,
        background=_in_order(spikes[n_units:]),
    )


def _in_order(spikes):
    """Put the spikes of units one after another in time."""
    spikes = np.concatenate([np.zeros(0, SPIKE_DTYPE), *spikes])
    return spikes[np.argsort(spikes["sample_index"], kind="stable")]


def _draw_probe(config, rng):
    """Draw a probe, as `random_probe` does, or a small one."""
    if not (config.few_channels and rng.random() < config.few_channels):
        return random_probe(rng, config.n_channels)
    n, pitch = rng.choice(FEW_CHANNELS), rng.uniform(15, 30)
    if n == 4:
        return _tetrodes(rng, 1), "few"
    columns = 2 if n >= 8 and rng.random() < 0.7 else 1
    probe = generate_multi_columns_probe(columns, [int(n) // columns] * columns, xpitch=pitch, ypitch=pitch)
    return _group([probe]), "few"


def draw_neighbours(soma, config, rng):
    """Move some units close to an earlier one, in place; say which each is like, (n_units,) int64, -1 for none."""
    like = np.full(len(soma), -1)
    if not config.neighbours:
        return like
    for unit in range(1, len(soma)):
        if rng.random() < config.neighbours:
            like[unit], angle = rng.integers(unit), rng.uniform(0, 2 * np.pi)
            soma[unit] = soma[like[unit]] + rng.uniform(*NEIGHBOUR_UM) * np.array([np.cos(angle), np.sin(angle)])
    return like


def _change(spikes, templates, points, sampling_frequency, config, rng):
    """Make a unit fire in bursts in which its spikes change, and turn its spikes over, each with its probability.

    Returns
    -------
    spikes : structured array
    templates : (n_steps * N_FORMS, n_samples, n_near, N_DELAYS)
    """
    if rng.random() < config.positive:
        templates = -templates
    forms = np.concatenate([templates] * N_FORMS)
    if rng.random() < config.bursts and len(spikes):
        n_before, n_steps = template_samples(sampling_frequency)[0], len(templates)
        last = _slow_down(templates, n_before, rng.uniform(*BURST_SLOWING)) * rng.uniform(*BURST_SIZE)
        along = points @ rng.normal(0, BURST_GRADIENT, 2) / 50.0
        last = last * np.exp(along - along[np.abs(points).sum(axis=1).argmin()]).clip(0.3, 2.0)[:, None]
        share = np.linspace(0, 1, N_FORMS)[:, None, None, None, None]
        forms = ((1 - share) * templates + share * last).reshape(-1, *templates.shape[1:])
        spikes, change = fire_bursts(spikes, sampling_frequency, rng)
        spikes["step"] += n_steps * np.round(change * (N_FORMS - 1)).astype("int64")
    return spikes, forms


def _slow_down(templates, n_before, factor):
    """Slow the course of templates (n_steps, n_samples, ...) after the trough, by a factor."""
    t = np.arange(templates.shape[1]) - n_before
    source = (np.where(t > 0, t / factor, t) + n_before).clip(0, len(t) - 1)
    low = np.minimum(source.astype("int64"), len(t) - 2)
    part = (source - low)[:, None, None]
    return (1 - part) * templates[:, low] + part * templates[:, low + 1]


def _add_artefacts(traces, config, sampling_frequency, rng):
    """Add artefacts to all channels, in place: noise of the band of spikes, larger and in part common."""
    for _ in range(rng.poisson(config.artefacts_per_minute * config.duration_s / 60)):
        n = int(rng.uniform(*ARTEFACT_MS) / 1000 * sampling_frequency)
        start = rng.integers(max(len(traces) - n, 1))
        window = np.hanning(n)[:, None] * rng.uniform(*ARTEFACT_SIZE) * config.noise_uv
        common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, traces.shape[1]))
        rough = 0.8 * common + 0.2 * own
        smooth = np.apply_along_axis(np.convolve, 0, rough, np.ones(8) / np.sqrt(8), mode="same")
        traces[start : start + n] += (window * smooth).astype("float32")


def _add_background(soma, config, rng):
    """Add background units to units, and draw the SNR and the rate of all.

    Returns
    -------
    soma : (n_units + n_background, 2)
    snr, rates : (n_units + n_background,)
    """
    n_units = len(soma)
    n_background = int(config.background_per_unit * n_units)
    near = soma[rng.integers(n_units, size=n_background)]
    soma = np.vstack([soma, near + rng.normal(0, BACKGROUND_SPREAD_UM, (n_background, 2))])
    snr = np.exp(rng.normal(np.log(rng.uniform(*config.snr_median)), SNR_SPREAD, n_units)).clip(*SNR_LIMITS)
    snr = np.concatenate([snr, rng.uniform(*SNR_BACKGROUND, n_background)])
    rates = np.exp(rng.normal(np.log(rng.uniform(*config.rate_hz)), RATE_SPREAD, len(soma))).clip(
        config.min_rate_hz, MAX_RATE_HZ
    )
    return soma, snr, rates


def _draw_footprint(footprints, config, rng):
    """Draw a footprint, and change it as the configuration says."""
    footprint = footprints[rng.integers(len(footprints))]
    if config.mix_probability and rng.random() < config.mix_probability:
        footprint = mix(footprint, footprints[rng.integers(len(footprints))], rng.uniform(*MIX_SHARE))
    if config.turn_rad:
        footprint = turn(footprint, rng.normal(0, config.turn_rad))
    if config.slowing:
        footprint = slow(footprint, np.exp(rng.normal(0, config.slowing)))
    return footprint


def make_noise(n_samples, contacts, noise_uv, sampling_frequency, rng):
    """Make Gaussian noise with a falling spectrum, in part shared by neighbours; (n_samples, n_channels) float32."""
    corner_hz, slope = rng.uniform(1500, 5000), rng.uniform(0.6, 1.2)  # where the spectrum falls, and how steeply
    reach_um, shared = rng.uniform(20, 80), rng.uniform(0.2, 0.7)  # how far neighbours share noise, and how much of it
    frequency = np.fft.rfftfreq(n_samples, 1 / sampling_frequency)
    gain = (1 / (1 + (frequency / corner_hz) ** 2) ** (slope / 2)).astype("float32")
    distance = np.linalg.norm(contacts[:, None] - contacts[None], axis=2)
    values, vectors = np.linalg.eigh(shared * np.exp(-distance / reach_um) + (1 - shared) * np.eye(len(contacts)))
    mixing = (vectors * np.sqrt(values.clip(0))).T.astype("float32")
    out = np.empty((n_samples, len(contacts)), dtype="float32")
    for channel in range(len(contacts)):
        white = rng.standard_normal(n_samples, dtype="float32")
        coloured = np.fft.irfft(np.fft.rfft(white) * gain, n_samples)
        out[:, channel] = coloured
    in_band = (frequency > NOISE_BAND_HZ[0]) & (frequency < NOISE_BAND_HZ[1])
    out *= noise_uv / np.sqrt(np.mean(gain[in_band] ** 2) * in_band.mean())
    return out @ mixing


def _tetrodes(rng, n):
    """Make a group of n tetrodes of one size."""
    r = rng.uniform(9, 22)  # um from the middle to a contact
    tetrodes = []
    for i in range(n):
        tetrode = generate_tetrode(r=r)
        tetrode.move([TETRODE_PITCH_UM * i, 0.0])
        tetrodes.append(tetrode)
    return _group(tetrodes)


def _group(probes):
    """Group probes without their contacts' shapes, which don't matter here, wired in order."""
    group = ProbeGroup()
    for probe in probes:
        bare = Probe(ndim=2, si_units="um")
        bare.set_contacts(positions=probe.contact_positions)
        group.add_probe(bare)
    group.set_global_device_channel_indices(np.arange(group.get_contact_count()))
    return group


def _place_units(contacts, kind, config, rng):
    """Draw the positions of the units, (n_units, 2)."""
    if kind == "few":
        near = contacts[rng.integers(len(contacts), size=2 + int(rng.uniform(*UNITS_PER_CONTACT) * len(contacts)))]
        return near + rng.normal(0, TETRODE_SPREAD_UM, near.shape)
    if kind == "tetrodes":
        near = contacts[rng.integers(len(contacts), size=UNITS_PER_TETRODE * len(contacts) // 4)]
        return near + rng.normal(0, TETRODE_SPREAD_UM, near.shape)
    n = int(np.ptp(contacts[:, 1]) / rng.uniform(*config.um_per_unit))
    n = min(max(n, 1), len(contacts))
    return rng.uniform(contacts.min(axis=0) - EDGE_UM, contacts.max(axis=0) + EDGE_UM, (n, 2))


def _drift(config, rng):
    """Draw the displacements that occur, (n_steps,) in um, and which of them at each tenth of a second."""
    t = np.arange(int(config.duration_s * N_STEPS_PER_S) + 1) / config.duration_s / N_STEPS_PER_S
    if rng.random() > config.drift_probability:
        moved = np.zeros_like(t)
    else:
        kind = rng.integers(3)
        # One of: half a period to two of a zigzag, a random walk, or about six jumps.
        ramp = 2 * np.abs(2 * ((t * rng.uniform(0.5, 2) + rng.random()) % 1) - 1) - 1
        walk = np.cumsum(rng.normal(size=t.size))
        jumps = np.cumsum(np.where(rng.random(t.size) < 6 / t.size, rng.normal(size=t.size), 0.0))
        moved = [ramp, walk, jumps][kind]
        moved = (moved - moved.mean()) / max(np.abs(moved - moved.mean()).max(), 1e-9) * rng.uniform(*config.drift_um)
    level = np.round(moved / DRIFT_STEP_UM).astype(int)
    levels, step_of_time = np.unique(level, return_inverse=True)
    return levels * DRIFT_STEP_UM, step_of_time


def _templates(footprint, points, steps_um, sampling_frequency):
    """Project a footprint on the contacts near the unit, at each displacement.

    Returns
    -------
    templates : (n_steps, n_samples, n_near, N_DELAYS)
    near : (n_near,)
        Which contacts these are.
    """
    near = np.flatnonzero(np.linalg.norm(points, axis=1) < REACH_UM)
    moved = points[near][None] - np.column_stack([0 * steps_um, steps_um])[:, None]
    out = project(footprint, moved.reshape(-1, 2), sampling_frequency)
    return out.reshape(len(steps_um), near.size, *out.shape[1:]).transpose(0, 2, 1, 3).copy(), near


def _inject(traces, spikes, quarter, templates, near, n_before):
    """Add a unit's spikes to the traces, in place."""
    starts = spikes["sample_index"] - n_before
    for start, step, delay, amplitude in zip(starts, spikes["step"], quarter, spikes["amplitude"], strict=True):
        traces[start : start + templates.shape[1], near] += amplitude * templates[step, :, :, delay]
