"""Footprints: a neuron's mean voltage on a dense patch of sites, and its templates on any probe.

The constants are choices; no experiment varied them one by one.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

MS_BEFORE, MS_AFTER = 2.0, 3.0  # ms that a template covers around its trough: a spike with its slow return
N_DELAYS = 4  # a template is kept at quarters of a sample: spikes don't occur at samples
SPREAD_OF_SIZE = 0.12  # standard deviation of the logarithm of the width in space: another neuron of the same kind
SPREAD_OF_COURSE = 0.1  # the same of the course in time
MIRRORED_ALONG = 0.25  # probability; across the probe it is one half, along it less, since cells mostly point one way
MIXED_TROUGH_UV = 100.0  # uV; only a scale, since `simulate` sets the amplitude by the wanted SNR
N_BASELINE = 5  # samples at a footprint's start, before the spike, whose mean is its baseline
FADE_BEFORE = 0.2  # of the samples before the trough, over which a template fades in and out, so that it has no step
FADE_END_S = 0.0008  # s over which a footprint that ends early goes out, for the same reason


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """A neuron's mean voltage on a patch of sites.

    Attributes
    ----------
    waveform_uv : (n_samples, n_sites)
        Its largest trough is at sample `n_before`.
    sites_um : (n_sites, 2)
        Relative to the site of that trough.
    n_before : int
    sampling_frequency : float
        In Hz.
    """

    waveform_uv: np.ndarray
    sites_um: np.ndarray
    n_before: int
    sampling_frequency: float = 30000.0


def read_footprints(path: str | Path) -> list[Footprint]:
    """Read an `.npz` file of footprints at 30 kHz.

    Units may share sites: `waveform` (n_units, n_samples, n_sites), `x_um`, `y_um` (n_sites,). Or each has its own:
    `waveform_0`, `x_um_0`, `y_um_0`, ... Either way `n_before` (n_units,) is the sample of the trough.

    Raises
    ------
    ValueError
        If the file holds no footprints.
    """
    with np.load(Path(path)) as f:
        arrays = dict(f)
    if "n_before" not in arrays:
        raise ValueError(f"{path} holds no footprints: it has {sorted(arrays)[:5]}, not n_before, waveform, x_um, y_um")
    shared = "waveform" in arrays
    out = []
    for i, n_before in enumerate(arrays["n_before"]):
        own = "" if shared else f"_{i}"
        waveform = arrays["waveform"][i] if shared else arrays[f"waveform{own}"]
        sites = np.column_stack([arrays[f"x_um{own}"], arrays[f"y_um{own}"]]).astype("float64")
        footprint = Footprint(
            waveform_uv=waveform.astype("float32"),
            sites_um=sites - sites[waveform.min(axis=0).argmin()],
            n_before=int(n_before),
        )
        out.append(footprint)
    return out


def vary(footprint: Footprint, rng) -> Footprint:
    """Make another neuron like it: mirrored, wider or narrower in space, slower or faster in time."""
    flip = np.array([rng.choice([-1, 1]), rng.choice([-1, 1], p=[MIRRORED_ALONG, 1 - MIRRORED_ALONG])])
    return Footprint(
        waveform_uv=footprint.waveform_uv,
        sites_um=footprint.sites_um * flip * np.exp(rng.normal(0, SPREAD_OF_SIZE, 2)),
        n_before=footprint.n_before,
        sampling_frequency=footprint.sampling_frequency * np.exp(rng.normal(0, SPREAD_OF_COURSE)),
    )


def mix(first: Footprint, second: Footprint, weight) -> Footprint:
    """Make a neuron between two: `weight` times the first's waveform and the rest the second's, both of trough 1.

    It is on the first's sites, at the first's sampling frequency, with a trough of about MIXED_TROUGH_UV.
    """
    fs = first.sampling_frequency
    here = project(first, first.sites_um, fs)[..., 0]
    there = project(second, first.sites_um, fs)[..., 0]
    here, there = (wave / max(-wave.min(), 1e-6) for wave in (here, there))
    mixed = MIXED_TROUGH_UV * (weight * here + (1 - weight) * there).T
    return replace(first, waveform_uv=mixed.astype("float32"), n_before=template_samples(fs)[0])


def turn(footprint: Footprint, angle) -> Footprint:
    """Turn the neuron in the plane of the probe, by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return replace(footprint, sites_um=footprint.sites_um @ np.array([[c, -s], [s, c]]))


def slow(footprint: Footprint, factor) -> Footprint:
    """Slow the neuron: its course after the trough takes `factor` times as long."""
    n = len(footprint.waveform_uv)
    t = np.arange(n) - footprint.n_before
    source = np.where(t > 0, t / factor, t) + footprint.n_before
    columns = [np.interp(source, np.arange(n), column) for column in footprint.waveform_uv.T]
    return replace(footprint, waveform_uv=np.column_stack(columns).astype("float32"))


def project(footprint: Footprint, points_um, sampling_frequency, decay_um=25.0):
    """Compute the templates of a footprint at some points of its plane.

    They are linear between the sites. Beyond the sites they are the nearest site's voltage, decaying exponentially.

    Parameters
    ----------
    points_um : (n_points, 2)
        Relative to the site of the largest amplitude.
    sampling_frequency : float
        Of the templates, in Hz.
    decay_um : float
        Distance over which the voltage falls to 1/e beyond the sites.

    Returns
    -------
    templates : (n_points, n_samples, N_DELAYS) float32
        They cover MS_BEFORE to MS_AFTER around the trough, delayed by 0, 1/4, 1/2 and 3/4 of a sample.
    """
    values = _resample(footprint, sampling_frequency)  # (n_sites, n_samples, N_DELAYS)
    flat = values.reshape(len(values), -1)
    out = LinearNDInterpolator(footprint.sites_um, flat)(points_um)
    outside = np.isnan(out[:, 0])
    distance, nearest = cKDTree(footprint.sites_um).query(points_um[outside])
    out[outside] = flat[nearest] * np.exp(-distance / decay_um)[:, None]
    return out.reshape(len(points_um), *values.shape[1:]).astype("float32")


def template_samples(sampling_frequency):
    """Count the samples that a template has before its trough, and from it on."""
    return tuple(int(round(ms * sampling_frequency / 1000)) for ms in (MS_BEFORE, MS_AFTER))


def _resample(footprint, sampling_frequency):
    """Put a footprint on the wanted clock, without baseline, faded to zero at both ends.

    Returns
    -------
    values : (n_sites, n_samples, N_DELAYS)
    """
    n_before, n_after = template_samples(sampling_frequency)
    wave = footprint.waveform_uv - footprint.waveform_uv[:N_BASELINE].mean(axis=0)
    own = (np.arange(len(wave)) - footprint.n_before) / footprint.sampling_frequency
    wanted = (np.arange(-n_before, n_after)[:, None] - np.arange(N_DELAYS) / N_DELAYS) / sampling_frequency
    out = np.stack([np.interp(wanted.ravel(), own, w, left=0.0) for w in wave.T]).reshape(wave.shape[1], -1, N_DELAYS)
    from_start = np.arange(n_before + n_after)
    fade = np.clip(np.minimum(from_start, from_start[::-1]) / (FADE_BEFORE * n_before), 0, 1)
    last = np.clip((own[-1] - wanted) / FADE_END_S, 0, 1)
    return out * fade[None, :, None] * last[None]
