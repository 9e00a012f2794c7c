"""Callbacks that pass the rows of a run on to Weights & Biases or MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from esengine.errors import UserError
from esengine.launch.runs.json_lines import Row


class WandbCallback:
    """Logs every row to Weights & Biases, with the generation as the step.

    Args:
        **options: of ``wandb.init``, such as ``project``, ``name``, ``config`` and ``mode``.

    Raises:
        UserError: the package is missing.
    """

    def __init__(self, **options: Any) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "Weights & Biases needs the package wandb, which is missing; pip install wandb"
            ) from error
        self._run: Any = wandb.init(**options)

    def __call__(self, row: Row) -> None:
        """Log a row."""
        self._run.log(dict(numbers_of(row)), step=row["generation"])

    def close(self) -> None:
        """End the run there."""
        self._run.finish()


class MlflowCallback:
    """Logs every row to MLflow, with the generation as the step.

    Args:
        parameters: of the run, such as those of `flat_settings`.
        tracking_uri: where to log; default MLflow's own.
        **options: of ``mlflow.start_run``, such as ``run_name``.

    Raises:
        UserError: the package is missing.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        tracking_uri: str | None = None,
        **options: Any,
    ) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise UserError(
                "MLflow needs the package mlflow, which is missing; pip install mlflow"
            ) from error
        self._mlflow: Any = mlflow
        if tracking_uri is not None:
            mlflow.set_tracking_uri(tracking_uri)
        self._id = mlflow.start_run(**options).info.run_id
        if parameters:
            mlflow.log_params(dict(parameters))

    def __call__(self, row: Row) -> None:
        """Log a row."""
        figures = dict(numbers_of(row))
        self._mlflow.log_metrics(figures, step=row["generation"], run_id=self._id)

    def close(self) -> None:
        """End the run there."""
        self._mlflow.end_run()


def numbers_of(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a row; those of the object ``machine`` are called ``machine.steps_per_s``."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from numbers_of(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, float(value)


def flat_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that are given, by name, from its record in ``config.json``."""
    values = {"method": config["method"], **config["train"], **config["search"]}
    return {name: value for name, value in values.items() if value not in (None, (), [])}
