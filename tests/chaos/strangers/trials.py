"""The trial before a run finds what is wrong, and nothing else."""

from __future__ import annotations

from tests.chaos.strangers.place import ENV, POINT, Place, case, must

SEARCH = f"train {ENV} --ranks 1 --env-id"


@case("a reward that is a text is refused")
def reward_text(place: Place) -> None:
    place.refused(f"{SEARCH} strange:RewardText-v0", "reward", "strange:RewardText-v0")


@case("an observation without a key of its dictionary is refused")
def missing_key(place: Place) -> None:
    place.refused(f"{SEARCH} strange:MissingKey-v0", "observation", "near")


@case("a discrete observation beyond its space is refused")
def discrete_beyond(place: Place) -> None:
    place.refused(f"{SEARCH} strange:Beyond-v0", "observation", "Discrete(4)")


@case("an environment that refuses seeds from 2^16 on is refused with the rule")
def small_seeds(place: Place) -> None:
    place.refused(f"{SEARCH} strange:SmallSeeds-v0", "seed", "2^31")


@case("a count that all copies share is a remark, which config.json keeps")
def shared_count(place: Place) -> None:
    result = place.well(f"{SEARCH} strange:Counting-v0")
    must("strange:Counting-v0" in result.err, "no sentence")
    must("strange:Counting-v0" in str(place.json("RUN/config.json").get("remarks")), "no record")


@case("doctor sees episodes that differ between two processes")
def salt_of_hashes(place: Place) -> None:
    result = place.run("doctor --env-id strange:Hashed-v0")
    must(result.status == 1, f"exit status {result.status} instead of 1")
    must("two processes had different episodes" in result.text, "not found")


@case("an objective without return is refused")
def no_return(place: Place) -> None:
    place.refused(f"train {POINT} --objective strange:nothing --ranks 1", "objective", "None")


@case("an environment without a limit whose episodes always end gives no remark")
def ends_by_itself(place: Place) -> None:
    result = place.well(f"{SEARCH} strange:World-v0")
    must(not place.json("RUN/config.json").get("remarks"), "a remark")
    must(not result.err, "something on standard error")


@case("noise of numpy.random in rewards is a remark that names it")
def noisy_rewards(place: Place) -> None:
    result = place.well(f"{SEARCH} strange:Noisy-v0")
    must("numpy.random" in result.err, "no sentence")
