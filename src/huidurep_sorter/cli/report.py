"""`huidurep report FOLDER`: a page to look at, of a sorting of ours or of any other."""

import shutil
from pathlib import Path

from huidurep_sorter.cli.main import UsageError, bad_usage, is_taken


def add_command(subparsers):
    """Add `report`."""
    parser = subparsers.add_parser(
        "report",
        help="write a page that shows a sorting",
        description="Write report.html for a sorting by huidurep, or by any sorter with --output.",
    )
    parser.add_argument(
        "path", type=Path, help="output folder of a sorter, a SortingAnalyzer, or with --recording a saved sorting"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder to make, for what huidurep did not sort")
    parser.add_argument("--recording", type=Path, help="the recording, where PATH doesn't hold it")
    parser.add_argument("--format", help="format of the recording, as for huidurep sort")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments):
    """Write the report, print where it is, and return the exit code."""
    from huidurep_sorter.report.page import write_report

    if not arguments.path.exists():
        raise UsageError(f"{arguments.path} doesn't exist")
    if arguments.output is None:
        for folder in (arguments.path, arguments.path / "sorter_output"):
            if (folder / "huidurep.log").is_file() and (folder / "sorting").is_dir():
                print(write_report(folder))
                return 0
        raise UsageError(f"{arguments.path} isn't the output of huidurep: give --output, a folder to make")
    print(report_any(arguments))
    return 0


def report_any(arguments):
    """Measure the units of any sorting, and write their report into a new folder."""
    from huidurep_sorter.parameters import SortingParameters
    from huidurep_sorter.pipeline import inspect_sorting
    from huidurep_sorter.report.page import write_report
    from huidurep_sorter.sorter import log_to_file, save_whole

    output = arguments.output
    if is_taken(output):
        raise UsageError(f"{output} exists: give another folder")
    with bad_usage():
        recording, sorting = read_pair(arguments.path, arguments.recording, arguments.format)
        if recording is None:
            raise ValueError(f"{arguments.path} has no recording: give --recording")
        if not recording.has_probe():
            raise ValueError("the recording has no probe")
        mine, theirs = sorting.get_num_segments(), recording.get_num_segments()
        if mine != theirs:
            raise ValueError(f"the sorting has {mine} segments and the recording {theirs}: they don't belong together")
    output.mkdir(parents=True, exist_ok=True)
    try:
        with log_to_file(output / "huidurep.log"):
            job_kwargs = dict(n_jobs=arguments.n_jobs, progress_bar=False)
            found = inspect_sorting(recording, sorting, SortingParameters(), output, job_kwargs=job_kwargs)
            save_whole(found, output / "sorting")
    except BaseException:
        shutil.rmtree(output)  # it was empty, or not there
        raise
    return write_report(output, title=arguments.path.absolute().name)


def read_pair(path, recording_path, file_format):
    """Read the recording, None where it isn't known, and the sorting that are to be shown.

    Parameters
    ----------
    path : Path
        Output folder of a sorter, a SortingAnalyzer, or with a recording anything with a sorting that loads.
    recording_path : Path or None
    file_format : str or None
        Of the recording.
    """
    from spikeinterface.core import BaseSorting, SortingAnalyzer, load
    from spikeinterface.sorters import read_sorter_folder

    from huidurep_sorter.cli.reading import read_recording

    if (path / "spikeinterface_log.json").is_file():
        loaded = read_sorter_folder(path, register_recording=True)
    else:
        loaded = load(path)
    if isinstance(loaded, SortingAnalyzer):
        recording, sorting = loaded.recording if loaded.has_recording() else None, loaded.sorting
    elif isinstance(loaded, BaseSorting):
        recording, sorting = getattr(loaded, "_recording", None), loaded
    else:
        raise ValueError(f"{path} holds a {type(loaded).__name__}, no sorting")
    if recording_path is not None:
        recording = read_recording(recording_path, file_format)
    return recording, sorting
