"""Standard normal numbers as a function of (key, position): Philox-4x32-10 and Box-Muller, in
vectorised kernels.

Philox is the counter-based generator of Salmon et al. (SC 2011). A *block* of `BLOCK` numbers
belongs to ``_LANES`` counters. Each counter gives four words, from which two pairs of normals are
made. Logarithm, sine and cosine are float32 polynomials of additions, multiplications, a division
and a square root, which IEEE 754 rounds exactly. So every machine gets the same bits, and the loops
contain no calls that would prevent vectorisation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.seeding import draw64

_LANES = 64
BLOCK = 4 * _LANES
"""Numbers that are generated together. The block of a position is position // BLOCK."""
_TILE = 16 * BLOCK  # outputs of a sum that stay, with their noise, in the first-level cache

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_ROUNDS = 10

# log(1 + x) = x - x^2 / 2 + x^3 P(x) on [sqrt(1/2) - 1, sqrt(2) - 1], and sin(pi x), cos(pi x) on
# [-1/4, 1/4]: least-squares fits on Chebyshev nodes, see tests/esengine/noise/test_streams.py for
# their errors.
_LOG = tuple(
    np.float32(value)
    for value in (
        3.333332860e-01, -2.500029655e-01, 2.000146858e-01, -1.664224760e-01,
        1.420217382e-01, -1.297223899e-01, 1.271230768e-01, -8.101558338e-02,
    )
)  # fmt: skip
_SINE = tuple(
    np.float32(value)
    for value in (3.141592644e00, -5.167707828e00, 2.549767221e00, -5.890776935e-01)
)
_COSINE = tuple(
    np.float32(value)
    for value in (-4.934802198e00, 4.058710567e00, -1.335137857e00, 2.321258785e-01)
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7 = _LOG
_S0, _S1, _S2, _S3 = _SINE
_C0, _C1, _C2, _C3 = _COSINE
_ONE = np.float32(1)
_HALF_F = np.float32(0.5)
_TWO = np.float32(2)
_LN2 = np.float32(np.log(2))
_SQRT_HALF_BITS = np.int32(np.float32(np.sqrt(0.5)).view(np.int32))


@kernel
def _philox(key: np.uint64, first: np.uint64, words: NDArray[np.uint32]) -> None:
    """Write four words for each of the counters first, first + 1, ... to ``words``, (4, lanes)."""
    a = words[0]
    b = words[1]
    c = words[2]
    d = words[3]

    for j in range(_LANES):
        counter = first + np.uint64(j)
        x0 = counter & _WORD
        x1 = counter >> _HALF
        x2 = np.uint64(0)
        x3 = np.uint64(0)
        k0 = key & _WORD
        k1 = key >> _HALF

        for _ in range(_ROUNDS):
            p0 = x0 * _MULTIPLIER_0
            p1 = x2 * _MULTIPLIER_1
            x0 = (p1 >> _HALF) ^ x1 ^ k0
            x1 = p1 & _WORD
            x2 = (p0 >> _HALF) ^ x3 ^ k1
            x3 = p0 & _WORD
            k0 = (k0 + _WEYL_0) & _WORD
            k1 = (k1 + _WEYL_1) & _WORD

        a[j] = np.uint32(x0)
        b[j] = np.uint32(x1)
        c[j] = np.uint32(x2)
        d[j] = np.uint32(x3)


@kernel
def _box_muller(
    radius: NDArray[np.uint32],
    angle: NDArray[np.uint32],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
) -> None:
    """Write two normals made from two words, in each lane."""
    for j in range(_LANES):
        # The radius sqrt(-2 log u), with u = 2^exponent (1 + m).
        uniform = (np.float32(radius[j]) + _HALF_F) * np.float32(2.0**-32)
        bits = np.float32(uniform).view(np.int32)
        exponent = np.int32((bits - _SQRT_HALF_BITS) >> np.int32(23))
        m = np.int32(bits - (exponent << np.int32(23))).view(np.float32) - _ONE
        series = _L0 + m * (
            _L1 + m * (_L2 + m * (_L3 + m * (_L4 + m * (_L5 + m * (_L6 + m * _L7)))))
        )
        square = m * m
        log = np.float32(exponent) * _LN2 + (m - _HALF_F * square + square * m * series)
        r = np.sqrt(-_TWO * log)

        # Sine and cosine of the angle within its quadrant.
        quadrant = np.uint32(np.uint32(angle[j] + np.uint32(1 << 29)) >> np.uint32(30))
        rest = np.int32(np.uint32(angle[j] - (quadrant << np.uint32(30))))
        y = np.float32(rest) * np.float32(2.0**-31)
        z = y * y
        sine = y * (_S0 + z * (_S1 + z * (_S2 + z * _S3)))
        cosine = _ONE + z * (_C0 + z * (_C1 + z * (_C2 + z * _C3)))

        # The quadrant swaps them and sets the signs.
        odd = (quadrant & np.uint32(1)) != 0
        along, across = (sine, cosine) if odd else (cosine, sine)
        first[j] = -r * along if ((quadrant + np.uint32(1)) & np.uint32(2)) != 0 else r * along
        second[j] = -r * across if (quadrant & np.uint32(2)) != 0 else r * across


@kernel
def fill_normals(key: np.uint64, first: int, out: NDArray[np.float32]) -> None:
    """Write normals number first, first + 1, ... of a stream into ``out``, the same ones for any
    slicing.

    Args:
        key: of the stream.
        first: position of the first number.
        out: (n,) overwritten.
    """
    words = np.empty((4, _LANES), np.uint32)
    edge = np.empty(BLOCK, np.float32)
    done = 0

    while done < out.size:
        block = (first + done) // BLOCK
        offset = (first + done) % BLOCK
        count = min(BLOCK - offset, out.size - done)
        _philox(key, np.uint64(block) * np.uint64(_LANES), words)

        target = out[done : done + BLOCK] if count == BLOCK else edge
        _box_muller(words[0], words[1], target[:_LANES], target[_LANES : 2 * _LANES])
        _box_muller(words[2], words[3], target[2 * _LANES : 3 * _LANES], target[3 * _LANES :])
        if count < BLOCK:
            for k in range(count):  # a slice would have Numba compile the message of its error
                out[done + k] = edge[offset + k]
        done += count


def fill_normals_reference(key: np.uint64, first: int, out: NDArray[np.float32]) -> None:
    """NumPy twin of `fill_normals`, the same bits."""
    blocks = np.arange(first // BLOCK, -(-(first + out.size) // BLOCK), dtype=np.uint64)
    counters = np.add.outer(blocks * np.uint64(_LANES), np.arange(_LANES, dtype=np.uint64)).ravel()
    words = philox_reference(int(key), counters).reshape(4, len(blocks), _LANES)
    normals = [
        *_box_muller_reference(words[0], words[1]),
        *_box_muller_reference(words[2], words[3]),
    ]
    offset = first % BLOCK
    out[:] = np.stack(normals, axis=1).ravel()[offset : offset + out.size]


def philox_reference(key: int, counters: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """NumPy twin of `_philox`: the four words of 64-bit counters, (4, num_counters)."""
    x0 = counters & _WORD
    x1 = counters >> _HALF
    x2 = x3 = np.zeros_like(counters)

    for turn in range(_ROUNDS):
        k0 = np.uint64((key + turn * int(_WEYL_0)) & 0xFFFFFFFF)
        k1 = np.uint64(((key >> 32) + turn * int(_WEYL_1)) & 0xFFFFFFFF)
        p0 = x0 * _MULTIPLIER_0
        p1 = x2 * _MULTIPLIER_1
        x0 = (p1 >> _HALF) ^ x1 ^ k0
        x1 = p1 & _WORD
        x2 = (p0 >> _HALF) ^ x3 ^ k1
        x3 = p0 & _WORD

    return np.stack([x0, x1, x2, x3]).astype(np.uint32)


def _box_muller_reference(
    radius: NDArray[np.uint32], angle: NDArray[np.uint32]
) -> list[NDArray[np.float32]]:
    """NumPy twin of `_box_muller`."""
    uniform = (radius.astype(np.float32) + _HALF_F) * np.float32(2.0**-32)
    bits = uniform.view(np.int32)
    exponent = (bits - _SQRT_HALF_BITS) >> np.int32(23)
    m = (bits - (exponent << np.int32(23))).view(np.float32) - _ONE
    series = np.full_like(m, _LOG[-1])

    for coefficient in reversed(_LOG[:-1]):
        series = coefficient + m * series

    square = m * m
    log = exponent.astype(np.float32) * _LN2 + (m - _HALF_F * square + square * m * series)
    r = np.sqrt(-_TWO * log)

    quadrant = (angle + np.uint32(1 << 29)) >> np.uint32(30)
    y = (angle - (quadrant << np.uint32(30))).view(np.int32).astype(np.float32) * np.float32(
        2.0**-31
    )
    z = y * y
    sine = y * (_S0 + z * (_S1 + z * (_S2 + z * _S3)))
    cosine = _ONE + z * (_C0 + z * (_C1 + z * (_C2 + z * _C3)))

    odd = quadrant % 2 == 1
    along = r * np.where(odd, sine, cosine)
    across = r * np.where(odd, cosine, sine)

    return [np.where((quadrant + 1) & 2, -along, along), np.where(quadrant & 2, -across, across)]


@kernel
def stream_keys(key: np.uint64, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """The key of each member's stream, (num_members,) int64. It is a bijection of the member, so no
    two keys are equal.
    """
    keys = np.empty(members.size, np.int64)
    for i in range(members.size):
        keys[i] = np.int64(draw64(key, np.uint64(members[i])))
    return keys


@kernel
def add_streams(
    keys: NDArray[np.int64],
    first: int,
    weights: NDArray[np.floating],
    squared: bool,
    out: NDArray[np.floating],
) -> None:
    """``out += sum_i weights[i] * stream_i[first : first + n]``, in the order of ``i``. Any slicing
    gives the same bits.

    Args:
        keys: (num_streams,) from `stream_keys`.
        first: position of the first number of each stream.
        weights: (num_streams,) in the precision of ``out``.
        squared: add the squares of the numbers instead.
        out: (n,) added to.
    """
    noise = np.empty(min(_TILE, out.size), np.float32)
    for low in range(0, out.size, _TILE):
        tile = out[low : min(low + _TILE, out.size)]
        part = noise[: tile.size]

        for i in range(keys.size):
            fill_normals(np.uint64(keys[i]), first + low, part)
            weight = weights[i]
            if squared:
                for k in range(tile.size):
                    tile[k] = tile[k] + (weight * part[k]) * part[k]
            else:
                for k in range(tile.size):
                    tile[k] = tile[k] + weight * part[k]


def add_streams_reference(
    keys: NDArray[np.int64],
    first: int,
    weights: NDArray[np.floating],
    squared: bool,
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `add_streams`."""
    noise = np.empty(out.size, np.float32)
    for key, weight in zip(keys, weights, strict=True):
        fill_normals_reference(np.int64(key).view(np.uint64), first, noise)
        values = noise.astype(out.dtype)
        out += (weight * values) * values if squared else weight * values
