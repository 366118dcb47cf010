"""Tests cql/parser/lexer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.parser import lexer
from cql.parser.lexer import EOF, ERROR, tokenize


def kinds(text: str) -> list[str]:
    return tokenize(text)[0][:-1]


def values(text: str) -> list[str]:
    return tokenize(text)[1][:-1]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("select", "K_SELECT", "select"),
        ("SELECT", "K_SELECT", "SELECT"),
        ("selects", lexer.IDENT, "selects"),
        ("a_1", lexer.IDENT, "a_1"),
        ('"Ab"', lexer.QUOTED_NAME, "Ab"),
        ('"a""b"', lexer.QUOTED_NAME, 'a"b'),
        ('""', lexer.EMPTY_QUOTED_NAME, '""'),
        ("''", lexer.STRING, ""),
        ("'it''s'", lexer.STRING, "it's"),
        ("'a\nb'", lexer.STRING, "a\nb"),
        ("$$it's$$", lexer.STRING, "it's"),
        ("$$ a $ b $$", lexer.STRING, " a $ b "),
        ("12", lexer.INTEGER, "12"),
        ("-12", lexer.INTEGER, "-12"),
        ("1.5", lexer.FLOAT, "1.5"),
        ("1.", lexer.FLOAT, "1."),
        ("-1.5e-3", lexer.FLOAT, "-1.5e-3"),
        ("1E5", lexer.FLOAT, "1E5"),
        ("nan", "K_POSITIVE_NAN", "nan"),
        ("-NaN", "K_NEGATIVE_NAN", "-NaN"),
        ("-infinity", "K_NEGATIVE_INFINITY", "-infinity"),
        ("true", lexer.BOOLEAN, "true"),
        ("FALSE", lexer.BOOLEAN, "FALSE"),
        ("0xCAFE", lexer.HEX, "0xCAFE"),
        ("0x", lexer.HEX, "0x"),
        (
            "50554d6e-29bb-11e5-b345-feff819cdc9f",
            lexer.UUID,
            "50554d6e-29bb-11e5-b345-feff819cdc9f",
        ),
        ("1y2mo3d4h5m6s7ms8us9ns", lexer.DURATION, "1y2mo3d4h5m6s7ms8us9ns"),
        ("-2µs", lexer.DURATION, "-2µs"),
        ("P1Y2M", lexer.DURATION, "P1Y2M"),
        ("-P1W", lexer.DURATION, "-P1W"),
        ("PT5H6M", lexer.DURATION, "PT5H6M"),
        ("P0001-02-03T04:05:06", lexer.DURATION, "P0001-02-03T04:05:06"),
        ("P1Yx", lexer.IDENT, "P1Yx"),
        ("?", lexer.QMARK, "?"),
        ("..", lexer.RANGE, ".."),
        ("table", "K_COLUMNFAMILY", "table"),
        ("expr(", lexer.EXPR, "expr("),
    ],
)
def test_one_token_has_its_kind_and_value(text: str, kind: str, value: str) -> None:
    assert (kinds(text), values(text)) == ([kind], [value])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1..2", [lexer.INTEGER, lexer.RANGE, lexer.INTEGER]),
        ("1...2", [lexer.FLOAT, lexer.RANGE, lexer.INTEGER]),
        ("a-1", [lexer.IDENT, lexer.INTEGER]),
        ("a - 1", [lexer.IDENT, "'-'", lexer.INTEGER]),
        ("n+=1", [lexer.IDENT, "'+='", lexer.INTEGER]),
        ("n-=1", [lexer.IDENT, "'-='", lexer.INTEGER]),
        ("a<=b", [lexer.IDENT, "'<='", lexer.IDENT]),
        ("a!=b", [lexer.IDENT, "'!='", lexer.IDENT]),
        ("ks.t", [lexer.IDENT, "'.'", lexer.IDENT]),
        ("1 / 2", [lexer.INTEGER, "'/'", lexer.INTEGER]),
        ("123abc", [lexer.INTEGER, lexer.IDENT]),
    ],
)
def test_neighbouring_tokens_are_told_apart(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


@pytest.mark.parametrize(
    "text", ["-- c\n", "-- c", "// c\r", "/* a\n * b */", "/**/", " \t\r\n", "-- a\n// b\n/* c */"]
)
def test_blanks_and_comments_are_not_seen(text: str) -> None:
    assert kinds(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 'x", "line 1:6 mismatched character '<EOF>' expecting '''"),
        ("a\n'x", "line 2:2 mismatched character '<EOF>' expecting '''"),
        ('"x', "line 1:2 mismatched character '<EOF>' expecting '\"'"),
        ("a @", "line 1:2 no viable alternative at character '@'"),
        ("a ! b", "line 1:3 mismatched character ' ' expecting '='"),
        ("$x", "line 1:1 mismatched character 'x' expecting '$'"),
        ("é", "line 1:0 no viable alternative at character 'é'"),
    ],
)
def test_what_is_no_token_becomes_an_error_with_its_place(text: str, message: str) -> None:
    all_kinds, all_values, _ = tokenize(text)
    assert all_kinds[-2:] == [ERROR, EOF]
    assert all_values[-2] == message


def test_every_keyword_is_either_reserved_or_a_name() -> None:
    for word, kind in lexer.KEYWORDS.items():
        assert (word in lexer.RESERVED_WORDS) != (kind in lexer.UNRESERVED or kind == lexer.BOOLEAN)


@given(st.text())
def test_any_text_has_tokens_in_their_order(text: str) -> None:
    all_kinds, all_values, starts = tokenize(text)
    assert len(all_kinds) == len(all_values) == len(starts)
    assert starts == sorted(starts)
    assert all_kinds[-1] == EOF
    assert ERROR not in all_kinds[:-2]


@given(st.text(alphabet="'\"$-/*. e1x\n", max_size=20))
def test_quotes_and_comments_in_any_mixture_end_somewhere(text: str) -> None:
    assert tokenize(text)[0][-1] == EOF


@pytest.mark.parametrize("blanks", [" ", " \n", "\t \r\n"])
def test_millions_of_blanks_are_taken_at_once(blanks: str) -> None:
    text = f"SELECT{blanks * (8_000_000 // len(blanks))}key"
    began = time.process_time()
    found = tokenize(text)
    assert time.process_time() - began < 0.5
    assert found[1] == ["SELECT", "key", "<EOF>"]
    assert found[2] == [0, len(text) - 3, len(text)]


def test_blanks_between_many_words_are_no_reason_to_look_at_the_rest_again() -> None:
    text = "a  " * 200_000
    began = time.process_time()
    assert len(tokenize(text)[0]) == 200_001
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("sign", ["(", "a ", "--\n"])
def test_a_statement_of_too_many_tokens_is_an_error(sign: str) -> None:
    most = tokenize(sign * (lexer.TOKENS_MAX - 1))
    assert ERROR not in most[0]
    found, said, _ = tokenize(sign * (lexer.TOKENS_MAX + 1))
    assert found[-2:] == [ERROR, EOF]
    assert said[-2] == "a statement has at most 500000 words and signs"
    assert len(found) <= lexer.TOKENS_MAX + 2
