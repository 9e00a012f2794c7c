"""The user's code that a run depends on: digests of its files, which tell a resumed run that the
code is another.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from esengine.errors import listed
from esengine.launch.runs.records import Code
from esengine.launch.settings.config import RunConfig
from esengine.storage.files import read_bytes

_INSTALLED = {"site-packages", "dist-packages"}
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_ENGINE = "esengine"  # whose version the run records
_MOST_SHOWN = 3
_MOST_BYTES = 64 << 20  # of a file that is read for its digest


def code_of(config: RunConfig) -> Code:
    """The code that the settings name, once it has been imported: the modules of the objective,
    environment, rules, expert and so on, with the user's modules that these import.
    """
    found = {flag: _sources(name.partition(":")[0]) for flag, name in config.named_code.items()}
    if config.train.command is not None:
        found["--command"] = _files_of_program(config)
    env_id = config.train.env_id
    if env_id is not None:
        flag = f"--env-id {env_id}"
        found[flag] = {}
        for module in _modules_of_environment(env_id):
            found[flag] |= _sources(module)
        for name in config.modules:
            if ":" not in name:
                found[flag].update((name, digest) for digest in _digests(Path(name)))
    return {flag: digests for flag, digests in found.items() if digests}


def _files_of_program(config: RunConfig) -> dict[str, str]:
    """Digests of the files that a command names, and of its templates."""
    words = [Path(word) for word in shlex.split(config.train.command or "")]
    files = (path for path in (*words, *config.train.template) if path.is_file())
    return {str(path): digest for path in files for digest in _digests(path)}


def code_at(starts: Sequence[Mapping[str, Any]], generation: int) -> Code:
    """The code of the start that came to a generation; nothing if it is not recorded.

    Args:
        starts: those before this one, as the run's record holds them: each has its ``code``, and
            the generation that it ``resumed`` from, or None.
        generation: completed generations of a checkpoint.
    """
    for start in reversed(starts):
        code, resumed = start.get("code"), start.get("resumed")
        if isinstance(code, dict) and (not isinstance(resumed, int) or resumed < generation):
            return {flag: own for flag, own in code.items() if isinstance(own, dict)}
    return {}


def changes(before: Code, now: Code) -> list[str]:
    """What is named as before and has other code, each with what changed."""
    found = []
    for flag, digests in now.items():
        old = before.get(flag, digests)
        changed = [name for name, digest in digests.items() if old.get(name, digest) != digest]
        if changed:
            more = f" and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
            found.append(f"{flag} ({listed(changed[:_MOST_SHOWN])}{more})")
    return found


def _modules_of_environment(env_id: str) -> Iterator[str]:
    """The module that registers an environment, and those of its class and its wrappers."""
    module, _, name = env_id.rpartition(":")
    if module:
        yield module
    spec = gymnasium.registry.get(name)
    if spec is None:
        return
    for entry in (spec.entry_point, *(wrapper.entry_point for wrapper in spec.additional_wrappers)):
        yield str(entry.partition(":")[0] if isinstance(entry, str) else entry.__module__)


def _sources(name: str) -> dict[str, str]:
    """Digests of a module and of the user's modules that it imports. Of an installed package, all
    that is loaded counts.
    """
    top = name.partition(".")[0]
    file = _file_of(name)
    if file is None or top == _ENGINE:
        return {}
    if _is_installed(file):
        loaded = [each for each in list(sys.modules) if each == top or each.startswith(f"{top}.")]
        files = ((each, _file_of(each)) for each in sorted(loaded))
        return {each: digest for each, own in files if own for digest in _digests(own)}

    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        file = None if name in found or name.startswith(f"{_ENGINE}.") else _file_of(name)
        if file is None or _is_installed(file):
            continue
        for digest in _digests(file):
            found[name] = digest
            waiting += _imports(file, name)
    return found


def _file_of(name: str) -> Path | None:
    """The file of a module that is loaded, or that its loaded package would load."""
    module: ModuleType | None = sys.modules.get(name)
    parent = name.rpartition(".")[0]
    file = getattr(module, "__file__", None)
    if module is None and (not parent or parent in sys.modules):
        with suppress(ImportError, ValueError, AttributeError):
            spec = importlib.util.find_spec(name)
            file = spec.origin if spec is not None and spec.has_location else None
    return Path(file) if isinstance(file, str) else None


def _is_installed(file: Path) -> bool:
    return not _INSTALLED.isdisjoint(file.parts) or file.is_relative_to(_LIBRARY)


def _digests(file: Path) -> Iterator[str]:
    """The digest of a file, or nothing where it cannot be read or is large."""
    with suppress(OSError, ValueError):
        yield hashlib.sha256(read_bytes(file, _MOST_BYTES)).hexdigest()[:16]


def _imports(file: Path, name: str) -> Iterator[str]:
    """What a module's source imports, and the packages that this is in, by their names."""
    if file.suffix != ".py":
        return
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    with suppress(OSError, ValueError, SyntaxError, RecursionError):
        for node in ast.walk(ast.parse(read_bytes(file, _MOST_BYTES))):
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = _absolute("." * node.level + (node.module or ""), package)
                names = [f"{base}.{each.name}" for each in node.names] if base else []
            else:
                continue
            for each in names:
                parts = each.split(".")
                yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _absolute(name: str, package: str) -> str:
    """The full name of what a module of a package imports, or nothing where there is none."""
    with suppress(ImportError):
        return importlib.util.resolve_name(name, package) if package else name.lstrip(".")
    return ""
