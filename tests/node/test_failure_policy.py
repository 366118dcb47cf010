"""The policies of cassandra.yaml, as they decide about a failed shard."""

from __future__ import annotations

import errno

import pytest

from cluster.schema_log import SchemaLogFailed
from node.config import Config, ConfigError, parse_setting
from node.failure_policy import Verdict, advice_on, outlives_damage, verdict_on
from storage.errors import (
    CommitLogFailed,
    CorruptCommitLog,
    CorruptFile,
    DiskError,
    DiskReadOnly,
    ManifestFailed,
)

DISK_ERRORS = [
    DiskError(errno.EIO, "write", "a"),
    DiskReadOnly(errno.EROFS, "write", "a"),
    ManifestFailed("half way"),
    SchemaLogFailed("a sync"),
    CorruptFile("a.sst", 4096, "a frame whose checksum is wrong"),
]


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ("stop", Verdict.HALT),
        ("die", Verdict.DIE),
        ("stop_commit", Verdict.SHUT),
        ("ignore", Verdict.AGAIN),
    ],
)
def test_the_commit_log_has_a_policy_of_its_own(policy: str, verdict: Verdict) -> None:
    assert verdict_on(CommitLogFailed("a sync"), policy, "ignore") is verdict
    assert parse_setting("commit_failure_policy", policy) == policy


@pytest.mark.parametrize("error", DISK_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ("stop", Verdict.HALT),
        ("stop_paranoid", Verdict.HALT),
        ("die", Verdict.DIE),
        ("best_effort", Verdict.AGAIN),
        ("ignore", Verdict.AGAIN),
    ],
)
def test_a_failed_disk_follows_the_disk_policy(
    error: BaseException, policy: str, verdict: Verdict
) -> None:
    assert verdict_on(error, "ignore", policy) is verdict
    assert parse_setting("disk_failure_policy", policy) == policy


def test_a_mistake_of_ours_is_started_over_whatever_the_policies() -> None:
    assert verdict_on(AssertionError("ours"), "die", "die") is Verdict.AGAIN


@pytest.mark.parametrize(
    ("policy", "damaged_file", "error_of_the_disk"),
    [
        ("stop", True, False),
        ("stop_paranoid", False, False),
        ("die", False, False),
        ("best_effort", True, True),
        ("ignore", True, True),
    ],
)
def test_which_policies_go_on_beside_a_file_that_cannot_be_read(
    policy: str, damaged_file: bool, error_of_the_disk: bool
) -> None:
    assert outlives_damage(CorruptFile("a.sst", 0, "bits"), policy) is damaged_file
    assert outlives_damage(DiskError(errno.EIO, "read", "a.sst"), policy) is error_of_the_disk


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [("stop", Verdict.HALT), ("stop_commit", Verdict.HALT), ("die", Verdict.DIE)],
)
def test_a_log_that_cannot_be_replayed_ends_the_service(policy: str, verdict: Verdict) -> None:
    assert verdict_on(CorruptCommitLog("a.log", 0, "bits"), policy, "ignore") is verdict


def test_advice_is_for_the_file_that_is_damaged() -> None:
    def advice(path: str) -> str:
        return advice_on(CorruptFile(path, 0, "bits"))

    assert "copy" in advice("data/schema/schema-000000000001.log")
    assert "ignore" in advice("data/shard-1/commitlog/commitlog-1.log")
    assert "shard" in advice("data/shard-1/manifest")
    assert advice("data/other") == "" == advice_on(AssertionError())


def test_both_policies_stop_by_default_and_refuse_what_they_do_not_know() -> None:
    assert (Config().commit_failure_policy, Config().disk_failure_policy) == ("stop", "stop")
    for key in ("commit_failure_policy", "disk_failure_policy"):
        with pytest.raises(ConfigError, match="one of stop"):
            parse_setting(key, "hope")
