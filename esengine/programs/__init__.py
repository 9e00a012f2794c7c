"""Programs as objectives: a command that reads a member's numbers from a file, and writes its
value.

Modules: `placeholders` (names in braces), `inputs` (what the program reads), `outputs` (where its
numbers are), `child` (one start of it), `program` (all of that for a member).
"""

from esengine.programs.child import bind_worker
from esengine.programs.inputs import Inputs
from esengine.programs.outputs import Outputs
from esengine.programs.program import EXAMPLES, Program, ProgramSpec, words_of

__all__ = [
    "EXAMPLES",
    "Inputs",
    "Outputs",
    "Program",
    "ProgramSpec",
    "bind_worker",
    "words_of",
]
