"""Compiled code: kernels with a cache of their own, and machine code and memory by address."""

from esengine.compiled.compiling import compilations, on_compiling
from esengine.compiled.kernels import cache_remark, ingredients_digest, keeps_kernels, kernel

__all__ = [
    "cache_remark",
    "compilations",
    "ingredients_digest",
    "keeps_kernels",
    "kernel",
    "on_compiling",
]
