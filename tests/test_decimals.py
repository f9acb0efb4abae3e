"""Decimal strings in bulk: the same bits as `float`, and the same refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contourdesk.app.decimals import parse_decimals

digits = st.text("0123456789", max_size=10)
plain = st.builds(lambda s, a, b: f"{s}{a}.{b}", st.sampled_from(["", "-"]), digits, digits).filter(
    lambda t: any(c.isdigit() for c in t)
)
whole = st.integers(-(10**12), 10**12).map(str)
odd = st.floats(-1e9, 1e9).map(repr) | st.floats(-1e9, 1e9).map(lambda v: f" {v:+.6E} ")


@settings(deadline=None)
@given(st.lists(plain | whole | st.floats(-5000, 5000).map(lambda v: f"{v:.3f}"), min_size=1, max_size=20))
def test_plain_numbers_have_the_bits_that_float_gives(tokens: list[str]) -> None:
    found = parse_decimals("\\".join(tokens).encode())
    assert found.tobytes() == np.array([float(t) for t in tokens]).tobytes()


@settings(deadline=None)
@given(st.lists(plain | whole | odd, min_size=1, max_size=12))
def test_so_have_numbers_with_exponents_blanks_and_many_digits(tokens: list[str]) -> None:
    found = parse_decimals("\\".join(tokens).encode())
    assert found.tobytes() == np.array([float(t) for t in tokens]).tobytes()


@pytest.mark.parametrize("text", [b"", b" ", b"\0", b"  \0"])
def test_nothing_gives_none(text: bytes) -> None:
    assert parse_decimals(text).shape == (0,)


@pytest.mark.parametrize(
    "text",
    [b"1\\\\2", b"\\1", b"1\\", b"-\\1", b"1-2\\3", b"--1", b"1.2.3", b".", b"-.", b"1\\nan", b"inf", b"1e999", b"1_0",
     b"1 2", b"0x10", b"1,5", b"\xff", b"1e", b"\xd9\xa1"],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"number"):
        parse_decimals(text)
