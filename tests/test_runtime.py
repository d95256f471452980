import importlib.util
import logging

from huidurep_sorter.runtime import keep_compiled, read_stages, stage

SOURCE = """
from numba import jit

@jit(nopython=True)
def twice(x):
    return 2 * x
"""


def load(path):
    spec = importlib.util.spec_from_file_location("doubling", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_one_process_compiled_the_next_one_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "doubling.py"
    path.write_text(SOURCE)
    first, second = load(path), load(path)
    keep_compiled(first, second)
    assert first.twice(2) == second.twice(2) == 4
    assert sum(first.twice.stats.cache_misses.values()) == 1
    assert sum(second.twice.stats.cache_hits.values()) == 1


def test_without_a_folder_to_write_to_it_is_compiled_anew(tmp_path, monkeypatch, caplog):
    path = tmp_path / "doubling.py"
    path.write_text(SOURCE)
    module = load(path)

    def refuse(dispatcher):
        raise RuntimeError("cannot cache function 'twice': no locator available")

    monkeypatch.setattr(type(module.twice), "enable_caching", refuse)
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        keep_compiled(module)
    assert module.twice(2) == 4
    assert "no locator" in caplog.text


def test_what_a_stage_took_is_read_from_the_log_that_it_wrote(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        for _ in range(2):
            with stage("detect"):
                sum(range(20_000_000))
        logging.getLogger("huidurep_sorter").info("recording: 4 channels, 2 s")
    log = "".join(f"2026-01-01 INFO {message}\n" for message in caplog.messages)
    stages = read_stages(log)
    assert list(stages) == ["detect"] and len(stages["detect"]) == 2
    for seconds, cpu_seconds, gigabytes in stages["detect"]:
        assert 0 < seconds < 60 and 0 < cpu_seconds < 60 and 0.02 < gigabytes < 100
