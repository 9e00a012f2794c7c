"""Machine code and memory by their addresses, in compiled code.

Addresses are arguments and never constants, so that kernels that use them can be cached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils, sigutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.compiled.kernels import keep, kernel


@intrinsic
def pointer_at(typing_context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@intrinsic
def data_of(typing_context: Any, array: Any) -> Any:
    """The address of an array's first number. Unlike ``ctypes``, it counts no reference."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (given,) = arguments
        first = context.make_array(array)(context, builder, given).data
        return builder.ptrtoint(first, ir.IntType(64))

    return types.int64(array), generate


@kernel(inline="always")
def floats_at(address: int, size: int) -> NDArray[np.float32]:
    """The ``size`` float32 numbers at an address, as an array that counts no references."""
    numbers: NDArray[np.float32] = carray(pointer_at(address), (size,), np.float32)
    return numbers


@intrinsic
def call_at(typing_context: Any, address: Any, arguments: Any) -> Any:
    """Call ``void function(...)`` at an address, with a tuple of integers or addresses."""
    count = len(arguments)
    signature = types.void(types.int64, types.UniTuple(types.int64, count))

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * count)
        function = builder.inttoptr(given[0], kind.as_pointer())
        builder.call(function, cgutils.unpack_tuple(builder, given[1], count))
        return context.get_dummy_value()

    return signature, generate


def address_of(function: Callable[..., None], num_integers: int) -> int:
    """The address, for `call_at`, of a function of integers that is compiled by itself, or loaded
    from the cache of kernels.
    """
    return int(_compiled_apart(function, num_integers).address)


@cache
def _compiled_apart(function: Callable[..., None], num_integers: int) -> Any:
    returned, integers = types.void, [types.int64] * num_integers
    arguments = sigutils.normalize_signature(returned(*integers))
    callback = CFunc(function, arguments, {}, {"error_model": "numpy"})
    keep(callback, function)
    callback.compile()
    return callback
