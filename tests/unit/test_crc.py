import pytest

from s3proto.crc import CRC32, CRC32C, CRC64NVME, Crc


@pytest.mark.parametrize(("crc", "check"), [(CRC32, 0xCBF43926), (CRC32C, 0xE3069283), (CRC64NVME, 0xAE8B14860A799888)])
def test_the_catalogue_s_check_values(crc: Crc, check: int) -> None:
    assert crc.of(b"123456789") == check
    assert crc.of(b"") == 0
    assert crc.combine(crc.of(b"1234"), crc.of(b"56789"), 5) == check


def test_lengths_of_terabytes() -> None:
    """x^(8n) of a sum is the product: crc(0 * 2^42 bytes after a) in one step and in two."""
    half = CRC64NVME.combine(1, 0, 2**41)
    assert CRC64NVME.combine(half, 0, 2**41) == CRC64NVME.combine(1, 0, 2**42)
