"""Every module of torch.nn with every forward input that torch's own tests give it."""

import warnings
from collections.abc import Iterator
from typing import Any

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
        frozen = torch.backends.flags_frozen()
        from torch.testing._internal.common_modules import module_db

        # The import forbids the whole process to set flags of torch.backends: allow it again.
        switches = torch.backends.flags_frozen.__globals__
        switches["__allow_nonbracketed_mutation_flag"] = not frozen

        for entry in module_db:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                cases = list(_cases(entry, training=training, all_inputs=all_inputs))
            yield from cases


def _cases(entry: Any, *, training: bool, all_inputs: bool) -> Iterator[Case]:
    place = 0
    samples = entry.module_inputs_func(
        entry, device="cpu", dtype=_dtype_of(entry), requires_grad=False, training=training
    )
    for sample in samples:
        given, made = sample.forward_input, sample.constructor_input
        if given is None:
            continue
        layer = entry.module_cls(*made.args, **made.kwargs).train(training)
        name = entry.name if place == 0 else f"{entry.name}-{place}"
        yield Case(layer.to(_dtype_of(entry)), given.args, given.kwargs, name=name)
        place += 1
        if not all_inputs:
            return


def _dtype_of(entry: Any) -> torch.dtype:
    """Return float32, or float64 for entries whose inputs hold tensors made for float64."""
    samples = entry.module_inputs_func(
        entry, device="cpu", dtype=torch.float32, requires_grad=False, training=False
    )
    made = (*samples[0].constructor_input.args, *samples[0].constructor_input.kwargs.values())
    doubled = any(isinstance(item, torch.Tensor) and item.dtype == torch.float64 for item in made)
    return torch.float64 if doubled else torch.float32
