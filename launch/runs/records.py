"""The forms of a run's records. Fields of other versions may be there as well."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

Outcome = Literal["done", "stopped", "failed", "refused"]
Count = Annotated[int, Meta(ge=0, lt=1 << 53)]
Code = dict[str, dict[str, str]]
"""Digests by module or file, by the flag with its value that names the code."""


class StartRecord(TypedDict):
    """A start of a run, in ``config.json``."""

    time: str
    host: str
    workers: NotRequired[Count]  # runs of earlier versions have none
    versions: dict[str, str]
    job: NotRequired[str | None]
    processor: NotRequired[str]
    commit: NotRequired[str | None]
    outcome: NotRequired[Outcome]
    compiled: NotRequired[bool]
    resumed: NotRequired[Count | None]
    code: NotRequired[Code]


class RunRecord(TypedDict):
    """``config.json``: what is run, and its starts."""

    format: int
    config: dict[str, Any]
    starts: list[StartRecord]
    files: NotRequired[dict[str, str]]
    remarks: NotRequired[list[str]]


class DoneRecord(TypedDict):
    """``done.json``: how a run ended."""

    reason: str
    generations: Count
    final_return: float | None
    best_fitness: NotRequired[float | None]
    run: NotRequired[str]


class BestRecord(TypedDict):
    """``best.json``: the best point, whose vectors may be in a file of their own."""

    value: float
    feasible: NotRequired[bool]
    columns: NotRequired[dict[str, Any] | None]
    variables: NotRequired[dict[str, Any] | None]
    evaluations: NotRequired[Count]
    point: NotRequired[list[float]]
    parameters: NotRequired[list[float]]
    vectors: NotRequired[Literal["best.safetensors"]]


class FailureRecord(TypedDict):
    """A line of ``failures.jsonl``: a member that failed."""

    generation: Count
    member: Count
    purpose: str
    seed: NotRequired[int | None]
    error: NotRequired[str]
    rank: NotRequired[Count | None]
    host: NotRequired[str]
