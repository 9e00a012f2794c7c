"""Maps the top-level folders algorithms/ and launch/ into the one package esengine; all else is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

version = re.search(r'__version__ = "(.+)"', Path("esengine/__init__.py").read_text()).group(1)

setup(
    version=version,
    packages=[
        "esengine",
        "esengine.algorithms",
        "esengine.algorithms.planners",
        "esengine.launch",
        "esengine.launch.bench",
        "esengine.launch.commands",
    ],
    package_dir={"esengine.algorithms": "algorithms", "esengine.launch": "launch"},
    package_data={"esengine": ["py.typed"]},
)
