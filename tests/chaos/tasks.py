"""What is running when it is disturbed: command lines of ``esengine``, by names."""

from __future__ import annotations

_FORGETFUL = "--env-id worlds:TestForgetful-v0 --env-arg fault="
_SPHERE = "train cma-es --dimension 3 --minimize --objective worlds:"
_UNEVEN = (
    "train openai-es --dimension 3 --minimize --objective worlds:uneven_sphere --population-size 24"
)
_KINDS = (
    "--dimension 3 --minimize --objective worlds:brief_kinds --returns cost m:x m:y "
    "--measure-ranges -2 2 -2 2 --least-fitness -30 --generations 12"
)
_TEXTS = {
    "objective": f"{_SPHERE}brief_sphere --population-size 60 --generations 12",
    "long objective": f"{_SPHERE}slow_sphere --population-size 60 --generations 14",
    "environment": f"train openai-es {_FORGETFUL}brief --population-size 24 --generations 8",
    "genomes": f"train truncation-es {_FORGETFUL}brief --population-size 32 --generations 8 "
    f"--elite-episodes 2",
    "raising": f"train snes {_FORGETFUL}sometimes --population-size 24 --generations 6",
    "not a number": f"train pgpe {_FORGETFUL}sometimes-nan --population-size 24 --generations 6",
    "wrong shapes": f"train openai-es {_FORGETFUL}sometimes-short --population-size 24 "
    f"--generations 6",
    "hanging": f"{_SPHERE}hanging --seed 1 --population-size 8 --generations 2 --member-timeout 5 "
    f"--member-retries 0",
    "teams": "train cma-es --dimension 3 --minimize --objective simulations:shared "
    "--population-size 12 --generations 8 --ranks-per-member 2",
    "set": f"{_UNEVEN} --generations 8 --seeds 0-4",
    "lag": f"{_UNEVEN} --generations 12 --lag 2",
    "map-elites": f"train map-elites {_KINDS} --cells 8 8 --population-size 40 --sigma 0.3 "
    "--reevaluate 5",
    "cma-me": f"train cma-me {_KINDS} --cells 8 8 --population-size 40 --emitters 4",
    "cma-mae": f"train cma-mae {_KINDS} --archive cvt --cells 30 --population-size 40 --emitters 4",
    "crashing": f"{_SPHERE}crashing --seed 1 --population-size 8 --generations 2",
}
_LEARNERS = {
    "dagger": f"train dagger {_FORGETFUL}brief --expert worlds:upright --episodes-per-round 40 "
    f"--gradient-steps 20 --hidden-sizes 8 --generations 8",
    "ppo": f"train ppo {_FORGETFUL}brief --steps-per-round 400 --epochs 2 --hidden-sizes 8 "
    f"--generations 8",
}
_COMMON = "--checkpoint-every 2 --eval-every 4 --quiet"
_FAILING = "--max-failed-fraction 1"
TASKS = {
    **{name: (*text.split(), *_COMMON.split(), *_FAILING.split()) for name, text in _TEXTS.items()},
    **{name: (*text.split(), *_COMMON.split()) for name, text in _LEARNERS.items()},
}
