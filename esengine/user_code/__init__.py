"""Code of users: how it is named and imported, and what it may change or leave open.

Modules: `named` (functions, classes and modules by name), `trust` (which of those that a record
names may be used), `contained` (the state of the process, and arrays), `objects` (Python objects in
place of names), `opened` (environments, and how they are closed), `teams` (the communicator of a
team of ranks).
"""

from esengine.user_code.contained import (
    FORKS,
    limits_kept,
    own_copy,
    warnings_kept,
    working_folder_kept,
)
from esengine.user_code.named import (
    PROGRAM,
    as_in_files,
    described,
    find_modules_here,
    modules_of,
    named_callable,
    named_module,
    number_of,
)
from esengine.user_code.objects import (
    adopt_objects,
    give_object,
    is_given,
    is_object,
    named_object,
    object_of,
    pack_objects,
)
from esengine.user_code.opened import CLOSE_S, close, environments_closed, note_open
from esengine.user_code.teams import PARAMETER, TEAM, join_team, takes, team_of_process
from esengine.user_code.trust import are_remembered, check_trusted

__all__ = [
    "CLOSE_S",
    "FORKS",
    "PARAMETER",
    "PROGRAM",
    "TEAM",
    "adopt_objects",
    "are_remembered",
    "as_in_files",
    "check_trusted",
    "close",
    "described",
    "environments_closed",
    "find_modules_here",
    "give_object",
    "is_given",
    "is_object",
    "join_team",
    "limits_kept",
    "modules_of",
    "named_callable",
    "named_module",
    "named_object",
    "note_open",
    "number_of",
    "object_of",
    "own_copy",
    "pack_objects",
    "takes",
    "team_of_process",
    "warnings_kept",
    "working_folder_kept",
]
