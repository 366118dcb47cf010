"""Arbitrary and almost correct CQL text: the parser answers with a statement or a typed error."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cql.errors import InvalidRequest, SyntaxException
from cql.parser import lexer
from cql.parser.grammar import parse

GOLDEN = Path(__file__).parents[1] / "golden"
STATEMENTS = [
    entry["cql"] for entry in json.loads((GOLDEN / "transcript.json").read_text())["data"]
]
SIGNS = "( ) [ ] { } , ; : = < > <= >= != += -= . .. + - * / % ? expr( $$ ' \" /* */ --"
WORDS = [
    *sorted(lexer.KEYWORDS),
    *SIGNS.split(),
    "\n",
    *("a", '"B"', "'s'", "1", "-1", "1.5", "0xff", "1h", "P1Y", "1..2", '""', "é", "\x00"),
    "50554d6e-29bb-11e5-b345-feff819cdc9f",
]
MUTATIONS_QUICK, MUTATIONS_LONG = 10_000, 1_000_000
LINEAR_SIZE = 20_000
LINEAR_MAX_S = 5.0


def check(text: str) -> None:
    """Parse, where only the two kinds of refusal may come out."""
    try:
        parse(text)
    except (SyntaxException, InvalidRequest) as error:
        assert error.message


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from(WORDS), max_size=25))
@settings(max_examples=500)
def test_any_sequence_of_words_is_answered(words: list[str]) -> None:
    check(" ".join(words))


@given(st.sampled_from(STATEMENTS), st.lists(st.sampled_from(WORDS), min_size=1, max_size=8))
@settings(max_examples=300)
def test_any_beginning_with_any_end_is_answered(statement: str, words: list[str]) -> None:
    for cut in range(0, len(statement), 7):
        check(statement[:cut] + " " + " ".join(words))


def test_mutated_statements_are_answered(seed: int, request: pytest.FixtureRequest) -> None:
    chance = random.Random(seed)
    is_long = request.config.getoption("--long")
    for _ in range(MUTATIONS_LONG if is_long else MUTATIONS_QUICK):
        check(mutated(chance, chance.choice(STATEMENTS)))


def mutated(chance: random.Random, text: str) -> str:
    """The text with a few characters or words lost, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.randint(0, 6))
        middle = chance.choice(
            ["", text[start:end] * 2, chance.choice(WORDS), chr(chance.randrange(256))]
        )
        text = text[:start] + middle + text[end:]
    return text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + ", ".join(["a"] * LINEAR_SIZE) + " FROM t",
        "INSERT INTO t (a) VALUES ([" + ", ".join(["1"] * LINEAR_SIZE) + "])",
        "SELECT * FROM t WHERE a IN (" + ", ".join(["?"] * LINEAR_SIZE) + ")",
        "SELECT * FROM t WHERE a = " + " + ".join(["1"] * LINEAR_SIZE),
        "SELECT * FROM t WHERE " + " AND ".join(["a = 1"] * LINEAR_SIZE),
        "SELECT * FROM t WHERE a = '" + "''" * LINEAR_SIZE + "'",
        "SELECT * FROM t WHERE a = '" + "''" * LINEAR_SIZE,
        "/*" * LINEAR_SIZE,
        "-" * LINEAR_SIZE,
        "(" * LINEAR_SIZE,
        "SELECT * FROM t WHERE " + "(" * LINEAR_SIZE,
        "SELECT " + "(int)" * LINEAR_SIZE,
        "SELECT " + "(a) " * LINEAR_SIZE,
        "SELECT * FROM t " + "\n" * LINEAR_SIZE + "x",
        "CREATE TABLE t (" + ", ".join(f"c{i} int" for i in range(LINEAR_SIZE)) + ")",
        "SELECT a" + ".b" * LINEAR_SIZE + " FROM t",
        "SELECT a" + "[1]" * LINEAR_SIZE + " FROM t",
        "1y" * LINEAR_SIZE,
        "9" * LINEAR_SIZE,
        "$$" * LINEAR_SIZE + "x",
    ],
    ids=lambda text: text[:24],
)
def test_long_texts_take_time_in_proportion(text: str) -> None:
    start = time.process_time()
    check(text)
    assert time.process_time() - start < LINEAR_MAX_S
