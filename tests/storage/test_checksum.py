"""CRC32C."""

from hypothesis import given
from hypothesis import strategies as st

from storage.checksum import crc32c, crc32c_portable


def test_the_checksum_is_crc32c() -> None:
    # The check value of the polynomial, and the vectors of RFC 3720 (iSCSI), appendix B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(31, -1, -1))) == 0x113FDB5C
    assert crc32c(b"") == 0


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_both_forms_agree_and_a_seed_goes_on(first: bytes, second: bytes) -> None:
    assert crc32c(first) == crc32c_portable(first)
    assert crc32c(second, crc32c(first)) == crc32c(first + second)
    assert crc32c_portable(second, crc32c(first)) == crc32c(first + second)


def test_a_view_is_taken_as_it_is() -> None:
    assert crc32c(memoryview(b"x123456789")[1:]) == 0xE3069283
    assert crc32c(bytearray(b"123456789")) == 0xE3069283
