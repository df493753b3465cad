"""Every module of torch.nn with every forward input that torch's own tests give it."""

import contextlib
import warnings
from collections.abc import Iterator

import torch

from layerwright.contract.case import Case


def torch_modules(*, training: bool, all_inputs: bool = False) -> Iterator[Case]:
    """Yield cases built from `module_db`, the list that torch tests its modules with.

    Args:
        training: hand the modules over in training mode, else in eval mode.
        all_inputs: every forward input of an entry, else the first.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db

        for entry in module_db:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                cases = list(_cases(entry, training=training, all_inputs=all_inputs))
            yield from cases


def _cases(entry: object, *, training: bool, all_inputs: bool) -> Iterator[Case]:
    samples = entry.module_inputs_func(  # type: ignore[attr-defined]
        entry, device="cpu", dtype=torch.float32, requires_grad=False, training=training
    )
    place = 0
    for sample in samples:
        if sample.forward_input is None:
            continue
        made = sample.constructor_input
        with contextlib.suppress(ImportError, RuntimeError):  # a backend that this build lacks
            layer = entry.module_cls(*made.args, **made.kwargs)  # type: ignore[attr-defined]
            given = sample.forward_input
            name = entry.name if place == 0 else f"{entry.name}-{place}"  # type: ignore[attr-defined]
            yield Case(layer.train(training), given.args, given.kwargs, name=name)
            place += 1
            if not all_inputs:
                return
