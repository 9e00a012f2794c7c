"""Noise: what every member's perturbation is made of.

`NoiseTable` holds standard normal float32 numbers, one copy per node. `CounterNoise` computes them
when they are used, which takes over where the parameters come near the size of the largest table.
Modules: `contract` (what both offer), `table`, `counter`, `streams` (keyed streams of normal
numbers), `product_sums` (sums of outer products), `kernels` (compiled loops).
"""

from esengine.noise.contract import Noise
from esengine.noise.counter import CounterNoise
from esengine.noise.table import NoiseTable, create_table, reserve, table_log2

__all__ = ["CounterNoise", "Noise", "NoiseTable", "create_table", "reserve", "table_log2"]
