"""`huidurep sort PATH -o OUT`: sort a recording without writing Python."""

import argparse
import shutil
from dataclasses import fields
from pathlib import Path

from huidurep_sorter.cli.main import EXIT_CODES, UsageError
from huidurep_sorter.cli.reading import FORMATS
from huidurep_sorter.parameters import SortingParameters


def add_command(subparsers):
    """Add `sort`, with an option for every parameter of the sorter."""
    parser = subparsers.add_parser(
        "sort", help="sort a recording", description="Sort a recording.", epilog="exit codes: " + EXIT_CODES
    )
    parser.add_argument("path", type=Path, help="recording: a file or a folder")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier output in that folder")
    parser.add_argument(
        "--format",
        help=f"format of PATH, else guessed by content: {', '.join(FORMATS)}, or any extractor of SpikeInterface",
    )
    parser.add_argument("--stream", help="stream (SpikeGLX, Open Ephys) or electrical series (NWB)")
    parser.add_argument("--probe", type=Path, help="probeinterface .json or .prb file")
    parser.add_argument("--params", type=Path, help="YAML or JSON file of parameters; options override it")
    parser.add_argument("--export-phy", action="store_true", help="also write OUT/phy")
    parser.add_argument("--n-jobs", type=int, help="processes (default: 1)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress on stderr")
    binary = parser.add_argument_group("binary files")
    binary.add_argument("--sampling-frequency", type=float, help="in Hz")
    binary.add_argument("--num-channels", type=int)
    binary.add_argument("--dtype", help="such as int16 or float32")
    add_parameter_options(parser.add_argument_group("parameters of the sorter"))
    parser.set_defaults(run=run)


def add_parameter_options(group):
    """An option for every sorter parameter; those not given are absent from the result."""
    for field in fields(SortingParameters):
        option = "--" + field.name.replace("_", "-")
        text = field.metadata["description"].replace("%", "%%") + f" (default: {field.default})"
        common = dict(dest=f"parameter:{field.name}", default=argparse.SUPPRESS, help=text)
        if isinstance(field.default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, **common)
        elif isinstance(field.default, (int, float)):
            group.add_argument(option, type=type(field.default), metavar="NUMBER", **common)
        else:
            group.add_argument(option, type=plain_value, metavar="VALUE", **common)


def plain_value(text):
    """true, false, null and integers as such, all else as text."""
    lowered = text.lower()
    if lowered in ("true", "false", "none", "null"):
        return {"true": True, "false": False}.get(lowered)
    return int(text) if text.isdigit() else text


def run(arguments):
    """Sort; returns the exit code."""
    from spikeinterface.sorters import run_sorter

    from huidurep_sorter import HuidurepSorter
    from huidurep_sorter.cli.reading import read_recording

    check_output(arguments.output, arguments.overwrite, arguments.path)
    try:
        params = HuidurepSorter.default_params() | gather_parameters(arguments)
        binary = {name: getattr(arguments, name) for name in ("sampling_frequency", "num_channels", "dtype")}
        recording = read_recording(
            arguments.path, arguments.format, stream=arguments.stream, probe=arguments.probe, binary=binary
        )
        if not recording.has_probe():
            raise ValueError("the recording has no probe: give --probe, a probeinterface .json or .prb file")
        HuidurepSorter._check_params(recording, None, params)
    except Exception as error:  # readers raise many kinds: whatever stops us here is the input's
        raise UsageError(str(error) or type(error).__name__) from error
    sorting = run_sorter(
        "huidurep",
        recording,
        folder=arguments.output,
        remove_existing_folder=True,
        verbose=arguments.verbose,
        **params,
    )
    if arguments.export_phy:
        export_phy(sorting, recording, arguments.output / "phy", params["job_kwargs"])
    print(f"{len(sorting.unit_ids)} units, {sorting.to_spike_vector().size} spikes: {arguments.output}")
    return 0


def check_output(output, overwrite, source):
    """Never remove what isn't an earlier output of ours, nor what we are about to read."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise UsageError(f"{output} exists: give --overwrite or another folder")
    if output.resolve() in (source.resolve(), *source.resolve().parents):
        raise UsageError(f"{output} holds the recording to sort: give another folder")
    if not (output / "spikeinterface_params.json").is_file():
        raise UsageError(f"{output} isn't the output of a sorter: it is left alone")


def gather_parameters(arguments):
    """Parameters from the file, and over them those of the command line."""
    params = read_parameters(arguments.params) if arguments.params else {}
    given = {k.removeprefix("parameter:"): v for k, v in vars(arguments).items() if k.startswith("parameter:")}
    unknown = sorted(set(params) - set(SortingParameters.defaults()) - {"job_kwargs"})
    if unknown:
        raise ValueError(f"{arguments.params}: unknown parameter {unknown[0]!r}")
    params = params | given
    if arguments.n_jobs is not None:
        params["job_kwargs"] = dict(params.get("job_kwargs") or {}, n_jobs=arguments.n_jobs)
    return params


def read_parameters(path):
    """A dict from a YAML or JSON file (JSON is YAML)."""
    import yaml

    try:
        params = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"can't read the parameters in {path}: {error}") from None
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise ValueError(f"{path} must hold names and values of parameters")
    return params


def export_phy(sorting, recording, folder, job_kwargs):
    """Write a folder that Phy opens; nothing where there is no unit."""
    from spikeinterface.core import create_sorting_analyzer
    from spikeinterface.exporters import export_to_phy
    from spikeinterface.preprocessing import bandpass_filter

    if len(sorting.unit_ids) == 0:
        print("no unit: nothing to export to Phy")
        return
    partial = folder.with_name("phy.partial")
    analyzer = create_sorting_analyzer(
        sorting, bandpass_filter(recording, dtype="float32"), verbose=False, job_kwargs=job_kwargs
    )
    analyzer.compute(["random_spikes", "waveforms", "templates", "noise_levels"], **job_kwargs)
    export_to_phy(analyzer, partial, compute_pc_features=False, compute_amplitudes=False, verbose=False, **job_kwargs)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
