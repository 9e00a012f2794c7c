"""Running episodes: one file for each family of environments.

`families` lists the families and makes simulators and dynamics. A family is one record
(`contract.Family`) at the end of its file. `classic` (with `lockstep` and `lanes`), `mujoco` and
`maze` are compiled: each has its loops in ``*_rollouts``, and its table of tasks beside its physics
in `esengine.environments`. `stepped` runs any other environment through gymnasium, `vectorized`
steps gymnasium's vector environments.

`contract` says what a simulator offers, `traces` what is kept of an episode, `dynamics` and
`controls` how planners see an environment.

To add a compiled environment: its physics and its row in ``TASKS``, and a test.
"""

from esengine.simulators.contract import BatchSimulator, EnvBackend, Simulator
from esengine.simulators.dynamics import Dynamics, ObservableDynamics, Transitions
from esengine.simulators.families import make_dynamics, make_simulator
from esengine.simulators.maze import MazeSimulator
from esengine.simulators.stepped import run_episode
from esengine.simulators.stepped_dynamics import SteppedDynamics
from esengine.simulators.traces import Episode, Trace

__all__ = [
    "BatchSimulator",
    "Dynamics",
    "EnvBackend",
    "Episode",
    "MazeSimulator",
    "ObservableDynamics",
    "Simulator",
    "SteppedDynamics",
    "Trace",
    "Transitions",
    "make_dynamics",
    "make_simulator",
    "run_episode",
]
