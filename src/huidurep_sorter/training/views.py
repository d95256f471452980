"""Batches and views: which spikes are seen together, and how each is changed before the encoder sees it."""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.training.spike_sets import MARGIN, SpikeSet

MIN_LAG = 5  # samples between a spike and one that collides with it; nearer ones would be one spike to a detector


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How a view differs from the snippet. Probabilities are per snippet."""

    max_shift: int = 2  # samples, at most MARGIN: by so many a detector misses the trough
    amplitude_spread: float = 0.1  # standard deviation of the logarithm
    noise_probability: float = 0.4
    noise_scale: float = 0.6  # largest added noise, as a fraction of the recording's own
    collision_probability: float = 0.25  # that another spike is added
    channel_drop_probability: float = 0.1  # the outer channels are missing, as at the end of a shank


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What a batch is made of: scenes, of units that are neighbours in one recording.

    Neighbours are the hard negatives of one another, and what a sorter must tell apart.
    """

    scenes: int = 8
    units_per_scene: int = 8
    spikes_per_unit: int = 8
    radius_um: float = 60.0  # of a scene


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Spikes that are seen together, before they are changed.

    Attributes
    ----------
    snippets : (n, n_samples + 2 * MARGIN, n_channels) float32
    clean : like snippets
        The spike alone; the snippet itself where that isn't known.
    noise, other : like snippets
        Noise, and another spike, which a view may add.
    offsets_um : (n, n_channels, 2) float32
    label : (n,) int64
        Equal for spikes known to be of one neuron.
    """

    snippets: np.ndarray
    clean: np.ndarray
    noise: np.ndarray
    other: np.ndarray
    offsets_um: np.ndarray
    label: np.ndarray


class Scenes:
    """Draws scenes from one recording's spikes, by unit where units are known and by place where not."""

    def __init__(self, spikes: SpikeSet, config: BatchConfig):
        self.spikes, self.config = spikes, config
        self.unit = np.array(spikes.unit)
        self.location = np.array(spikes.location_um)
        self.is_labelled = self.unit.min() >= 0
        if self.is_labelled:
            counts = np.bincount(self.unit)
            self.units = np.flatnonzero(counts >= config.spikes_per_unit)
            self.members = {u: np.flatnonzero(self.unit == u) for u in self.units}
            self.unit_location = np.array([self.location[self.members[u][0]] for u in self.units]).reshape(-1, 2)

    def draw(self, rng):
        """Draw a scene: indices of its spikes, and their labels within the scene."""
        c = self.config
        if not self.is_labelled:
            anchor = rng.integers(len(self.unit))
            near = np.flatnonzero(np.linalg.norm(self.location - self.location[anchor], axis=1) <= c.radius_um)
            indices = rng.permutation(near)[: c.units_per_scene * c.spikes_per_unit]
            return indices, np.arange(len(indices))
        anchor = rng.integers(len(self.units))
        near = np.linalg.norm(self.unit_location - self.unit_location[anchor], axis=1) <= c.radius_um
        units = rng.permutation(self.units[near])[: c.units_per_scene]
        indices = np.concatenate([rng.choice(self.members[u], c.spikes_per_unit, replace=False) for u in units])
        return indices, np.repeat(np.arange(len(units)), c.spikes_per_unit)


def draw_batch(all_scenes: list, config: BatchConfig, rng) -> Batch:
    """Draw a batch of `config.scenes` scenes, each of a recording drawn at random."""
    parts, n_labels = {k: [] for k in ("snippets", "clean", "noise", "other", "offsets_um", "label")}, 0
    for _ in range(config.scenes):
        scenes = all_scenes[rng.integers(len(all_scenes))]
        indices, label = scenes.draw(rng)
        spikes = scenes.spikes
        clean = spikes.clean if len(spikes.clean) else spikes.snippets
        parts["snippets"].append(spikes.snippets[indices])
        parts["clean"].append(clean[indices])
        parts["other"].append(clean[rng.integers(len(clean), size=len(indices))])
        parts["noise"].append(spikes.noise[rng.integers(len(spikes.noise), size=len(indices))])
        parts["offsets_um"].append(spikes.offsets_um[indices])
        parts["label"].append(label + n_labels)
        n_labels += label.max() + 1
    return Batch(**{k: np.concatenate(v).astype("int64" if k == "label" else "float32") for k, v in parts.items()})


def make_view(batch: Batch, config: ViewConfig, rng):
    """Make one view of each snippet of a batch.

    Parameters
    ----------
    batch : Batch
    config : ViewConfig
    rng : numpy Generator

    Returns
    -------
    view, target : (n, n_samples, n_channels) float32
        What the encoder sees, and the clean spike in it.
    offsets_um : (n, n_channels, 2) float32
    """
    n, n_wide, n_channels = batch.snippets.shape
    gain = np.exp(rng.normal(0, config.amplitude_spread, (n, 1, 1))).astype("float32")
    view, target, offsets_um = batch.snippets * gain, batch.clean * gain, batch.offsets_um.copy()

    add_noise = (rng.random(n) < config.noise_probability) * rng.uniform(0, config.noise_scale, n)
    view += add_noise[:, None, None].astype("float32") * batch.noise
    collide = np.flatnonzero(rng.random(n) < config.collision_probability)
    lags = rng.integers(MIN_LAG, n_wide // 2, collide.size) * rng.choice([-1, 1], collide.size)
    for i, lag in zip(collide, lags, strict=True):
        a, b = max(lag, 0), n_wide + min(lag, 0)
        view[i, a:b] += batch.other[i, a - lag : b - lag]

    crop = np.flatnonzero(rng.random(n) < config.channel_drop_probability)
    for i in crop:
        kept = rng.integers(max(n_channels // 2, 1), n_channels)
        view[i, :, kept:], target[i, :, kept:], offsets_um[i, kept:] = 0.0, 0.0, np.nan
    absent = np.isnan(offsets_um[:, None, :, 0])
    view, target = np.where(absent, 0.0, view), np.where(absent, 0.0, target)

    start = MARGIN + rng.integers(-config.max_shift, config.max_shift + 1, n)
    time = start[:, None] + np.arange(n_wide - 2 * MARGIN)
    rows = np.arange(n)[:, None]
    return view[rows, time].astype("float32"), target[rows, time].astype("float32"), offsets_um
