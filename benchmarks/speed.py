"""Measure what a sort costs on this machine. benchmarks/README.md tells how.

Exit codes: 0 done; 1 a run failed; 2 bad command line; 130 interrupted.
"""

import argparse
import json
import math
import os
import shutil
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from spikeinterface.preprocessing import scale

from huidurep_sorter.benchmark.circumstances import versions_and_machine
from huidurep_sorter.benchmark.sorters.cases import keep_record, run_command
from huidurep_sorter.benchmark.sorters.choices import choose_sorters
from huidurep_sorter.benchmark.sorters.suites import (
    SAMPLING_FREQUENCY,
    neuropixels_drifting,
    neuropixels_static,
    save_pair,
)
from huidurep_sorter.cli.main import Parser
from huidurep_sorter.runtime import read_stages
from speed_figures import save_figures
from speed_report import markdown, read_records

UV_PER_BIT = 0.195  # of Intan's amplifiers
MIN_DURATION_S = 5.0  # in less, some units have no spike


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a recording is generated from."""

    duration_s: float
    n_channels: int
    n_true_units: int
    drift: bool = False

    @property
    def name(self):
        drift = "_drift" if self.drift else ""
        return f"{self.duration_s:g}s_{self.n_channels}channels_{self.n_true_units}units{drift}"

    @property
    def n_bytes(self):
        return int(self.duration_s * SAMPLING_FREQUENCY) * self.n_channels * 2


def main(argv=None):
    """Measure all that has no record yet, write the tables and figures, and return the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    folder = arguments.output
    sizes = [
        Size(duration_s=duration_s, n_channels=n_channels, n_true_units=n_units, drift=arguments.drift)
        for n_channels in dict.fromkeys(arguments.channels)
        for n_units in dict.fromkeys(arguments.units)
        for duration_s in dict.fromkeys(arguments.durations)
    ]
    try:
        sorters = choose(arguments.sorters)
        runs = [(sorter, n_jobs) for sorter in sorters for n_jobs in dict.fromkeys(arguments.n_jobs)]
        check_folder(folder, [size for size in sizes if missing_runs(folder, size, runs)], arguments.keep_recordings)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        measure(folder, sizes, runs, arguments.time_limit, arguments.keep_recordings)
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted; the same command goes on", file=sys.stderr)
        return 130
    write_results(folder)
    print((folder / "speed.md").read_text(encoding="utf8"))
    wanted = [record_path(folder, size, *run) for size in sizes for run in runs]
    return int(any(json.loads(path.read_text(encoding="utf8"))["status"] != "ok" for path in wanted))


def build_parser():
    """Build the parser of the command line; it says in one line what is wrong."""
    parser = Parser(prog="speed.py", description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="what is there is kept")
    lists = {  # default, type, help
        "--durations": ([30.0, 60.0, 120.0], at_least(MIN_DURATION_S, float), "seconds of recordings"),
        "--channels": ([16, 64], even, "in two columns: even numbers"),
        "--units": ([8, 32], at_least(1, int), "true ones"),
        "--n-jobs": ([1, 2], at_least(1, int), "processes of a sorter"),
        "--sorters": (["huidurep"], str, "NAME or NAME:PARAMETER=VALUE,..."),
    }
    for name, (default, kind, text) in lists.items():
        given = dict(nargs="+", type=kind, default=default, metavar="SORTER" if kind is str else "N")
        parser.add_argument(name, help=f"{text} (default: %(default)s)", **given)
    parser.add_argument("--drift", action="store_true", help="the probe moves up and down by 20 um")
    limit = at_least(1, float)
    parser.add_argument("--time-limit", type=limit, metavar="SECONDS", help="stop processes that take longer")
    parser.add_argument("--keep-recordings", action="store_true", help="don't delete them when all is run on them")
    return parser


def at_least(least, kind):
    """Make a reader of numbers for the command line, which refuses smaller ones."""

    def read(text):
        with suppress(ValueError):
            if least <= kind(text) < math.inf:
                return kind(text)
        raise argparse.ArgumentTypeError(f"{text!r}: give {'whole ' * (kind is int)}numbers of {least:g} or more")

    return read


def even(text):
    """Read a number of channels, which two columns share."""
    value = at_least(4, int)(text)
    if value % 2:
        raise argparse.ArgumentTypeError(f"{text!r}: give even numbers, for two columns")
    return value


def choose(texts):
    """Choose sorters by name, and say which are left out.

    Raises
    ------
    ValueError
        If there is no such sorter or parameter, or none is installed.
    """
    chosen, skipped = choose_sorters(texts)
    if not chosen:
        raise ValueError(f"none of the sorters is installed: {', '.join(skipped)}")
    for label, reason in skipped.items():
        print(f"{label} is left out: {reason}", file=sys.stderr)
    return chosen


def check_folder(folder, sizes, keep_recordings):
    """Raise OSError where a folder can't be used, or its disk has no place for the recordings that aren't there yet."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise OSError(f"{above} isn't a folder")
    needed = [size.n_bytes for size in sizes if not (folder / "recordings" / size.name).exists()]
    needed = (sum if keep_recordings else max)(needed or [0])
    free = shutil.disk_usage(above).free
    if needed > free:
        raise OSError(f"the disk of {folder} has {free / 1e9:.1f} GB free, and recordings need {needed / 1e9:.1f} GB")


def measure(folder, sizes, runs, time_limit_s, keep_recordings):
    """Run whatever has no record yet. A failure is a record like any other."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    small = Size(duration_s=20.0, n_channels=16, n_true_units=8, drift=sizes[0].drift)
    warm_up = folder / "recordings" / f"warm_up_{small.name}"
    for size in sizes:
        recording = folder / "recordings" / size.name
        for sorter, n_jobs in missing_runs(folder, size, runs):
            generate_once(warm_up, small)
            generate_once(recording, size)
            print(f"{size.name}, {sorter.label}, n_jobs={n_jobs} ...", end=" ", file=sys.stderr, flush=True)
            path = record_path(folder, size, sorter, n_jobs)
            record = run_once(warm_up, recording, sorter, n_jobs, path, time_limit_s)
            keep_record(path, asdict(size) | dict(sorter=sorter.label, n_jobs=n_jobs) | record | versions_and_machine())
            told = f"{record['seconds']:.0f} s" if record["status"] == "ok" else record["error"]
            print(told, file=sys.stderr, flush=True)
        if not keep_recordings:
            shutil.rmtree(recording, ignore_errors=True)
    shutil.rmtree(warm_up, ignore_errors=True)


def missing_runs(folder, size, runs):
    """List the runs on a recording that have no record."""
    return [run for run in runs if not record_path(folder, size, *run).exists()]


def record_path(folder, size, sorter, n_jobs):
    """Name the file of a record."""
    return folder / "records" / f"{size.name}_{n_jobs}jobs_{sorter.label}.json"


def generate_once(folder, size):
    """Generate a recording of 16-bit integers and its true units, where the folder isn't there yet."""
    if folder.exists():
        return
    make = neuropixels_drifting if size.drift else neuropixels_static
    numbers = dict(n_channels=size.n_channels, n_units=size.n_true_units, duration_s=size.duration_s)
    recording, sorting = make(numbers, seed=0)
    recording = scale(recording, gain=1 / UV_PER_BIT, dtype="int16")
    recording.set_channel_gains(UV_PER_BIT)
    recording.set_channel_offsets(0.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*provenance will not be saved")
        save_pair(folder, recording, sorting)


def run_once(warm_up, recording, sorter, n_jobs, path, time_limit_s=None):
    """Run a sorter in a process of its own, and return what is known of the run; only what it prints stays."""
    running, written = path.parents[1] / "running", path.with_suffix(".partial")
    shutil.rmtree(running, ignore_errors=True)  # of a run that was killed
    output = running / "sort"
    command = [sys.executable, str(Path(__file__).with_name("one_run.py")), str(warm_up), str(recording), sorter.name]
    command += [json.dumps(sorter.params), str(n_jobs), str(output), str(written)]
    try:
        with sampled_bytes(output) as sizes:
            record = run_command(command, written, path.with_suffix(".txt"), time_limit_s)
        log = output / "sorter_output" / "huidurep.log"  # other sorters have none
        stages = read_stages(log.read_text(encoding="utf8")) if log.exists() else {}
        return record | dict(disk_gb=max(sizes) / 1e9, stages=stages)
    finally:
        shutil.rmtree(running, ignore_errors=True)


@contextmanager
def sampled_bytes(folder, interval_s=1.0):
    """Look at the bytes of a folder again and again while in use; yields the list of them."""
    sizes, is_over = [], threading.Event()

    def sample():
        while not is_over.wait(interval_s):
            sizes.append(bytes_in(folder))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield sizes
    finally:
        is_over.set()
        thread.join()
        sizes.append(bytes_in(folder))


def bytes_in(folder):
    """Sum the sizes of the files in a folder, which may come and go."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.path.getsize(os.path.join(where, name))
    return total


def write_results(folder):
    """Write tables and figures of all the records of a folder."""
    runs, stages = read_records(folder / "records")
    runs.to_csv(folder / "speed.csv", index=False)
    stages.to_csv(folder / "stages.csv", index=False)
    (folder / "speed.md").write_text(markdown(runs, stages), encoding="utf8")
    save_figures(runs, stages, folder)


if __name__ == "__main__":
    sys.exit(main())
