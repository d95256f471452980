"""Peaks located by convolution with a grid of sources, as by SpikeInterface's `grid_convolution`: the same, sooner.

Each peak is compared with sources around its channel, at several distances from the probe. Its place is the mean of
those that are most like it. What runs in workers is here, and imports nothing that loads PyTorch.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from spikeinterface.core.node_pipeline import PipelineNode
from spikeinterface.postprocessing.localization_tools import get_grid_convolution_templates_and_weights


@dataclass(frozen=True, kw_only=True)
class GridRules:
    """The grid, and what of it counts."""

    radius_um: float = 40.0  # um around a peak's channel, within which it may lie; SpikeInterface's default
    margin_um: float = 50.0  # um beyond the probe; SpikeInterface's default
    step_um: float = 5.0  # um between sources; SpikeInterface's default
    quantile: float = 0.95  # of the products with sources, over which they count; SpikeInterface's default
    block_channels: int = 64  # channels whose sources are made at once; a limit of memory (traces-15)
    block_margin_um: float = 100.0  # um of channels around a block, on which its sources are seen (traces-15)


RULES = GridRules()


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Sources around one channel.

    Attributes
    ----------
    channels : (n_channels,) int64
        On which they are seen.
    weights : (n_distances, n_channels, n_sources) float32
        Share of each channel in a source, at several distances from the probe.
    positions_um : (n_sources, 2) float32
    """

    channels: np.ndarray
    weights: np.ndarray
    positions_um: np.ndarray


def make_sources(locations_um, of_channels):
    """Make the sources around some channels, block by block, as all of a long probe at once take much memory.

    Parameters
    ----------
    locations_um : (n_channels, 2) float
    of_channels : (n,) int64

    Returns
    -------
    sources : dict of int to Sources
    """
    depths, sources = locations_um[:, 1], {}
    n_blocks = max(1, round(len(depths) / RULES.block_channels))
    for block in np.array_split(np.argsort(depths, kind="stable"), n_blocks):
        mine = np.intersect1d(block, of_channels)
        if len(mine) == 0:
            continue
        low, high = depths[block].min() - RULES.block_margin_um, depths[block].max() + RULES.block_margin_um
        near = np.flatnonzero((depths >= low) & (depths <= high))
        positions, weights, are_around, _ = get_grid_convolution_templates_and_weights(
            locations_um[near], RULES.radius_um, RULES.step_um, RULES.margin_um, {}
        )
        for channel in mine:
            around = are_around[np.searchsorted(near, channel)]
            seen = (weights[:, :, around] > 0).any(axis=(0, 2))
            sources[channel] = Sources(
                channels=near[seen],
                weights=weights[:, seen][:, :, around].astype("float32"),
                positions_um=positions[around].astype("float32"),
            )
    return sources


class LocateOnGrid(PipelineNode):
    """Locates each peak among the sources around its channel.

    Parameters
    ----------
    recording : BaseRecording
    parents : list of PipelineNode
        What gives the peaks.
    sources : dict of int to Sources
        Of each channel with peaks.
    prototype : (n_samples,) float
        Course of a spike, of size 1.
    n_before : int
        Samples of it before the peak.
    """

    def __init__(self, recording, parents, sources, prototype, n_before):
        super().__init__(recording, return_output=True, parents=parents)
        self.sources, self.prototype, self.n_before = sources, np.asarray(prototype, dtype="float32"), n_before

    def get_margin(self):
        """Give the samples that are needed beside a chunk."""
        return max(self.n_before, len(self.prototype) - self.n_before)

    def get_dtype(self):
        """Give the type of a location, in um."""
        return np.dtype([("x", "float64"), ("y", "float64")])

    def compute(self, traces, peaks):
        """Locate the peaks of a chunk, a structured array (n_peaks,)."""
        locations = np.zeros(len(peaks), dtype=self.get_dtype())
        for channel in np.unique(peaks["channel_index"]):
            mine, around = np.flatnonzero(peaks["channel_index"] == channel), self.sources[channel]
            first = peaks["sample_index"][mine] - self.n_before
            products = correlate_at(traces, first, around.channels, self.prototype) @ around.weights
            locations["x"][mine], locations["y"][mine] = average_best(products, RULES.quantile, around.positions_um).T
        return locations


@njit(cache=True, nogil=True)
def correlate_at(traces, first, channels, prototype):
    """Correlate traces with a prototype that begins at some samples, (n_samples, n_channels) float32."""
    out = np.zeros((len(first), len(channels)), dtype=np.float32)
    for peak in range(len(first)):
        for index in range(len(prototype)):
            row, value = traces[first[peak] + index], prototype[index]
            for place in range(len(channels)):
                out[peak, place] += value * row[channels[place]]
    return out


def average_best(products, quantile, positions_um):
    """Average the positions of the sources that fit best, weighted by how well they fit, (n_peaks, 2) float64.

    Parameters
    ----------
    products : (n_distances, n_peaks, n_sources) float32
    quantile : float
        Of the products of a peak that aren't negative; only what is not under it counts.
    positions_um : (n_sources, 2) float32
    """
    flat = products.transpose(1, 0, 2).reshape(products.shape[1], -1)
    ordered, n_negative = np.sort(flat, axis=1), (flat < 0).sum(axis=1)
    n_last = flat.shape[1] - 1
    place = np.minimum(n_negative + quantile * np.maximum(n_last - n_negative, 0), n_last)
    below, peak = place.astype("int64"), np.arange(len(flat))
    low, high = ordered[peak, below], ordered[peak, np.minimum(below + 1, n_last)]
    least = low + (place - below) * (high - low)
    weights = np.where(flat >= np.maximum(least, 1e-12)[:, None], flat, 0)
    of_sources = weights.reshape(len(flat), len(products), -1).sum(axis=1).astype("float64")
    return of_sources @ positions_um / np.maximum(of_sources.sum(axis=1), 1e-12)[:, None]
