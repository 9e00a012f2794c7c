"""Numba kernels over parameter rows, each with a NumPy twin named ``<kernel>_reference``.

Kernels take arrays and scalars, allocate only their result and never raise. Their results do not
depend on how the work is divided: every output coordinate is computed by the same sequence of
operations wherever a slice begins. No kernel uses ``fastmath``, which would allow the compiler to
reorder sums.
"""

from esengine.noise.kernels.addresses import ALIGNMENT, parent_indices, window_starts
from esengine.noise.kernels.perturbations import (
    perturb,
    perturb_pair,
    perturb_pair_reference,
    perturb_pairs,
    perturb_pairs_reference,
    perturb_reference,
    perturb_rows,
    perturb_rows_reference,
    perturb_scaled,
    perturb_scaled_reference,
)
from esengine.noise.kernels.products import (
    PANEL,
    adapt_covariance,
    adapt_covariance_reference,
    add_products,
    add_products_reference,
    multiply_rows,
    multiply_rows_reference,
    pack_panels,
    read_rows,
    read_rows_reference,
)
from esengine.noise.kernels.sums import (
    apply_chain,
    apply_chain_reference,
    weighted_noise_sum,
    weighted_noise_sum_reference,
    weighted_square_sum,
    weighted_square_sum_reference,
)

__all__ = [
    "ALIGNMENT",
    "PANEL",
    "adapt_covariance",
    "adapt_covariance_reference",
    "add_products",
    "add_products_reference",
    "apply_chain",
    "apply_chain_reference",
    "multiply_rows",
    "multiply_rows_reference",
    "pack_panels",
    "parent_indices",
    "perturb",
    "perturb_pair",
    "perturb_pair_reference",
    "perturb_pairs",
    "perturb_pairs_reference",
    "perturb_reference",
    "perturb_rows",
    "perturb_rows_reference",
    "perturb_scaled",
    "perturb_scaled_reference",
    "read_rows",
    "read_rows_reference",
    "weighted_noise_sum",
    "weighted_noise_sum_reference",
    "weighted_square_sum",
    "weighted_square_sum_reference",
    "window_starts",
]
