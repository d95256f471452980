"""The command line: exit codes that a script can trust, and one line on stderr."""

import json
import subprocess
import sys

import pytest
import yaml
from spikeinterface.core import NumpyRecording, load
from spikeinterface.sorters import read_sorter_folder

from huidurep_sorter import __version__
from huidurep_sorter.cli.main import main, one_line
from huidurep_sorter.cli.sort import plain_value
from huidurep_sorter.parameters import SortingParameters


@pytest.fixture
def source(tetrode):
    return str(tetrode[0]._kwargs["folder_path"])


@pytest.fixture
def spy(monkeypatch):
    """Stands in for the pipeline: one unit of two spikes; remembers what it was asked."""
    from spikeinterface.core import NumpySorting

    seen = {}

    def sort_recording(recording, parameters, **kwargs):
        seen.update(recording=recording, parameters=parameters, **kwargs)
        return NumpySorting.from_unit_dict([{"0": np_array([500, 900])}], recording.sampling_frequency)

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", sort_recording)
    monkeypatch.setattr("huidurep_sorter.sorter.check_encoder", lambda parameters: None)
    return seen


def np_array(values):
    import numpy as np

    return np.array(values)


def fails(capsys, code, *args):
    """The one line on stderr of a command that must fail with that code."""
    try:
        found = main([str(a) for a in args])
    except SystemExit as exit:
        found = exit.code
    error = capsys.readouterr().err
    assert found == code, error
    (line,) = [line for line in error.splitlines() if line.startswith("huidurep") and "error: " in line]
    assert "Traceback" not in error
    return line


def test_sort_for_real_with_phy(source, quick, tmp_path, capsys):
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(quick))
    out = tmp_path / "out"
    assert main(["sort", source, "-o", str(out), "--params", str(tmp_path / "quick.yaml"), "--export-phy"]) == 0
    sorting = read_sorter_folder(out)
    assert f"{len(sorting.unit_ids)} units" in capsys.readouterr().out
    assert (out / "phy" / "params.py").is_file()
    assert not (out / "phy.partial").exists()


def test_every_parameter_is_an_option(source, tmp_path, spy):
    for name, default in SortingParameters.defaults().items():
        option = "--" + name.replace("_", "-")
        given = [f"--no-{option[2:]}" if default else option] if isinstance(default, bool) else [option, _other(name)]
        assert main(["sort", source, "-o", str(tmp_path / name), *given]) == 0
        changed = {n for n, d in SortingParameters.defaults().items() if getattr(spy["parameters"], n) != d}
        assert changed == {name}


def _other(name):
    others = {
        "apply_motion_correction": "false",
        "cache_preprocessing_mode": "memory",
        "peak_sign": "both",
        "detection_method": "locally_exclusive",
        "features": "svd",
        "weights": "mine",
        "torch_device": "cpu",
        "batch_size": "64",
        "clustering_method": "gmm",
        "matching_method": "circus-omp",
    }
    default = SortingParameters.defaults()[name]
    return others.get(name) or str(default + 1)


def test_options_override_the_file_and_jobs_are_passed(source, tmp_path, spy):
    (tmp_path / "p.json").write_text(
        json.dumps({"detect_threshold": 7.0, "seed": 3, "job_kwargs": {"chunk_duration": "2s"}})
    )
    assert (
        main(
            [
                "sort",
                source,
                "-o",
                str(tmp_path / "o"),
                "--params",
                str(tmp_path / "p.json"),
                "--seed",
                "9",
                "--n-jobs",
                "2",
            ]
        )
        == 0
    )
    assert (spy["parameters"].detect_threshold, spy["parameters"].seed) == (7.0, 9)
    assert spy["job_kwargs"] == {"chunk_duration": "2s", "n_jobs": 2}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--detect-threshold", "five"], "invalid float value"),
        (["--detect-threshold", "-1"], "detect_threshold"),
        (["--peak-sign", "down"], "peak_sign"),
        (["--no-such-option"], "unrecognized arguments"),
        (["--format", "mat"], "no format"),
        (["--params", "nothing.yaml"], "can't read the parameters"),
        (["--probe", "nothing.json"], "doesn't exist"),
        (["--weights", "nothing"], "no weights 'nothing'"),
        (["--n-jobs", "two"], "invalid int value"),
    ],
)
def test_bad_options(source, tmp_path, capsys, args, message):
    assert message in fails(capsys, 2, "sort", source, "-o", tmp_path / "o", *args)
    assert not (tmp_path / "o").exists()


def test_bad_input(source, tmp_path, capsys, tetrode):
    assert "doesn't exist" in fails(capsys, 2, "sort", tmp_path / "no", "-o", tmp_path / "o")
    assert "can't tell the format" in fails(capsys, 2, "sort", tmp_path, "-o", tmp_path / "o")
    bare = NumpyRecording([tetrode[0].get_traces()], 25000.0)
    bare.save(folder=tmp_path / "bare", verbose=False, progress_bar=False)
    assert "--probe" in fails(capsys, 2, "sort", tmp_path / "bare", "-o", tmp_path / "o")
    (tmp_path / "p.yaml").write_text("no_such: 1")
    line = fails(capsys, 2, "sort", source, "-o", tmp_path / "o", "--params", tmp_path / "p.yaml")
    assert "unknown parameter 'no_such'" in line
    assert "-o" in fails(capsys, 2, "sort", source)


def test_output_is_only_replaced_when_told_and_when_ours(source, tmp_path, capsys, spy):
    out = tmp_path / "o"
    assert main(["sort", source, "-o", str(out)]) == 0
    assert "--overwrite" in fails(capsys, 2, "sort", source, "-o", out)
    (out / "old").touch()
    assert main(["sort", source, "-o", str(out), "--overwrite"]) == 0
    assert not (out / "old").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    assert "left alone" in fails(capsys, 2, "sort", source, "-o", tmp_path / "thesis", "--overwrite")
    assert (tmp_path / "thesis" / "chapter.txt").exists()
    assert "holds the recording" in fails(capsys, 2, "sort", source, "-o", source, "--overwrite")
    assert load(source).get_num_channels() == 4


def test_failed_sorting_is_1_and_one_line(source, tmp_path, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError("not\nenough")

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", fail)
    args = ["sort", source, "-o", tmp_path / "o", "--features", "svd"]
    assert "enough" in fails(capsys, 1, *args)
    with pytest.raises(Exception, match="Spike sorting error trace"):
        main([str(a) for a in [*args, "--overwrite", "--traceback"]])


def test_interrupt_is_130(source, tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", interrupt)
    assert main(["sort", source, "-o", str(tmp_path / "o"), "--features", "svd"]) == 130
    assert not (tmp_path / "o" / "sorter_output" / "sorting").exists()


def test_binary_options(tetrode, tmp_path, spy):
    from probeinterface import write_probeinterface

    tetrode[0].get_traces().tofile(tmp_path / "t.raw")
    write_probeinterface(tmp_path / "p.json", tetrode[0].get_probe())
    described = ["--sampling-frequency", "25000", "--num-channels", "4", "--dtype", "float32"]
    out = str(tmp_path / "o")
    assert main(["sort", str(tmp_path / "t.raw"), "-o", out, "--probe", str(tmp_path / "p.json"), *described]) == 0
    assert spy["recording"].get_num_samples() == tetrode[0].get_num_samples()


def test_console_script_and_help():
    done = subprocess.run([sys.executable, "-m", "huidurep_sorter", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == f"huidurep-sorter {__version__}" and done.returncode == 0
    help_text = subprocess.run(
        [sys.executable, "-m", "huidurep_sorter", "sort", "--help"], capture_output=True, text=True
    )
    assert "exit codes: 0 done; 1" in " ".join(help_text.stdout.split()) and "--detect-threshold" in help_text.stdout


def test_small_helpers():
    assert [plain_value(v) for v in ("true", "False", "none", "64", "cuda:1")] == [
        True,
        False,
        None,
        64,
        "cuda:1",
    ]
    assert one_line(ValueError("a\n  b")) == "a b" and one_line(KeyError()) == "KeyError"
