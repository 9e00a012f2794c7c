"""Maps the top-level folders algorithms/ and launch/ into the one package esengine; all else is in
pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

version = re.search(r'__version__ = "(.+)"', Path("esengine/__init__.py").read_text()).group(1)
mapped = [f"esengine.{name}" for name in find_packages(include=["algorithms*", "launch*"])]

setup(
    version=version,
    packages=sorted(
        {*mapped, *find_packages(include=["esengine*"])}
    ),  # the links in esengine/ are found, too
    package_dir={"esengine.algorithms": "algorithms", "esengine.launch": "launch"},
    package_data={"esengine": ["py.typed"]},
)
