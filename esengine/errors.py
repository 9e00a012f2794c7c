"""The errors that users see. Each message says what, rule, value and way out."""

from __future__ import annotations

import codecs
import re
import traceback
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

_UNDECODED = re.compile("([\udc80-\udcff]+)")
_END = 10_000  # characters of the text of an exception that are kept from either end


class UserError(ValueError):
    """Invalid flags, files or environments. The command line prints one line and exits with 2."""


class NotFiniteError(ValueError):
    """A number that an episode gave is not finite, so its member fails. The message says
    everything.
    """


class MemberError(RuntimeError):
    """A member failed for a reason outside of Python, such as the end of a program. The message
    says everything.
    """


class WorkerError(RuntimeError):
    """A worker's exception, raised on the master with rank, host, generation, member, seed and
    traceback.
    """


class RanksFailed(Exception):
    """Ranks that this process started have failed and reported why. The command line exits with
    their status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"local ranks failed with status {status}")
        self.status = status


class CallbackRaised(Exception):
    """A caller's callback raised ``error``, which ends the run after a checkpoint."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"a callback raised {type(error).__name__}")
        self.error = error


class Interrupted(Exception):
    """A signal asked the run to stop at the next safe point."""


class Described(str):
    """The traceback of an exception as text.

    Attributes:
        error: the exception, as long as the text has not left its process.
    """

    error: BaseException

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def describe_exception(error: BaseException) -> Described:
    """The traceback of an exception as text; of a very long one, its two ends."""
    text = "".join(traceback.format_exception(error))
    left_out = len(text) - 2 * _END
    if left_out > 0:
        gap = f"\n... {counted(left_out, 'character')} are left out ...\n"
        text = f"{text[:_END]}{gap}{text[-_END:]}"
    described = Described(text)
    described.error = error
    return described


def listed(names: Iterable[object]) -> str:
    """The names of an iterable as one list: ``a, b, c``."""
    return ", ".join(str(name) for name in names)


def in_one_line(value: object) -> str:
    """A value of an environment, shortened to one line for a message."""
    words = " ".join(str(value).split())
    return shown(words, 100 if len(words) > 120 else 120)


def shown(value: object, most: int | None = 200) -> str:
    """A text that a file or user code gives, as a terminal or a message may show it: in one line,
    without control characters, and cut.

    Args:
        value: the text.
        most: characters of it; None shows all.
    """
    text = str(value)
    left_out = 0 if most is None else max(0, len(text) - most)
    words = _visible(text[: len(text) - left_out])
    return f"{words} ..." if left_out else words


def printable(text: object) -> str:
    """A text with its line breaks and tabs, but without other control characters, which could
    move the cursor, hide what is printed, or forge it.
    """
    lines = (map(_visible, line.split("\t")) for line in str(text).split("\n"))
    return "\n".join("\t".join(parts) for parts in lines)


def put(text: object, end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print a text as `printable` gives it. Commands print by it alone."""
    print(printable(text), end=end, file=file, flush=flush)


def _visible(text: str) -> str:
    """A text with escape sequences for characters that have no picture of their own. Bytes of
    names that the locale cannot decode stay, if UTF-8 shows what they are.
    """
    pieces = []
    for piece in _UNDECODED.split(text):
        plain = readable(piece)
        if not plain.isprintable():
            piece = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)
        pieces.append(piece)
    return "".join(pieces)


def readable(text: str) -> str:
    """A text without lone surrogates, which names of files have where the locale cannot decode
    them: their bytes are read as UTF-8.
    """
    return text.encode("utf-8", ANY_TEXT).decode("utf-8", "replace")


def _bytes_of_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    """For characters that an encoding lacks: the byte that a surrogate stands for, else ``?``."""
    assert isinstance(error, UnicodeEncodeError)
    codes = (ord(character) - 0xDC00 for character in error.object[error.start : error.end])
    return bytes(code if 0x80 <= code < 0x100 else ord("?") for code in codes), error.end


ANY_TEXT = "esengine"
"""Names the handler of encoding errors by which every text can be written."""
codecs.register_error(ANY_TEXT, _bytes_of_surrogates)


_ROOT = Path(__file__).resolve().parent.parent


def pip_install(extra: str) -> str:
    """The command that adds an extra of this package, as it works from here: from a clone by its
    folder, else by the name of the distribution.
    """
    if not (_ROOT / "pyproject.toml").exists():
        return f"pip install 'esengine-mpi[{extra}]'"
    with suppress(OSError):
        if Path.cwd() == _ROOT:
            return f"pip install --editable '.[{extra}]'"
    return f"pip install --editable '{_ROOT}[{extra}]'"


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 rank``, ``2,048 ranks``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def nearest(name: str, names: Iterable[str]) -> str:
    """The suggestion for an unknown name, such as ``; did you mean cma-es?``, or nothing."""
    return "".join(f"; did you mean {close}?" for close in get_close_matches(name, names, n=1))
