"""Which code and files that a record names may be used: those that the user trusts.

A name that the user has given or trusted is remembered for the current folder, if it is of files
below it. The record is in the user's own folder for states, and in no project. So nobody can bring
a consent with a project or a run.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from esengine.errors import UserError
from esengine.storage.files import read_json, replace_lasting
from esengine.user_code.named import PROGRAM, as_in_files, find_modules_here
from esengine.user_code.objects import is_given, is_object, object_of

_MOST = 10_000  # names that are remembered; the oldest are forgotten
_NOTHING_KEPT = (OSError, ValueError, TypeError, RuntimeError)


def check_trusted(source: object, *names: str, trusted: bool = False) -> None:
    """Raises UserError for a module or a file that would be imported or opened only because a file
    asks for it, unless it is the user's own and was given or trusted in this folder before.

    Args:
        source: the file that asks, for the message.
        names: of modules, as ``module:name``, of programs, after `PROGRAM`, and of files, without
            a colon.
        trusted: the user has given these names, or trusts them. They are remembered.
    """
    if trusted:
        _remember(*names)
        return
    for name in names:
        if is_given(name) or are_remembered(name):
            continue
        if is_object(name):
            object_of(str(source), name.removesuffix(":"))
        kind, harm = (
            ("module", "code would run") if ":" in name else ("file", "bytes would be read")
        )
        if name.startswith(PROGRAM):
            kind = "program"
        shown = name.removeprefix(PROGRAM).removesuffix(":")
        raise UserError(
            f"{source} names the {kind} {shown!r:.200}, whose {harm}; add "
            f"--trust-modules if you trust its author"
        )


def are_remembered(*names: str) -> bool:
    """Whether the user has given or trusted all of these names in this folder."""
    with suppress(*_NOTHING_KEPT):
        here = _here()
        known = _known(_record(here))
        return all([*_key(here), name] in known and _is_own(name, here) for name in names)
    return False


def _remember(*names: str) -> None:
    """Keep the names of the user's own code; where nothing can be kept, nothing is."""
    with suppress(*_NOTHING_KEPT):
        here = _here()
        own = [[*_key(here), name] for name in names if _is_own(name, here)]
        if own:
            _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            record = _record(here)
            known = _known(record)
            if new := [entry for entry in own if entry not in known]:
                replace_lasting(record, json.dumps([*known, *new][-_MOST:]).encode())


def _here() -> Path:
    """The current folder. Raises OSError if it is not the user's own."""
    here = Path.cwd().resolve()
    _check_own(here)
    return here


def _key(here: Path) -> tuple[str, int]:
    """Tells a folder from a later one in its place."""
    return str(here), here.stat().st_ino


def _folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    states = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
    return states / "esengine"


def _record(here: Path) -> Path:
    """The file of names. Raises OSError if others can reach its folder, or a project holds it."""
    folder = _folder()
    found = folder.lstat()
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not is_private or found.st_uid != os.geteuid() or folder.resolve().is_relative_to(here):
        raise PermissionError(f"{folder} must be a folder of the user alone, outside of {here}")
    return folder / "trusted.json"


def _known(record: Path) -> list[object]:
    with suppress(OSError, ValueError):
        known = read_json(record)
        if isinstance(known, list):
            return known
    return []


def _is_own(name: str, here: Path) -> bool:
    """Whether all files of a name are below a folder, and the user's own."""
    if is_object(name):
        return False
    if name.startswith(PROGRAM):
        words = shlex.split(name.removeprefix(PROGRAM))
        files = [here / word for word in words if os.path.lexists(word)]
    elif ":" in name:
        source = _source(as_in_files(name.partition(":")[0]), here)
        if source is None:
            return False
        files = [source]
    else:
        files = [here / name]
    return all(_is_below(file, here) for file in files)


def _source(module: str, here: Path) -> Path | None:
    """The file of a module that Python would import from a folder; none is imported."""
    find_modules_here()
    top, *inner = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        file = here / f"{top}.py"
        return None if inner or spec.origin is None or Path(spec.origin) != file else file
    if [Path(place) for place in spec.submodule_search_locations] != [here / top]:
        return None
    package = here.joinpath(top, *inner)
    files = (package / "__init__.py", package.with_name(f"{package.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _is_below(file: Path, here: Path) -> bool:
    """Whether a file is in a folder, and it and all folders between are the user's own."""
    real = file.resolve(strict=True)
    if not real.is_relative_to(here):
        return False
    for part in (real, *real.parents):
        if part == here:
            return True
        _check_own(part)
    return False


def _check_own(path: Path) -> None:
    """Raises OSError for what another user owns, or everybody can write."""
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        raise PermissionError(f"{path} must be the user's own")
