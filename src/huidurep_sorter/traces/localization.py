"""Peaks located block by block of a long probe, in one pass over its traces."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core.node_pipeline import PipelineNode


@dataclass(frozen=True, kw_only=True)
class Block:
    """Channels whose peaks are located together, with those around them.

    Attributes
    ----------
    near : (n_near,) int64
        Channels that are looked at.
    place : (n_channels,) int64
        Of each channel of the block among these; -1 for channels of other blocks.
    extract, localize : PipelineNode
        SpikeInterface's nodes, made for a recording of the near channels.
    """

    near: np.ndarray
    place: np.ndarray
    extract: object
    localize: object


class LocalizeInBlocks(PipelineNode):
    """Locates each peak by the node of its block.

    Parameters
    ----------
    recording : BaseRecording
        All channels.
    parents : list of PipelineNode
        What gives the peaks.
    blocks : list of Block
    """

    def __init__(self, recording, parents, blocks):
        super().__init__(recording, return_output=True, parents=parents)
        self.blocks = blocks

    def get_margin(self):
        """Give the samples that are needed beside a chunk."""
        return max(block.extract.get_margin() for block in self.blocks)

    def get_dtype(self):
        """Give the type of a location."""
        return self.blocks[0].localize.get_dtype()

    def compute(self, traces, peaks):
        """Locate the peaks of a chunk, a structured array (n_peaks,)."""
        locations = np.zeros(len(peaks), dtype=self.get_dtype())
        for block in self.blocks:
            place = block.place[peaks["channel_index"]]
            mine = np.flatnonzero(place >= 0)
            if len(mine):
                own, part = peaks[mine], traces[:, block.near]
                own["channel_index"] = place[mine]
                locations[mine] = block.localize.compute(part, own, block.extract.compute(part, own))
        return locations
