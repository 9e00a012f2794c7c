"""Digests of the code that compiled rollouts equal, see `task_code`.

Each task has one digest for each form of its code in gymnasium 1.0 to 1.4. The tests that compare
compiled rollouts with gymnasium's have passed with each of them. To add a version of gymnasium, run
these tests with it, and add what `task_code` gives.
"""

from __future__ import annotations

_CLASSIC = "gymnasium.envs.classic_control"
_MUJOCO = "gymnasium.envs.mujoco"

KNOWN_CODE: dict[str, tuple[str, ...]] = {
    f"{_CLASSIC}.cartpole:CartPoleEnv": (
        "a291f529a60cb68e",
        "8ba26d7e612511b8",
        "7077bd97429d278d",
        "536bcbd78762467e",
    ),
    f"{_CLASSIC}.pendulum:PendulumEnv": (
        "9463a6bfdc4dc11b",
        "30145e51a3e23a7a",
        "d4516ffb21511db0",
    ),
    f"{_CLASSIC}.acrobot:AcrobotEnv": (
        "9602e5e8f9c5ba66",
        "87c3808c13f98741",
        "7f8fd96c84b46373",
        "928370d7cd65460e",
    ),
    f"{_CLASSIC}.mountain_car:MountainCarEnv": (
        "0f3c207d9749480b",
        "49d13318c72c9415",
        "7919cd15f82edbc0",
        "f5662f2e21625d9c",
    ),
    f"{_CLASSIC}.continuous_mountain_car:Continuous_MountainCarEnv": (
        "4d3776ccd36e477a",
        "2a3d5ace7121359a",
        "2e66729953ca9754",
    ),
    f"{_MUJOCO}.half_cheetah_v5:HalfCheetahEnv": (
        "dec89012fd87acfa",
        "abffb0788c30de23",
        "f9d3e3042dbe68e0",
    ),
    f"{_MUJOCO}.hopper_v5:HopperEnv": (
        "ed38533a88378ec3",
        "37e0e96720c205b0",
        "e6719c3bde43d64c",
    ),
    f"{_MUJOCO}.walker2d_v5:Walker2dEnv": (
        "aea0185f0e01d92d",
        "5f4165f2910350dd",
        "824308925631314b",
    ),
    f"{_MUJOCO}.swimmer_v5:SwimmerEnv": (
        "8652c7369813c081",
        "7858abead24fad75",
        "2543d94bf3d00219",
    ),
    f"{_MUJOCO}.ant_v5:AntEnv": (
        "9d47cdd0ba1e135f",
        "e0889fd72e2c3680",
        "9eeeecac2d4a4cf0",
    ),
    f"{_MUJOCO}.humanoid_v5:HumanoidEnv": (
        "1da78dc7d3919c85",
        "4e922f582b15d207",
        "5db4eca163187fd5",
        "86e186d5f9b08824",
    ),
    f"{_MUJOCO}.inverted_pendulum_v5:InvertedPendulumEnv": (
        "ad44672170414204",
        "0e13dc46b4401cf0",
        "231a62e247d68ae7",
    ),
    f"{_MUJOCO}.inverted_double_pendulum_v5:InvertedDoublePendulumEnv": (
        "d12121c8502ea7da",
        "4e1f17db99a63288",
        "0d18db132bdfd0ff",
    ),
    f"{_MUJOCO}.reacher_v5:ReacherEnv": (
        "425c9a6689b98815",
        "5c7cae73ec8d2010",
        "a28fe894e54e9ca2",
    ),
    f"{_MUJOCO}.pusher_v5:PusherEnv": (
        "2652cc31892bc760",
        "9f07fd78dbf1a4cd",
        "7aa4edc2f862fabc",
    ),
}
