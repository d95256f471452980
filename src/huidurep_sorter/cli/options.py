"""The options that say how a recording is to be read, the same for every command that takes raw traces."""

from pathlib import Path

from huidurep_sorter.cli.reading import format_names, read_recording


def add_reading_options(parser):
    """Add the options to a parser, those of binary files in a group of their own."""
    parser.add_argument(
        "--format",
        help=f"format of the recording, else guessed by content: {', '.join(format_names())}; "
        "a .pkl, which runs as code, needs it",
    )
    parser.add_argument(
        "--stream",
        help="stream, electrical series (NWB) or experiment (Open Ephys), or a part of its name, "
        "where the recording holds several with spikes",
    )
    parser.add_argument("--probe", type=Path, help="probeinterface .json or .prb file (a .prb runs as code)")
    binary = parser.add_argument_group("binary files")
    binary.add_argument("--sampling-frequency", type=float, help="in Hz")
    binary.add_argument("--num-channels", type=int)
    binary.add_argument("--dtype", help="such as int16 or float32")


def read_with_options(path, arguments):
    """Read a recording as the options say.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_recording` does, and where the recording has no probe.
    """
    binary = {name: getattr(arguments, name) for name in ("sampling_frequency", "num_channels", "dtype")}
    recording = read_recording(path, arguments.format, stream=arguments.stream, probe=arguments.probe, binary=binary)
    if not recording.has_probe():
        raise ValueError("the recording has no probe: give --probe, a probeinterface .json or .prb file")
    return recording
