"""The units of a user's own recording, to adapt an encoder to: most of the time to train on, the rest to judge by.

Nobody labelled these spikes. The sorter finds the units by SVD features, so that no encoder had a say in which spikes
are of one neuron, neither the one that is adapted nor the one that it is compared with.
"""

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist
from spikeinterface.core import append_recordings, fix_job_kwargs

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.pipeline import sort_segment, with_own_chunks
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.checks import prepare_recording
from huidurep_sorter.traces.preprocessing import open_traces, prepare
from huidurep_sorter.training.known_spikes import PEAK_DTYPE, at_most, main_channels, peaks_near
from huidurep_sorter.training.spike_sets import OWN_CHANNEL_SHARE, SnippetReader, SpikeSet

logger = logging.getLogger(__name__)

MAX_CHANNEL_SECONDS = 20_000  # s times channels that are read of a recording: 10 minutes of 32 channels, 52 s of 384
PIECE_S = 5.0  # s, the shortest of the pieces, spread over it, that are read of a longer one
MAX_PIECES = 10  # of a segment, since each costs the spikes at its ends
N_STRETCHES = 20  # of the time, spread over all of it, are held out: no single second, and no drift, decides
HELD_OUT_SHARE = 0.25  # of the time
GUARD_MS = 6.0  # ms at the ends of each stretch without a spike: no snippet (4 ms, and margins) lies on both sides
MIN_PROBABILITY = 0.5  # that a unit is one neuron; others teach what isn't so
NEAR_UM = 60.0  # um between units that are to be told apart, as in `nn_hit_rates`
MIN_GROUP = 20  # spikes of a unit on one channel, from which a clean waveform is averaged
MAX_SPIKES = 300  # of a unit, to train on
N_HELD_OUT = 100  # of a unit, to judge by
AMPLITUDE_SPREAD = 0.1  # standard deviation of the logarithm of the amplitudes of a unit, as in `ViewConfig`


@dataclass(frozen=True, kw_only=True)
class OwnSpikes:
    """Spikes of one recording's own units.

    Attributes
    ----------
    training : SpikeSet
        A spike's clean snippet is the mean of those of its unit on its channel.
    held_out : SpikeSet
        Mean waveforms of the units on noise, both of times that training doesn't see: the label of a real spike could
        be wrong, and an encoder that learns the errors of the sorting would seem to be better (encoder-57).
    """

    training: SpikeSet
    held_out: SpikeSet

    def save(self, folder):
        """Write whole or not at all: a folder that exists is complete."""
        partial = Path(folder).with_name(Path(folder).name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was stopped
        self.training.save(partial / "training")
        self.held_out.save(partial / "held_out")
        partial.rename(folder)

    @classmethod
    def load(cls, folder):
        """Read both lazily."""
        return cls(**{name: SpikeSet.load(Path(folder) / name) for name in ("training", "held_out")})


def prepare_own_units(folder, recordings, window, n_channels, seed, verbose=False):
    """Sort each recording and keep the spikes of its units in `folder`; what is there already is kept.

    Parameters
    ----------
    folder : Path
    recordings : dict of str to BaseRecording
    window : Window
        Of the encoder's snippets.
    n_channels : int
        Of the encoder's snippets.
    seed : int
    verbose : bool
        Show progress bars.

    Returns
    -------
    own_spikes : dict of str to OwnSpikes
        Of the recordings that have units; the log says which have none, and why.
    """
    out = {}
    for number, (name, recording) in enumerate(recordings.items(), start=1):
        kept = Path(folder) / name
        if not kept.exists():
            logger.info("sorting %s (recording %d of %d)", name, number, len(recordings))
            try:
                read_own_spikes(recording, window, n_channels, seed, verbose).save(kept)
            except NothingFound as reason:
                logger.warning("%s is left out: %s", name, reason)
                continue
        out[name] = OwnSpikes.load(kept)
        logger.info("%s: %d units to learn from", name, len(np.unique(out[name].training.unit)))
    return out


def read_own_spikes(recording, window, n_channels, seed, verbose=False) -> OwnSpikes:
    """Sort a recording, and cut out the spikes of its units.

    Raises
    ------
    NothingFound
        If it has no two units near each other that are probably one neuron each: there is nothing to tell apart.
    """
    parameters = SortingParameters(features="svd", seed=seed)
    job_kwargs = with_own_chunks(fix_job_kwargs(dict(n_jobs=1, progress_bar=verbose)))
    prepared, set_aside = prepare(prepare_recording(excerpt(recording)), parameters)
    sorting = sort_segment(prepared, set_aside, parameters, job_kwargs=job_kwargs)
    is_good = sorting.get_property("huidurep_single_unit_probability") >= MIN_PROBABILITY
    with open_traces(prepared, set_aside, parameters, job_kwargs=job_kwargs) as traces:
        sets = []
        for held_out in (False, True):
            part = _Part(traces.recording, window, n_channels, np.random.default_rng([seed, held_out]), held_out)
            spikes, channel = with_mean_waveforms(*part.cut(sorting, is_good))
            if not has_neighbours(spikes):
                raise NothingFound(
                    "no two units that are probably one neuron each, and fire enough, are near each other"
                )
            sets.append(part.put_on_noise(spikes, channel) if held_out else spikes)
    return OwnSpikes(training=sets[0], held_out=sets[1])


class _Part:
    """Reads spikes of one part of the time of preprocessed traces: the held-out one or the rest."""

    def __init__(self, traces, window, n_channels, rng, held_out):
        self.traces, self.rng, self.held_out = traces, rng, held_out
        self.reader = SnippetReader(window, n_channels, rng, where=self.holds)

    def holds(self, samples):
        """Say which samples are in it, (n,) bool."""
        guard = int(GUARD_MS / 1000 * self.traces.sampling_frequency)
        return in_part(samples, self.traces.get_num_samples(0), self.held_out, guard)

    def cut(self, sorting, is_good):
        """Cut out spikes of the good units of a sorting; give the set and the channel of each."""
        spikes = sorting.to_spike_vector()
        main = main_channels(self.traces, spikes, len(sorting.unit_ids))
        spikes = spikes[is_good[spikes["unit_index"]] & self.holds(spikes["sample_index"])]
        spikes = at_most(spikes, MAX_SPIKES, self.rng)
        main = main[spikes["unit_index"]]
        own_channel = self.rng.random(len(spikes)) < OWN_CHANNEL_SHARE
        peaks = peaks_near(self.traces, spikes["sample_index"], main, own_channel)
        location = self.traces.get_channel_locations()[main]
        return self.reader.spike_set(self.traces, peaks, spikes["unit_index"], location), peaks["channel_index"]

    def put_on_noise(self, spikes: SpikeSet, channel) -> SpikeSet:
        """Put each unit's mean waveform, on the channel where most of its spikes are, on stretches at random times.

        So the neuron of each snippet is known for sure, and its noise is real, with the spikes of others in it.
        """
        chosen = [
            np.flatnonzero((spikes.unit == unit) & (channel == np.bincount(channel[spikes.unit == unit]).argmax()))[0]
            for unit in np.unique(spikes.unit)
        ]
        chosen = np.repeat(chosen, N_HELD_OUT)
        peaks = np.zeros(len(chosen), dtype=PEAK_DTYPE)
        peaks["sample_index"] = self.rng.choice(self._times(), len(chosen))
        peaks["channel_index"] = channel[chosen]
        gain = np.exp(self.rng.normal(0, AMPLITUDE_SPREAD, (len(chosen), 1, 1)))
        clean = (gain * spikes.clean[chosen]).astype("float16")
        return replace(
            spikes,
            snippets=clean + self.reader(self.traces, peaks),
            clean=clean,
            **{name: getattr(spikes, name)[chosen] for name in ("offsets_um", "unit", "location_um")},
        )

    def _times(self):
        """List the samples at which a snippet of noise may be read, one a millisecond."""
        times = np.arange(0, self.traces.get_num_samples(0), int(self.traces.sampling_frequency / 1000))
        return times[self.holds(times)]


def has_neighbours(spikes: SpikeSet):
    """Say whether any two units are within `NEAR_UM` of each other."""
    units, first = np.unique(spikes.unit, return_index=True)
    return len(units) > 1 and pdist(spikes.location_um[first]).min() <= NEAR_UM


def in_part(samples, n_samples, held_out, guard):
    """Say which samples are in the held-out stretches, or in those between them, and not near their ends, (n,) bool."""
    place = np.asarray(samples) * N_STRETCHES / n_samples % 1
    edge = guard * N_STRETCHES / n_samples
    first, last = (0.0, HELD_OUT_SHARE) if held_out else (HELD_OUT_SHARE, 1.0)
    return (place >= first + edge) & (place < last - edge)


def with_mean_waveforms(spikes: SpikeSet, channel):
    """Give each spike the mean of its unit on its channel (n,) as its clean snippet; leave out small groups.

    Returns
    -------
    spikes : SpikeSet
    channel : (n_kept,) int64
    """
    clean = np.zeros_like(spikes.snippets)
    kept = np.zeros(len(spikes.unit), dtype=bool)
    for unit, on in np.unique(np.column_stack([spikes.unit, channel]), axis=0):
        group = (spikes.unit == unit) & (channel == on)
        if group.sum() >= MIN_GROUP:
            clean[group] = spikes.snippets[group].mean(axis=0, dtype="float32")
            kept |= group
    taken = {name: getattr(spikes, name)[kept] for name in ("snippets", "offsets_um", "unit", "location_um")}
    return replace(spikes, clean=clean[kept], **taken), channel[kept]


def excerpt(recording):
    """Give a recording, or where it is long pieces that are spread over it, each as a segment."""
    wanted_s = MAX_CHANNEL_SECONDS / recording.get_num_channels()
    share = wanted_s / recording.get_total_duration()
    if share >= 1:
        return recording
    pieces = []
    for segment in range(recording.get_num_segments()):
        part = recording.select_segments([segment])
        n_samples = part.get_num_samples(0)
        n_pieces = int(np.clip(share * n_samples / recording.sampling_frequency / PIECE_S, 1, MAX_PIECES))
        length = int(share * n_samples / n_pieces)
        starts = np.linspace(0, n_samples - length, n_pieces).astype(int)
        pieces += [part.frame_slice(start, start + length) for start in starts]
    logger.info("it is long: %.0f s of it are read, in pieces spread over it", wanted_s)
    return append_recordings(pieces)
