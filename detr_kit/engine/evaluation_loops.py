"""Validation and test in which a data worker may die."""

from __future__ import annotations

from typing import Any

from mmengine.runner import TestLoop as MMEngineTestLoop
from mmengine.runner import ValLoop as MMEngineValLoop

from ..registry import LOOPS
from .steady_batches import SteadyBatches


@LOOPS.register_module()
class ValLoop(MMEngineValLoop):
    """mmengine's; dead data workers are replaced, see `SteadyBatches`."""

    def __init__(self, runner: Any, dataloader: Any, evaluator: Any, fp16: bool = False) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.dataloader: Any = SteadyBatches(self.dataloader, "val_dataloader", runner.worker_restarts)


@LOOPS.register_module()
class TestLoop(MMEngineTestLoop):
    """mmengine's; dead data workers are replaced, see `SteadyBatches`."""

    __test__ = False  # no test of pytest's

    def __init__(self, runner: Any, dataloader: Any, evaluator: Any, fp16: bool = False) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.dataloader: Any = SteadyBatches(self.dataloader, "test_dataloader", runner.worker_restarts)
