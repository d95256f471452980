"""The command line: exit codes that a script can trust, and one line on stderr."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from probeinterface import write_probeinterface
from spikeinterface.core import NumpyRecording, NumpySorting, load
from spikeinterface.sorters import read_sorter_folder

from huidurep_sorter import __version__
from huidurep_sorter.cli.main import main, one_line
from huidurep_sorter.cli.sort import read_value
from huidurep_sorter.parameter_fields import by_stage
from huidurep_sorter.parameters import SortingParameters


@pytest.fixture
def source(tetrode):
    return str(tetrode[0]._kwargs["folder_path"])


@pytest.fixture
def spy(monkeypatch):
    """Stands in for the pipeline: one unit of two spikes; remembers what it was asked."""
    seen = {}

    def sort_recording(recording, parameters, **kwargs):
        seen.update(recording=recording, parameters=parameters, **kwargs)
        return NumpySorting.from_unit_dict([{"0": np.array([500, 900])}], recording.sampling_frequency)

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", sort_recording)
    monkeypatch.setattr("huidurep_sorter.sorter.check_encoder", lambda parameters: None)
    return seen


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


def test_an_analyzer_is_made_for_real(source, quick, tmp_path):
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(quick))
    out = tmp_path / "out"
    assert main(["sort", source, "-o", str(out), "--params", str(tmp_path / "quick.yaml"), "--analyzer"]) == 0
    analyzer = load(out / "analyzer")
    assert list(analyzer.unit_ids) == list(read_sorter_folder(out).unit_ids)
    metrics = analyzer.get_extension("quality_metrics").get_data()
    assert (metrics["isi_violations_ratio"] >= 0).all() and "huidurep_snr" in analyzer.sorting.get_property_keys()
    n_random = len(analyzer.get_extension("random_spikes").get_data())
    assert len(analyzer.get_extension("huidurep_embeddings").get_data()) == n_random > 0


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
    return others.get(name) or str(default + (1 if type(default) is int else 0.1))


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
        (["--n-jobs", "0"], "job_kwargs: n_jobs must be"),
        (["--seed", "1.5"], "invalid int value"),
        (["--seed", "4294967296"], "seed must be"),
        (["--batch-size", "1e3"], "batch_size must be a whole number"),
        (["--batch-size", "yes"], "batch_size must be a whole number"),
        (["--torch-device", "meta"], "torch_device must be"),
        (["--apply-motion-correction", "maybe"], "apply_motion_correction must be one of"),
        (["--apply-motion-correction", "1"], "apply_motion_correction must be one of"),
        (["--apply-motion-correction", "["], "apply_motion_correction must be one of"),
        (["--join-fragments"], "unrecognized arguments"),
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
    assert "unknown parameter 'no_such'" in line and "p.yaml" in line
    (tmp_path / "p.yaml").write_text("min_confidence: 0.5")
    line = fails(capsys, 2, "sort", source, "-o", tmp_path / "o", "--params", tmp_path / "p.yaml")
    assert "'min_unit_probability' decides in its place" in line
    (tmp_path / "p.yaml").write_text("job_kwargs: {chunk_duration: abc}")
    assert "chunk_duration" in fails(capsys, 2, "sort", source, "-o", tmp_path / "o", "--params", tmp_path / "p.yaml")
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
    assert one_line(ValueError("a\n  b")) == "a b" and one_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("kinds", "text", "value"),
    [
        ((bool, str), "true", True),
        ((bool, str), "no", False),
        ((bool, str), "auto", "auto"),
        ((bool, str), "1", "1"),  # to be refused as what it was, not taken for True
        ((str,), "no", "no"),
        ((str,), "1", "1"),
        ((str,), "null", "null"),
        ((str,), "cuda:1", "cuda:1"),
        ((str, Path, type(None)), "none", None),
        ((str, Path, type(None)), "null", None),
        ((str, Path, type(None)), "2024-01-01", "2024-01-01"),
        ((str, Path, type(None)), "C:\\weights: mine.pt", "C:\\weights: mine.pt"),
        ((int, type(None)), "64", 64),
        ((int, type(None)), "None", None),
        ((int, type(None)), "64.5", "64.5"),
        ((int, type(None)), "1e3", "1e3"),
        ((int, type(None)), "[", "["),
    ],
)
def test_a_value_is_of_a_type_that_the_parameter_takes_or_the_text(kinds, text, value):
    found = read_value(kinds, text)
    assert found == value and type(found) is type(value)


def test_help_groups_parameters_by_stage_with_what_they_take(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "10000")
    with pytest.raises(SystemExit, match="0"):
        main(["sort", "--help"])
    text = capsys.readouterr().out
    starts = [text.index(f"parameters: {stage}:") for stage in by_stage(SortingParameters)]
    assert starts == sorted(starts)
    for item in fields(SortingParameters):
        option, about = "--" + item.name.replace("_", "-"), item.metadata["about"]
        (entry,) = [entry for entry in re.split("\n(?=  -)", text) if re.match(f"  {option}[ ,]", entry)]
        assert about.text in entry and about.unit in entry and f"(default: {item.default})" in entry
    assert "a number of at least 0.1 and at most 1000 (units of noise) (default: 5.0)" in text
    assert "one of 'matched_filtering', 'locally_exclusive'" in text and "at most 45 % of" in text


def test_help_of_the_command_loads_nothing_heavy():
    code = (
        "import sys; from huidurep_sorter.cli.main import build_parser; build_parser().format_help(); "
        "heavy = {'torch', 'sklearn', 'hdbscan', 'neo', 'huidurep_sorter.spikes', 'huidurep_sorter.templates'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
