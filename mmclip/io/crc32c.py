"""CRC-32C (Castagnoli) of large buffers in NumPy, as TensorFlow's files use it.

A table-driven CRC goes byte by byte. Here the buffer is cut into equal lanes that go side by side,
and the lanes are joined by the fact that appending n zero bytes is a linear map over GF(2) of the
32-bit register: crc(A || B) = zeros_n(crc(A)) ^ crc(B), with n the length of B.
"""

import numpy as np

_POLYNOMIAL = 0x82F63B78  # reflected
_LANES = 4096


def _table() -> np.ndarray:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, (values >> 1) ^ np.uint32(_POLYNOMIAL), values >> 1)
    return values.astype(np.uint32)


_TABLE = _table()
_TABLE_LIST = _TABLE.tolist()
_BITS = np.arange(32, dtype=np.uint32)


def _apply(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A linear map, given by the images of the 32 bits, on (N,) registers."""
    picked = np.where((values[:, None] >> _BITS) & 1, columns, np.uint32(0))
    return np.bitwise_xor.reduce(picked, axis=1)


def _zeros(count: int) -> np.ndarray:
    """Images of the 32 bits under appending ``count`` zero bytes."""
    result = np.uint32(1) << _BITS
    power = _TABLE[result & 0xFF] ^ (result >> 8)  # one zero byte
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result


def _run(rows: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """(steps, lanes) bytes through (lanes,) registers."""
    for row in rows:
        registers = _TABLE[(registers ^ row) & 0xFF] ^ (registers >> 8)
    return registers


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """CRC-32C of a buffer.

    Source: RFC 3720, appendix B.4; check value: crc32c(b'123456789') = 0xE3069283.
    """
    array = np.frombuffer(data, dtype=np.uint8)
    steps = array.size // _LANES
    register = np.full(1, 0xFFFFFFFF, dtype=np.uint32)
    if steps >= 16:
        head, array = array[: steps * _LANES], array[steps * _LANES :]
        lanes = np.zeros(_LANES, dtype=np.uint32)
        lanes[0] = register[0]
        lanes = _run(np.ascontiguousarray(head.reshape(_LANES, steps).T), lanes)
        shift = _zeros(steps)
        while lanes.size > 1:  # neighbors join; the map for twice the length is the map twice
            lanes = _apply(shift, lanes[0::2]) ^ lanes[1::2]
            shift = _apply(shift, shift)
        register = lanes
    value = int(register[0])
    for byte in array.tobytes():
        value = _TABLE_LIST[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """The rotated form that LevelDB and TensorFlow store beside the data."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
