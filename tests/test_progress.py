"""What is said of the progress of a sorting, from the log's records."""

import logging

from huidurep_sorter.progress import SHARES, Progress, show_progress
from huidurep_sorter.runtime import stage

logger = logging.getLogger("huidurep_sorter.spikes.detection")


def run_stages(names, rewrites, capfd, caplog):
    caplog.set_level(logging.INFO, logger="huidurep_sorter")
    with show_progress(rewrites):
        for name in names:
            with stage(name):
                logger.info("5 peaks")
        logger.warning("a channel is silent")
    logger.info("after the end")
    return capfd.readouterr().err


def test_shares_are_of_the_whole():
    assert sum(SHARES.values()) == 100


def test_each_stage_has_a_line(capfd, caplog):
    lines = run_stages(["prepare", "detect", "unknown"], False, capfd, caplog).splitlines()
    assert len(lines) == 2
    assert lines[0] == "huidurep: stage 1 of 15, prepare: about 0 % done in 0:00"
    assert lines[1].startswith("huidurep: stage 3 of 15, detect: about 21 % done in 0:0")


def test_a_terminal_has_one_line_that_is_taken_away(capfd, caplog):
    text = run_stages(["prepare", "detect"], True, capfd, caplog)
    assert "\n" not in text and text.count("stage") == 2
    assert text.endswith("\r\x1b[2K")


def test_what_is_left_is_of_what_was_done_and_progress_does_not_go_back():
    progress = Progress(rewrites=True)
    assert progress.describe("represent", 390) == (
        "huidurep: stage 6 of 15, represent: about 39 % done in 6:30, 10:10 left"
    )
    assert "about 39 %" in progress.describe("detect", 400)  # again, after motion was corrected
