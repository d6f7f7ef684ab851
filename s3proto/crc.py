"""Cyclic redundancy checks as polynomials over GF(2): joining those of parts to that of the whole.

Rules: integers in, integers out.  Bulk data is never summed here (the driver does that); ``of`` exists for the few
bytes of a composite checksum.

How it works: with the usual all-ones start and end values, ``crc(a + b) = crc(a) * x^(8*len(b)) + crc(b)`` modulo
the generator.  Numbers are bit-reflected as in zlib: the top bit is x^0.  A product is ``width`` shifts; x^(8*n)
takes one product per set bit of n, over a table of squares made once.

Follows RFC 1952 8 (CRC-32), RFC 3720 B.4 (CRC-32C), NVM Express NVM Command Set 5.2.1.3.4 (CRC-64/NVME).
"""

from __future__ import annotations

from functools import cache, lru_cache


class Crc:
    """One kind of CRC with reflected input and output, start and end value all ones."""

    __slots__ = ("width", "_polynomial", "_top", "_ones", "_table", "_squares", "_power")

    def __init__(self, width: int, polynomial: int) -> None:
        """``polynomial``: the generator without its leading term, bit-reflected."""
        self.width = width
        self._polynomial = polynomial
        self._top = 1 << (width - 1)
        self._ones = (1 << width) - 1
        self._table = cache(self._make_table)
        self._squares = cache(self._make_squares)
        self._power = lru_cache(64)(self._shift)

    def of(self, data: bytes) -> int:
        """Return the CRC of a few bytes."""
        table, crc = self._table(), self._ones
        for byte in data:
            crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
        return crc ^ self._ones

    def combine(self, first: int, second: int, second_length: int) -> int:
        """Return the CRC of two pieces in a row from the CRC of each; ``second_length`` in bytes."""
        return self._multiply(self._power(second_length), first) ^ second

    def _multiply(self, a: int, b: int) -> int:
        product, bit = 0, self._top
        while a:
            if a & bit:
                product ^= b
                a ^= bit
            b = b >> 1 ^ self._polynomial if b & 1 else b >> 1
            bit >>= 1
        return product

    def _shift(self, length: int) -> int:
        """x^(8*length) modulo the generator."""
        power = self._top
        for square in self._squares():
            if length & 1:
                power = self._multiply(square, power)
            if not (length := length >> 1):
                break
        return power

    def _make_squares(self) -> tuple[int, ...]:
        """x^(8*2^k) for k = 0 .. 63."""
        square = self._top >> 8  # x^8
        squares = []
        for _ in range(64):
            squares.append(square)
            square = self._multiply(square, square)
        return tuple(squares)

    def _make_table(self) -> tuple[int, ...]:
        table = []
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ self._polynomial if byte & 1 else byte >> 1
            table.append(byte)
        return tuple(table)


CRC32 = Crc(32, 0xEDB88320)
CRC32C = Crc(32, 0x82F63B78)
CRC64NVME = Crc(64, 0x9A6C9329AC4BC9B5)
