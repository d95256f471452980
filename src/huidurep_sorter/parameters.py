"""Every parameter of the sorter: its type, default, range, meaning and when to change it, each in its field.

The same fields check the values, describe them to SpikeInterface, make the options of the command line and write
`docs/parameters.md`.
"""

import reprlib
from dataclasses import dataclass
from multiprocessing import get_all_start_methods
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from spikeinterface.core.core_tools import convert_string_to_bytes
from spikeinterface.core.job_tools import chunk_duration_to_chunk_size, fix_job_kwargs

from huidurep_sorter.parameter_fields import Checked, as_entry, by_stage, parameter

TDC_PEELER_MS = {"ms_before": 0.5, "ms_after": 0.8}  # SpikeInterface's tdc-peeler compares so much of each template
LEAST_FREQ_MIN = 100.0  # Hz; SpikeInterface's filters refuse less
LEAST_BAND = 1.1  # freq_max over freq_min; filters of narrower bands give numbers that are none
LEAST_MS = 0.3  # at 5 kHz, the slowest recordings that we sort, a template still has samples enough for each method
CHUNK_NAMES = ("total_memory", "chunk_size", "chunk_memory", "chunk_duration")  # SpikeInterface takes one of them


@dataclass(frozen=True, kw_only=True)
class SortingParameters(Checked):
    """What a user may choose, in the order of the stages; `docs/parameters.md` explains each."""

    renamed: ClassVar[dict] = {}
    replaced: ClassVar[dict] = {
        "merge_max_difference": "min_merge_probability",
        "merge_temporal_splits": "min_merge_probability",
        "join_fragments": "min_merge_probability",
        "min_nn_hit_rate": "min_unit_probability",
        "min_confidence": "min_unit_probability",
    }

    apply_preprocessing: bool = parameter(
        True,
        stage="preprocessing",
        text="Band-pass filter and reference the traces",
        change="Turn it off for a recording that you filtered yourself, in any unit.",
    )
    apply_whitening: bool = parameter(
        True,
        stage="preprocessing",
        text="Whiten the traces, also those that you filtered yourself; else each channel is scaled to its noise",
        change="Turn it off for a recording that you whitened yourself.",
    )
    remove_artifacts: bool = parameter(
        True,
        stage="preprocessing",
        text="Find artefacts of movement, muscles or stimulation, and take off what they add to all channels",
        change="Turn it off if you removed them yourself.",
    )
    freq_min: float = parameter(
        150.0,
        stage="preprocessing",
        text="Low edge of the pass band",
        change="Raise it where slow waves disturb the detection. The shipped encoders learned on the default band.",
        unit="Hz",
        at_least=LEAST_FREQ_MIN,
        at_most=10_000.0,
    )
    freq_max: float = parameter(
        7000.0,
        stage="preprocessing",
        text="High edge of the pass band; at most 45 % of the sampling frequency is used",
        change="Lower it where fast noise covers the spikes. The shipped encoders learned on the default band.",
        unit="Hz",
        above=LEAST_FREQ_MIN,
        at_most=100_000.0,
    )
    whitening_radius_um: float = parameter(
        100.0,
        stage="preprocessing",
        text="Each channel is whitened with the channels within this distance",
        change="Raise it for a probe whose contacts are far apart, so that each has some neighbours.",
        unit="um",
        above=0.0,
        at_most=100_000.0,
    )
    cache_preprocessing_mode: str = parameter(
        "auto",
        stage="preprocessing",
        text="Where preprocessed traces are kept while the sorter runs",
        change="Take 'folder' where memory is short and the disk is fast, 'no-cache' where neither has room. "
        "'auto' looks for memory first, then for a disk.",
        choices=("auto", "memory", "folder", "zarr", "no-cache"),
    )
    max_cache_gb: float = parameter(
        10.0,
        stage="preprocessing",
        text="Most that 'auto' keeps, in memory or on disk; of a longer recording only what is learned from, on disk",
        change="Raise it where there is room, and lower it where there is none: what it doesn't hold takes more time.",
        unit="GB",
        at_least=0.0,
        at_most=1e6,
    )
    apply_motion_correction: bool | str = parameter(
        "auto",
        stage="motion",
        text="Correct the motion of the tissue; 'auto' measures it and corrects it where it is there and can be",
        change="Take False if you corrected motion yourself, True if you see drift that 'auto' left alone.",
        choices=("auto", True, False),
    )
    detection_method: str = parameter(
        "matched_filtering",
        stage="detection",
        text="How peaks are found",
        change="Take 'locally_exclusive', a plain threshold, to save time where spikes are large.",
        choices="spikes.detection:DETECTORS",
    )
    peak_sign: str = parameter(
        "neg",
        stage="detection",
        text="Sign of the peaks",
        change="Take 'both' where you expect large positive spikes too, as of axons. "
        "Take 'pos' for a recording of inverted sign.",
        choices=("neg", "pos", "both"),
    )
    detect_threshold: float = parameter(
        5.0,
        stage="detection",
        text="Smallest peak that is detected",
        change="Lower it to find smaller units, at the price of more time and of more units that are mixed. "
        "Raise it where there are many false units.",
        unit="units of noise",
        at_least=0.1,  # under it each wiggle is a peak, and so small a number is zero to SpikeInterface
        at_most=1000.0,
    )
    detection_radius_um: float = parameter(
        50.0,
        stage="detection",
        text="One peak at a time is detected within this distance",
        change="Raise it for a probe whose contacts are far apart, if spikes are seen on several of them.",
        unit="um",
        at_least=0.0,
        at_most=100_000.0,
    )
    n_peaks_per_channel: int = parameter(
        1500,
        stage="detection",
        text="At most this many peaks of each channel are represented and clustered",
        change="Raise it for long recordings in which units that fire rarely are missed. Lower it to save time.",
        at_least=10,  # of fewer there is nothing to cluster
        at_most=100_000_000,
    )
    features: str = parameter(
        "huidurep",
        stage="features",
        text="How spikes are represented: by the encoder, or by an SVD of each channel",
        change="Take 'svd' to see what the encoder changes.",
        choices="spikes.features:FEATURES",
    )
    weights: str | Path | None = parameter(
        None,
        stage="features",
        text="Weights of the encoder; None takes the default",
        change="Name the file of an encoder that you trained with `huidurep pretrain`.",
        form="a name of shipped weights, or the path of a file",
    )
    torch_device: str = parameter(
        "auto",
        stage="features",
        text="Where the encoder runs; 'auto' takes a GPU where there is one",
        change="Take 'cpu' where the GPU is busy, or 'cuda:1' to choose one of several.",
        pattern=r"auto|cpu|mps|cuda(:[0-9]+)?",
        form="'auto', 'cpu', 'cuda', 'cuda:N' (N is a number) or 'mps'",
    )
    batch_size: int | None = parameter(
        None,
        stage="features",
        text="How many spikes are on the device at once; None chooses by device",
        change="Lower it where the memory of the GPU is too small.",
        at_least=1,
        at_most=10_000_000,
    )
    clustering_method: str = parameter(
        "isosplit",
        stage="clustering",
        text="How spikes are clustered",
        change="Take another to compare. None of them was better in our experiments.",
        choices="spikes.clustering:CLUSTERERS",
    )
    min_cluster_size: int = parameter(
        20,
        stage="clustering",
        text="Fewest spikes of a cluster; if its template is large, five are enough",
        change="Lower it for short recordings in which units that fire rarely are missed.",
        at_least=2,
        at_most=1_000_000,
    )
    min_merge_probability: float = parameter(
        0.5,
        stage="clustering",
        text="Clusters, and units, become one if they are one neuron with at least this probability",
        change="Raise it, to 0.9 at most, where different neurons end in one unit, lower it where one ends in several.",
        at_least=0.0,
        at_most=1.0,
    )
    ms_before: float = parameter(
        0.8,
        stage="templates",
        text="Length of a template before its peak",
        change="Raise it for slow spikes.",
        unit="ms",
        at_least=LEAST_MS,
        at_most=20.0,
    )
    ms_after: float = parameter(
        1.4,
        stage="templates",
        text="Length of a template after its peak",
        change="Raise it for slow spikes.",
        unit="ms",
        at_least=LEAST_MS,
        at_most=20.0,
    )
    template_radius_um: float = parameter(
        100.0,
        stage="templates",
        text="A template has the channels within this distance of its unit",
        change="Raise it where spikes are seen on contacts farther away. Lower it to save time on dense probes.",
        unit="um",
        at_least=10.0,  # with less, a template may have no channel at all
        at_most=100_000.0,
    )
    template_min_snr: float = parameter(
        2.5,
        stage="templates",
        text="Templates with a smaller peak-to-peak amplitude are dropped before matching",
        change="Raise it where many units are small and look like noise.",
        unit="units of noise",
        at_least=0.0,
        at_most=1000.0,
    )
    matching_method: str = parameter(
        "local",
        stage="matching",
        text="How templates are matched to the traces",
        change="Take another to compare. 'local', the best, is 'wobble' with noisy frequencies weighed less, but fast.",
        choices="templates.matching:MATCHERS",
    )
    min_template_norm: float = parameter(
        8.0,
        stage="curation",
        text="Units of a smaller template norm are dropped, however probable they are",
        change="Raise it to keep only large units. Lower it to see small ones, of which more are mixed.",
        unit="units of noise",
        at_least=0.0,
        at_most=10_000.0,
    )
    min_unit_probability: float = parameter(
        0.4,
        stage="curation",
        text="Units that are less probably a neuron, found with an accuracy of at least 0.5, are dropped",
        change="Raise it to keep only units that are surely neurons. Lower it to curate by hand.",
        at_least=0.0,
        at_most=1.0,
    )
    min_firing_rate: float = parameter(
        0.0,
        stage="curation",
        text="Units that fire less are dropped, however probable they are",
        change="Raise it to leave out neurons that fire rarely.",
        unit="Hz",
        at_least=0.0,
        at_most=1000.0,
    )
    seed: int = parameter(
        0,
        stage="run",
        text="Same seed, same spikes",
        change="Change it to see how much of a result is by chance.",
        at_least=0,
        below=2**32,  # what NumPy and scikit-learn take
    )
    save_array: bool = parameter(
        False,
        stage="run",
        text="Save peaks, features, labels and templates in the output folder",
        change="Turn it on to look at the steps of a sorting.",
    )
    save_report: bool = parameter(
        True,
        stage="run",
        text="Write report.html: units, drift, what was left out and why, time and memory",
        change="Turn it off to save some seconds; `huidurep report` writes it later.",
    )
    debug: bool = parameter(
        False,
        stage="run",
        text="As save_array, and keep every intermediate result",
        change="Turn it on to find out why a sorting is wrong.",
    )

    def check_together(self):
        """Raise ValueError for an empty pass band, and for templates shorter than what tdc-peeler compares."""
        if self.freq_max < LEAST_BAND * self.freq_min:
            raise ValueError(
                f"freq_min ({self.freq_min:g} Hz) must be below freq_max ({self.freq_max:g} Hz), "
                f"which must be at least {LEAST_BAND:g} times as high"
            )
        for name, least in TDC_PEELER_MS.items() if self.matching_method == "tdc-peeler" else ():
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be at least {least:g} ms with matching_method 'tdc-peeler', "
                    f"not {getattr(self, name):g} ms"
                )


def _count_milliseconds(chunk_duration):
    clock = SimpleNamespace(get_sampling_frequency=lambda: 1000.0)
    return chunk_duration_to_chunk_size(chunk_duration, clock)


def _count_processes(n_jobs):
    if isinstance(n_jobs, float) and n_jobs > 1:
        raise ValueError("a fraction of the cores is at most 1.0")
    return fix_job_kwargs({"n_jobs": n_jobs})["n_jobs"]


@dataclass(frozen=True, kw_only=True)
class JobKwargs(Checked):
    """SpikeInterface's job kwargs; None is SpikeInterface's global choice."""

    n_jobs: int | float | None = parameter(
        None,
        stage="job_kwargs",
        text="Number of processes",
        change="Raise it on a machine with many idle cores and enough memory.",
        measure=_count_processes,
        at_least=1,
        form="a number other than 0; -1 is all cores, and a number with a point, up to 1.0, is a fraction of them",
    )
    chunk_duration: str | float | None = parameter(
        None,
        stage="job_kwargs",
        text="Accepted, without an effect: traces are read in pieces of 1 s, so that no spike depends on it",
        change="Never.",
        measure=_count_milliseconds,
        at_least=1,
        form="a time such as '1s', '500ms' or 1.0 (in seconds), at least 1 ms",
    )
    chunk_size: int | None = parameter(
        None,
        stage="job_kwargs",
        text="As chunk_duration",
        change="Never.",
        at_least=1,
    )
    chunk_memory: str | None = parameter(
        None,
        stage="job_kwargs",
        text="As chunk_duration",
        change="Never.",
        measure=convert_string_to_bytes,
        at_least=1,
        form="an amount of memory such as '500M' or '2Gi'",
    )
    total_memory: str | None = parameter(
        None,
        stage="job_kwargs",
        text="As chunk_duration",
        change="Never.",
        measure=convert_string_to_bytes,
        at_least=1,
        form="an amount of memory such as '500M' or '2Gi'",
    )
    pool_engine: str | None = parameter(
        None,
        stage="job_kwargs",
        text="What runs the jobs",
        change="Take 'thread' where processes can't be started.",
        choices=("process", "thread"),
    )
    mp_context: str | None = parameter(
        None,
        stage="job_kwargs",
        text="How processes are started",
        change="Take 'spawn' where forked processes hang.",
        choices=tuple(sorted(get_all_start_methods())),  # those of this machine
        form="'fork', 'spawn' or 'forkserver', where the operating system has it",
    )
    max_threads_per_worker: int | None = parameter(
        None,
        stage="job_kwargs",
        text="Number of threads of each process",
        change="Raise it where there are fewer processes than cores.",
        at_least=1,
    )
    progress_bar: bool | None = parameter(
        None,
        stage="job_kwargs",
        text="Taken from `verbose` instead",
        change="Never: `verbose=True` shows progress bars.",
    )

    def check_together(self):
        """Raise ValueError where the size of chunks is given twice."""
        given = [name for name in CHUNK_NAMES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say the same thing: give one of them")


def read_job_kwargs(job_kwargs) -> dict:
    """Check SpikeInterface's job kwargs.

    Parameters
    ----------
    job_kwargs : dict or None

    Returns
    -------
    job_kwargs : dict
        Those that aren't None, as plain values.

    Raises
    ------
    ValueError
        If it is no dict, if a name is none of SpikeInterface's, or if a value isn't allowed.
    """
    if not isinstance(job_kwargs, dict | None):
        raise ValueError(f"job_kwargs must be a dict such as dict(n_jobs=2), not {reprlib.repr(job_kwargs)}")
    try:
        checked = JobKwargs.from_dict(job_kwargs or {})
    except ValueError as error:
        raise ValueError(f"job_kwargs: {error}") from None
    return {name: getattr(checked, name) for name in job_kwargs or {} if getattr(checked, name) is not None}


def as_markdown() -> str:
    """Write the page `docs/parameters.md`."""
    lines = [
        "# Parameters",
        "",
        "Written from the fields in `src/huidurep_sorter/parameters.py`; write it anew with",
        "`python -c 'from huidurep_sorter.parameters import as_markdown; print(as_markdown())' > docs/parameters.md`.",
        "",
        "The defaults suit most recordings. Each parameter says when another value helps. Give parameters to",
        '`run_sorter("huidurep", recording, detect_threshold=5.5)`, as options to `huidurep sort`',
        "(`--detect-threshold 5.5`), or in a YAML or JSON file (`--params`). The last section is the dict",
        "`job_kwargs`, as in `job_kwargs=dict(n_jobs=4)`; the result doesn't depend on it.",
    ]
    for stage, items in by_stage(SortingParameters, JobKwargs).items():
        lines += ["", f"## {stage.capitalize() if stage != 'job_kwargs' else '`job_kwargs`'}", ""]
        lines += [as_entry(item) for item in items]
    return "\n".join(lines)
