"""Settings: where they come from, what is allowed, what is said when it is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from node.config import (
    MIB,
    Config,
    ConfigError,
    build_config,
    parse_setting,
    shown_settings,
)


def _file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "pythia.yaml"
    path.write_text(text)
    return str(path)


def test_the_file_uses_the_names_and_units_of_cassandra_yaml(tmp_path: Path) -> None:
    config = build_config(
        {},
        _file(
            tmp_path,
            "cluster_name: Blue\nnative_transport_port: 9999\ncommitlog_sync_period: 2500ms\n"
            "commitlog_segment_size: 8MiB\ndata_file_directories:\n  - /d\n",
        ),
    )
    assert (config.cluster_name, config.native_transport_port) == ("Blue", 9999)
    assert (config.commitlog_sync_period_s, config.commitlog_segment_bytes) == (2.5, 8 * MIB)
    assert config.data_directory == "/d"


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "native_transport_port: 9999\n")
    assert build_config({"native_transport_port": 1234}, path).native_transport_port == 1234


def test_an_unknown_name_is_a_warning_that_names_the_nearest_known_one(tmp_path: Path) -> None:
    config = build_config({}, _file(tmp_path, "clustername: Blue\n"))
    assert "'clustername'" in config.warnings[0]
    assert "'cluster_name'" in config.warnings[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shards: 0", ["shards", "0", "from 1 to 256"]),
        ("memory: 3MiB", ["memory", "3MiB", "bytes"]),
        ("commitlog_sync: never", ["commitlog_sync", "never", "periodic, batch, group"]),
        ("read_request_timeout: soon", ["read_request_timeout", "soon", "duration"]),
        ("compaction_throughput: 64", ["compaction_throughput", "64", "64MiB/s"]),
        ("concurrent_compactors: 0", ["concurrent_compactors", "0", "from 1 to 64"]),
        ("initial_token: x", ["initial_token", "x", "whole numbers"]),
        ("data_file_directories: [a, b]", ["data_file_directories", "exactly one"]),
    ],
)
def test_a_wrong_value_names_the_key_the_value_and_the_rule(
    tmp_path: Path, line: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        build_config({}, _file(tmp_path, line))
    assert all(word in str(error.value) for word in words)


def test_yaml_that_makes_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        build_config({}, _file(tmp_path, "cluster_name: !!python/object/apply:os.getcwd []\n"))


def test_an_address_that_others_reach_needs_insecure_listen() -> None:
    with pytest.raises(ConfigError, match="insecure-listen"):
        build_config({"rpc_address": "0.0.0.0"})
    assert build_config({"rpc_address": "0.0.0.0", "insecure_listen": True}).insecure_listen


def test_dev_means_one_shard_unless_a_number_is_given() -> None:
    assert build_config({"dev": True}).shards == 1
    assert build_config({"dev": True, "shards": 3}).shards == 3


def test_a_setting_is_shown_as_a_file_may_have_it() -> None:
    config = dataclasses.replace(
        Config(),
        commitlog_sync_period_s=0.25,
        read_request_timeout_s=90.0,
        memory_bytes=1536 * 1024 * 1024,
        batch_size_warn_bytes=5001,
        initial_token=(-5, 7),
        num_tokens=2,
    )
    shown = dict(shown_settings(config))
    assert shown["commitlog_sync_period"] == "250ms"
    assert shown["read_request_timeout"] == "90s"
    assert (shown["memory"], shown["batch_size_warn_threshold"]) == ("1536MiB", "5001B")
    values = set(dataclasses.astuple(config))
    for key, text in shown.items():
        assert parse_setting(key, text) in values, key


def test_a_number_of_shards_that_nobody_chose_gives_way_to_the_data(tmp_path: Path) -> None:
    file = tmp_path / "pythia.yaml"
    file.write_text("shards: 3\n")
    assert build_config({}).keeps_shards
    assert build_config({"dev": True}).keeps_shards
    assert not build_config({"shards": 3}).keeps_shards
    assert not build_config({}, str(file)).keeps_shards
    assert build_config({"dev": True}, str(file)).keeps_shards


@pytest.mark.parametrize(
    ("text", "rate"), [("0", 0), ("16MiB/s", 16 * MIB), ("512 kib/s", 512 * 1024), ("7B/s", 7)]
)
def test_a_rate_is_bytes_a_second(tmp_path: Path, text: str, rate: int) -> None:
    config = build_config({}, _file(tmp_path, f"compaction_throughput: {text}\n"))
    assert config.compaction_throughput_bytes == rate
    assert parse_setting(
        "compaction_throughput", dict(shown_settings(config))["compaction_throughput"]
    ) == (rate)


def test_shards_are_pinned_unless_somebody_says_that_the_machine_is_shared(tmp_path: Path) -> None:
    file = tmp_path / "pythia.yaml"
    file.write_text("overprovisioned: true\n")
    assert not build_config({}).overprovisioned
    assert build_config({}, str(file)).overprovisioned
    assert build_config({"overprovisioned": True}).overprovisioned
