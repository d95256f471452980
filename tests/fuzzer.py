"""Sort strange recordings with strange parameters: each ends in a whole sorting, or in one clear error.

Each seed makes one recording and one choice of parameters, always the same. Run a thousand, or repeat one:

    python -m tests.fuzzer 1000 --first-seed 0
    python -m tests.fuzzer --seed 12
"""

import argparse
import gc
import json
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
from probeinterface import Probe, ProbeGroup
from spikeinterface.core import NumpyRecording
from spikeinterface.sorters import run_sorter
from spikeinterface.sorters.utils import SpikeSortingError

import huidurep_sorter.pipeline
from huidurep_sorter.parameter_fields import kinds_of
from huidurep_sorter.parameters import LEAST_BAND, TDC_PEELER_MS, SortingParameters
from huidurep_sorter.units.properties import no_properties

PACKAGE = Path(huidurep_sorter.__file__).parent
PATIENCE_S = 180  # of one seed; longer is a failure
RATES = (8000.0, 10_000.0, 12_500.0, 20_000.0, 24_414.0625, 25_000.0, 30_000.0, 32_000.0, 40_000.0, 50_000.0)
MAY_BE_NAN = {"huidurep_amplitude_cutoff"}  # of few spikes it isn't known


# Probes


def grid(n, n_columns, pitch_um):
    """Place n contacts in rows of n_columns, (n, 2)."""
    index = np.arange(n)
    return np.column_stack([index % n_columns, index // n_columns]) * pitch_um


def one_probe(places, shank_ids=None):
    """Make a probe with contacts at these places."""
    probe = Probe(ndim=2, si_units="um")
    probe.set_contacts(places, shapes="circle", shape_params={"radius": 5.0}, shank_ids=shank_ids)
    probe.set_device_channel_indices(np.arange(len(places)))
    return probe


def several_probes(parts):
    """Make a group of probes side by side."""
    group = ProbeGroup()
    for k, part in enumerate(parts):
        probe = one_probe(part + [1000.0 * k, 0.0])
        probe.set_device_channel_indices(np.full(len(part), -1))
        group.add_probe(probe)
    group.set_global_device_channel_indices(np.arange(sum(map(len, parts))))
    return group


def laid_in_space(rng, places):
    """Make a 3-D probe in one of the three planes."""
    probe = one_probe(places).to_3d(axes=str(rng.choice(["xy", "yz", "xz"])))
    probe.set_device_channel_indices(np.arange(len(places)))
    return probe


def random_places(rng, n, pitch_um):
    return rng.uniform(0, pitch_um * np.sqrt(n) * 1.5, (n, 2))


PROBES = {
    "linear": lambda rng, n, um: one_probe(grid(n, 1, um)),
    "two columns": lambda rng, n, um: one_probe(grid(n, 2, um)),
    "tetrodes": lambda rng, n, um: one_probe(
        grid(4, 2, 12.5)[np.arange(n) % 4] + np.column_stack([np.arange(n) // 4 * 200.0, np.zeros(n)]),
        (np.arange(n) // 4).astype(str),
    ),
    "shanks": lambda rng, n, um: one_probe(
        grid(n, 2, um) + np.column_stack([np.arange(n) % 3 * 250.0, np.zeros(n)]), (np.arange(n) % 3).astype(str)
    ),
    "several probes": lambda rng, n, um: several_probes(np.array_split(grid(n, 2, um), min(n, 3))),
    "one contact a probe": lambda rng, n, um: several_probes([np.zeros((1, 2))] * n),
    "3-D": lambda rng, n, um: laid_in_space(rng, grid(n, 2, um)),
    "random": lambda rng, n, um: one_probe(random_places(rng, n, um)),
    "millimetres": lambda rng, n, um: one_probe(grid(n, 2, um) / 1000),
}


def places_of(probe):
    """Give the contacts of a probe or a group of probes, (n, 2 or 3)."""
    probes = probe.probes if isinstance(probe, ProbeGroup) else [probe]
    return np.concatenate([one.contact_positions for one in probes])


# Traces


def choose_lengths(rng, rate):
    """Choose the samples of each segment."""
    n_segments = int(rng.choice([1, 1, 1, 1, 2, 3, 4, 5]))
    total_s = rng.uniform(1.2, 3.0) if rng.random() < 0.92 else rng.uniform(0.05, 1.5)
    lengths = np.maximum(total_s * rng.dirichlet(np.full(n_segments, 2.0)), 0.05) * rate + 1
    if n_segments > 1 and rng.random() < 0.05:
        lengths[int(rng.integers(n_segments))] = rng.integers(1, 20)  # SpikeInterface saves no segment of 0
    return lengths.astype(int)


def plant_spikes(rng, segments, places, rate):
    """Add units to traces in units of noise, in place; say how many."""
    n_units = int(rng.integers(0, 6))
    ms = np.arange(-int(rate / 1000), int(rate / 500)) * 1000 / rate
    for _ in range(n_units):
        away = np.linalg.norm(places - places[rng.integers(len(places))], axis=1)
        shape = np.exp(-((ms / 0.2) ** 2)) - 0.4 * np.exp(-(((ms - 0.6) / 0.4) ** 2))
        size = rng.uniform(4, 40) * rng.choice([-1, -1, -1, 1])
        spike = size * shape[:, None] * np.exp(-away / 40.0)
        hz = rng.uniform(2, 40)
        for traces in segments:
            room = max(len(traces) - len(spike), 0)
            for start in rng.integers(0, max(room, 1), rng.poisson(hz * room / rate)):
                traces[start : start + len(spike)] += spike
    return n_units


def stretch(rng, traces, most=0.3):
    """Choose a stretch of the samples, as a slice."""
    length = int(rng.uniform(0, most) * len(traces))
    start = int(rng.integers(0, max(len(traces) - length, 1)))
    return slice(start, start + length)


def some_channels(rng, traces):
    return rng.choice(traces.shape[1], int(rng.integers(1, traces.shape[1] + 1)), replace=False)


def blank(rng, traces):
    traces[stretch(rng, traces)] = 0


def hold(rng, traces):
    where = stretch(rng, traces)
    traces[where] = traces[where][:1]


def kill(rng, traces):
    traces[:, some_channels(rng, traces)] = rng.choice([0.0, 5.0])


def copy_channels(rng, traces):
    traces[:, some_channels(rng, traces)] = traces[:, :1]


def saturate(rng, traces):
    np.clip(traces, -rng.uniform(0.5, 6), rng.uniform(0.5, 6), out=traces)


def half_zero(rng, traces):
    traces[rng.random(len(traces)) < 0.5] = 0


def mostly_zero(rng, traces):
    traces[rng.random(len(traces)) < 0.8] = 0


def add_artefacts(rng, traces):
    size = 10 ** rng.uniform(1.5, 4)
    for _ in range(int(rng.integers(1, 30))):
        where = stretch(rng, traces, 0.02)
        traces[where] += size * rng.normal() * rng.uniform(0.5, 1.5, traces.shape[1])


def pop(rng, traces):
    channel = int(rng.integers(traces.shape[1]))
    for at in rng.integers(0, max(len(traces), 1), 40 if len(traces) else 0):
        traces[at : at + 30, channel] += 300 * rng.normal()


def silence(rng, traces):
    traces[:] = 0


def add_hum(rng, traces):
    traces += 50 * np.sin(np.arange(len(traces)) * rng.uniform(0.005, 0.2))[:, None]


def step(rng, traces):
    traces[int(rng.integers(0, len(traces) + 1)) :] += rng.normal() * 1000


def depend(rng, traces):
    traces -= traces.mean(axis=1, keepdims=True)


def lose(rng, traces):
    traces[stretch(rng, traces)] = rng.choice([np.nan, np.inf])


def lose_on_some(rng, traces):
    traces[stretch(rng, traces), some_channels(rng, traces)[0]] = np.nan


def lose_a_channel(rng, traces):
    traces[:, int(rng.integers(traces.shape[1]))] = np.nan


DAMAGES = (blank, hold, kill, copy_channels, saturate, half_zero, mostly_zero) + (
    add_artefacts,
    pop,
    add_hum,
    step,
    depend,
)

LOSSES = (lose, lose, lose_on_some, lose_on_some, lose_a_channel)  # where numbers can be NaN

DTYPES = {  # the name, and how traces in units of noise become it
    "int16": lambda x, rng: (x * 20).clip(-32768, 32767).astype("int16"),
    "int16 with offset": lambda x, rng: (x * 5 + 8192).clip(-32768, 32767).astype("int16"),
    "int16 of few bits": lambda x, rng: x.clip(-100, 100).round().astype("int16"),
    "int32": lambda x, rng: (x * 1e5).clip(-(2**31), 2**31 - 129).astype("int32"),
    "uint8": lambda x, rng: (x * 4 + 128).clip(0, 255).astype("uint8"),
    "uint16": lambda x, rng: (x * 20 + 32768).clip(0, 65535).astype("uint16"),
    "bool": lambda x, rng: x > 1,
    "float32": lambda x, rng: x.astype("float32"),
    "float32 with offset": lambda x, rng: (x * 10 + 1e6).astype("float32"),
    "float64": lambda x, rng: x * 10 ** rng.uniform(-3, 3),
    "float64, tiny": lambda x, rng: x * 1e-12,
    "float64, huge": lambda x, rng: x * 1e12,
}


def make_segments(rng, places, rate):
    """Make the traces of each segment, and say what was done to them."""
    lengths = choose_lengths(rng, rate)
    segments = [rng.normal(size=(n, len(places))) for n in lengths]
    about = {
        "samples": lengths.tolist(),
        "units": 0 if rng.random() < 0.1 else plant_spikes(rng, segments, places, rate),
    }
    damages = [damage for damage in DAMAGES if rng.random() < 0.1] + ([silence] if rng.random() < 0.02 else [])
    name = str(rng.choice(list(DTYPES), p=np.r_[0.3, np.full(len(DTYPES) - 1, 0.7 / (len(DTYPES) - 1))]))
    losses = [loss for loss in LOSSES if rng.random() < 0.06] if name.startswith("float") else []
    for traces in segments:
        for damage in damages + losses:
            damage(rng, traces)
    made = [DTYPES[name](traces, rng) for traces in segments]
    return made, about | {"dtype": name, "damages": [damage.__name__ for damage in damages + losses]}


def add_properties(rng, recording):
    """Give a recording some of the optional properties and times; say which."""
    n, chosen = recording.get_num_channels(), []
    if rng.random() < 0.15:
        chosen.append("group")
        recording.set_property("group", rng.choice([["left", "right"], ["0", "1"]][int(rng.integers(2))], n))
    if rng.random() < 0.4:
        chosen.append("gains")
        recording.set_channel_gains(np.full(n, 0.195))
        recording.set_channel_offsets(rng.choice([0.0, -100.0], n))
    if rng.random() < 0.15:
        chosen.append("inter_sample_shift")
        recording.set_property("inter_sample_shift", np.arange(n) % 12 / 12)
    if rng.random() < 0.1:
        chosen.append("is_filtered")
        recording.annotate(is_filtered=True)
    for segment in range(recording.get_num_segments()) if rng.random() < 0.15 else ():
        times = np.arange(recording.get_num_samples(segment)) / recording.sampling_frequency
        times[len(times) // 2 :] += rng.choice([0.0, 10.0])
        if len(times):
            chosen.append("times")
            recording.set_times(times, segment_index=segment)
    return chosen


def make_recording(rng):
    """Make a recording in memory, and say in a dict what it is."""
    kind = str(rng.choice(list(PROBES)))
    n = int(rng.choice([1, 2, 3, 4, 4, 8, 12, 16, 24, 32, 33, 40]))
    n = min(n, 12) if kind == "one contact a probe" else n
    pitch_um = rng.choice([10.0, 20.0, 25.0, 40.0, 100.0])
    probe = PROBES[kind](rng, n, pitch_um)
    rate = 1000.0 if rng.random() < 0.02 else float(rng.choice([*RATES, rng.uniform(8000, 50_000)]))
    scale = 1000 if kind == "millimetres" else 1
    segments, about = make_segments(rng, places_of(probe) * scale, rate)
    ids = [f"ch {k}" for k in range(n)] if rng.random() < 0.3 else rng.permutation(n) if rng.random() < 0.3 else None
    recording = NumpyRecording(segments, rate, channel_ids=ids)
    groups = probe if isinstance(probe, ProbeGroup) else None
    recording.set_probegroup(groups, check_overlap=False) if groups else recording.set_probe(probe)
    properties = add_properties(rng, recording)
    about = {"probe": kind, "channels": n, "pitch_um": float(pitch_um), "rate": rate} | about
    return recording, about | {"properties": properties}


# Parameters

INVALID = ("abc", float("nan"), -1, [1, 2], {}, object(), 1e400)
INVALID_JOBS = (
    {"n_jobs": 0},
    {"n_jobs": 2.5},
    {"n_job": 1},
    {"chunk_duration": "abc"},
    {"chunk_duration": float("nan")},
    {"chunk_size": 0},
    {"chunk_size": 1000, "total_memory": "1G"},
    {"total_memory": "lots"},
    {"pool_engine": "dask"},
    {"progress_bar": "yes"},
    {"mp_context": "x"},
)


def most_extreme(rng, about, whole):
    """Choose a bound of a number."""
    low = about.at_least if about.at_least is not None else np.nextafter(about.above, np.inf)
    high = about.at_most if about.at_most is not None else about.below - 1
    bound = rng.choice([low, high])
    return int(bound) if whole else float(bound)


def choose_value(rng, item):
    """Choose a value that a field allows."""
    about, kinds = item.metadata["about"], kinds_of(item)
    if item.name == "weights":
        return [None, "fast"][int(rng.integers(2))]
    if item.name == "torch_device":
        return ["auto", "cpu"][int(rng.integers(2))]
    if about.choices is not None:
        choices = about.choose()
        return choices[int(rng.integers(len(choices)))]
    if bool in kinds:
        return bool(rng.integers(2))
    whole = float not in kinds
    if rng.random() < 0.15 and item.name != "batch_size":
        return most_extreme(rng, about, whole)
    value = (item.default or 64) * np.exp(rng.normal(0, 0.7))
    low, high = about.at_least or about.above or 0, about.at_most or about.below
    value = np.clip(value, low + 1e-3 * (about.above is not None), high)
    return round(value) if whole else float(value)


def choose_jobs(rng):
    """Choose job kwargs."""
    jobs = {}
    if rng.random() < 0.5:
        jobs["n_jobs"] = 2 if rng.random() < 0.03 else 1
    size = {"chunk_duration": "300ms", "chunk_size": 777, "total_memory": "50M", "chunk_memory": "1M"}
    if rng.random() < 0.4:
        name = str(rng.choice(list(size)))
        jobs[name] = size[name]
    if rng.random() < 0.2:
        jobs["progress_bar"] = bool(rng.integers(2))
    if rng.random() < 0.3:
        jobs["pool_engine"] = str(rng.choice(["process", "thread"]))
    return jobs


def choose_parameters(rng):
    """Choose valid parameters, most of them the defaults."""
    chosen = {item.name: choose_value(rng, item) for item in fields(SortingParameters) if rng.random() < 0.2}
    chosen.setdefault("n_peaks_per_channel", int(rng.integers(20, 150)))  # to be quick
    if chosen.get("detect_threshold", 5.0) < 4:
        chosen["n_peaks_per_channel"] = min(chosen["n_peaks_per_channel"], 50)
    if LEAST_BAND * chosen.get("freq_min", 150.0) > chosen.get("freq_max", 7000.0):
        del chosen["freq_min" if "freq_min" in chosen else "freq_max"]
        chosen.pop("freq_max", None)
    if chosen.get("matching_method") == "tdc-peeler":
        for name, least in TDC_PEELER_MS.items():
            chosen[name] = max(chosen.get(name, least), least)
    return chosen | ({"job_kwargs": choose_jobs(rng)} if rng.random() < 0.5 else {})


def spoil(rng, chosen):
    """Make one of the parameters invalid; give them and the name that the error must say."""
    if rng.random() < 0.3:
        jobs = INVALID_JOBS[int(rng.integers(len(INVALID_JOBS)))]
        return chosen | {"job_kwargs": jobs}, str(list(jobs)[0])
    if rng.random() < 0.1:
        return chosen | {"no_such_parameter": 1}, "no_such_parameter"
    item = fields(SortingParameters)[int(rng.integers(len(fields(SortingParameters))))]
    value = INVALID[int(rng.integers(len(INVALID)))]
    return chosen | {item.name: value}, item.name


# Judgement


class Failed(Exception):
    """Raised where a sorting isn't whole, or an error isn't clear."""


def require(condition, what):
    if not condition:
        raise Failed(what)


def check_sorting(sorting, recording):
    """Raise unless a sorting is whole."""
    n_segments, spikes = recording.get_num_segments(), sorting.to_spike_vector()
    require(sorting.get_num_segments() == n_segments, "another number of segments")
    require(len(np.unique(sorting.unit_ids)) == len(sorting.unit_ids), "unit ids aren't unique")
    for segment in range(n_segments):
        samples = spikes["sample_index"][spikes["segment_index"] == segment]
        require((np.diff(samples) >= 0).all(), "spikes aren't sorted")
        within = (samples >= 0) & (samples < recording.get_num_samples(segment))
        require(within.all(), "spikes beyond a segment")
    wanted = no_properties(recording)
    for name, empty in wanted.items():
        values = sorting.get_property(name)
        require(values is not None, f"no property {name}")
        require(values.dtype.kind == empty.dtype.kind, f"{name} is {values.dtype}, not {empty.dtype}")
        finite = values.dtype.kind != "f" or name in MAY_BE_NAN or np.isfinite(values).all()
        require(finite, f"{name} isn't finite")
    counts = np.bincount(spikes["unit_index"], minlength=len(sorting.unit_ids))
    require((sorting.get_property("huidurep_num_spikes") == counts).all(), "num_spikes aren't those of the spikes")
    require(np.isin(sorting.get_property("main_channel_id"), recording.channel_ids).all(), "unknown main channels")
    require((counts > 0).all(), "a unit has no spike")
    require((sorting.get_property("huidurep_snr") < 1e6).all(), "a huge snr")


def check_error(error, spoilt):
    """Raise the error itself unless it is one that says what is wrong."""
    text = str(error)
    if spoilt is not None:
        clear = isinstance(error, ValueError | FileNotFoundError) and (spoilt in text or "job_kwargs" in text)
        if not clear:
            raise error
        return
    if not isinstance(error, SpikeSortingError):
        raise error
    places = re.findall(r'File "([^"]+)", line \d+, in (\w+)', text)
    is_ours = places and places[-1][0].endswith("traces/checks.py")
    if not (is_ours and re.findall(r"^(\w+): ", text, re.M)[-1:] == ["ValueError"]):
        raise error


@contextmanager
def our_warnings_as_failures():
    """Collect warnings of arithmetic that stem from the package; raise them at the end."""
    found = []

    def show(message, category, filename, lineno, file=None, line=None):
        if issubclass(category, RuntimeWarning):
            frames = [frame for frame in traceback.extract_stack() if str(PACKAGE) in frame.filename]
            last = frames[-1] if frames else None
            if last is not None:
                place = f"{Path(last.filename).relative_to(PACKAGE)}:{last.lineno} via {Path(filename).name}:{lineno}"
                found.append(f"warning at {place}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield
    if found:
        raise Failed(found[0])


@contextmanager
def little_garbage():
    """Keep the collection of garbage from looking at all modules: SpikeInterface asks for it dozens of times a run."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def patience(seconds=PATIENCE_S):
    """Raise TimeoutError after a while, where the operating system can."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def give_up(number, frame):
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def make_case(seed):
    """Make the recording and the parameters of a seed.

    Returns
    -------
    recording : NumpyRecording
    parameters : dict
    spoilt : str or None
        The name of an invalid parameter.
    about : dict
        What the recording is.
    """
    rng = np.random.default_rng(seed)
    recording, about = make_recording(rng)
    parameters = choose_parameters(rng)
    parameters, spoilt = spoil(rng, parameters) if rng.random() < 0.08 else (parameters, None)
    return recording, parameters, spoilt, about


def run_case(seed):
    """Sort the recording of a seed; raise unless it ends well. Say how it ended."""
    recording, parameters, spoilt, _ = make_case(seed)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        our_warnings_as_failures(),
        patience(),
        little_garbage(),
    ):
        out = Path(folder) / "out"
        saved = recording.save(folder=Path(folder) / "recording", verbose=False, progress_bar=False)
        try:
            sorting = run_sorter("huidurep", saved, folder=out, raise_error=True, **parameters)
        except Exception as error:
            check_error(error, spoilt)
            return "refused"
        require(spoilt is None, f"invalid {spoilt} was accepted")
        check_sorting(sorting, recording)
        left = [path.name for path in out.rglob("*cache*")]
        require(not left, f"left in the folder: {left}")
        return "sorted" if len(sorting.unit_ids) else "empty"


def kind_of(error):
    """Say in one line what kind of failure it is: the last line of our code, and the message."""
    text = str(error) if isinstance(error, SpikeSortingError) else "".join(traceback.format_exception(error))
    places = [f"{a}:{b}" for a, b in re.findall(r'huidurep_sorter/([\w/]+\.py)", line (\d+)', text)]
    message = re.findall(r"^([\w.]+(?:: .*)?)$", text.split("\nSpike sorting failed")[0].strip(), re.M)[-1:]
    return f"{places[-1] if places else '-'} {' '.join(message)[:200]}"


def report(seed):
    """Print what a seed makes, and how it ends."""
    _, parameters, spoilt, about = make_case(seed)
    print(json.dumps({"recording": about, "parameters": parameters, "invalid": spoilt}, indent=2, default=repr))
    print(run_case(seed))


def main(arguments=None):
    """Run many seeds, or repeat one; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("n_seeds", nargs="?", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, help="repeat this one, with its recording and its parameters")
    args = parser.parse_args(arguments)
    if args.seed is not None:
        report(args.seed)
        return 0
    ends, kinds = Counter(), Counter()
    for seed in range(args.first_seed, args.first_seed + args.n_seeds):
        start = time.perf_counter()
        try:
            ends[run_case(seed)] += 1
        except Exception as error:
            ends["failed"] += 1
            kinds[kind_of(error)] += 1
            print(f"seed {seed} ({time.perf_counter() - start:.0f} s): {kind_of(error)}", flush=True)
    print(f"{args.n_seeds} seeds: " + ", ".join(f"{n} {end}" for end, n in sorted(ends.items())))
    for kind, n in kinds.most_common():
        print(f"{n:5d}  {kind}")
    return 1 if ends["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
