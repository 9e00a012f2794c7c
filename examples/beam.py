"""Search with a program: the lightest beam that examples/beam.c computes.

The program reads a deck, a template of which has the names of variables in braces, and prints its
results. Any executable can take its place.

    python examples/beam.py
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import esengine

HERE = Path(__file__).parent


def main(run_dir: Path = Path("runs/beam"), generations: int = 60) -> dict[str, float]:
    program = run_dir.parent / "beam"
    program.parent.mkdir(parents=True, exist_ok=True)
    build = ["cc", "-O2", "-o", str(program), str(HERE / "beam.c"), "-lm"]
    subprocess.run(build, check=True)

    result = esengine.train(
        "cma-es",
        command=f"{program} {{input}}",
        template=[HERE / "beam.in"],
        variables=HERE / "beam.toml",
        output_file="stdout",
        value=[r"/^mass = (\S+)/"],
        minimize=True,
        sigma=0.2,
        generations=generations,
        run_dir=run_dir,
    )
    assert result.best_point is not None
    return dict(zip(("width", "root", "tip"), result.best_point.tolist(), strict=True))


if __name__ == "__main__":
    for name, metres in main().items():
        print(f"{name} {1e3 * metres:.1f} mm")
