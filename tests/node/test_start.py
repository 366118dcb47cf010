"""A start that cannot be: one sentence for the person who typed the command."""

import errno
from pathlib import Path

import pytest

import storage.direct_disk
from node.config import build_config
from node.start import EXIT_CANNOT_START, start_node
from storage.uring import IoUring


def test_rings_that_are_forced_and_refused_end_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> IoUring:
        raise OSError(errno.EPERM, "refused")

    monkeypatch.setattr(storage.direct_disk, "IoUring", refuse)
    config = build_config({"data_directory": str(tmp_path / "data"), "io": "uring", "shards": 1})
    assert start_node(config) == EXIT_CANNOT_START
    assert capsys.readouterr().err == (
        "pythia: io_uring is not allowed here (Operation not permitted); "
        "start with --io auto or --io threads\n"
    )
