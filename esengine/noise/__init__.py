"""Standard normal noise, from which all perturbations are made.

`NoiseTable` holds a table of numbers, one copy per node. `CounterNoise` computes the numbers when
they are used, for problems with too many parameters for a table.

Modules: `contract` (the base class `Noise`), `table`, `counter`, `streams` (keyed streams of normal
numbers), `product_sums` (sums of outer products) and `kernels` (compiled loops).
"""

from esengine.noise.contract import Noise
from esengine.noise.counter import CounterNoise
from esengine.noise.table import NoiseTable, TableNeed, create_table, reserve, table_log2

__all__ = [
    "CounterNoise",
    "Noise",
    "NoiseTable",
    "TableNeed",
    "create_table",
    "reserve",
    "table_log2",
]
