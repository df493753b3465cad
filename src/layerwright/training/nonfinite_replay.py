"""Explains a non-finite value by computing the run again from its last checkpoint.

Training is exact, so the replay meets the same value at the same step, and can look at each module
on the way; the run itself need not have.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from layerwright.training import network_state
from layerwright.training.assembly import Assembly, non_finite_state
from layerwright.training.gradient_steps import NonFiniteStep
from layerwright.training.nonfinite import Cause, find_cause
from layerwright.training.positions import restore_state


def explain(
    assembly: Assembly,
    state: Mapping[str, Any] | None,
    failure: NonFiniteStep | None,
    weights: str | None,
) -> str:
    """Return what became non-finite, where and when; leaves the state of just before it.

    Args:
        assembly: the parts of the run, at the failure.
        state: the last checkpoint; None when there is none to start from.
        failure: where a loss or gradient was met; None when only weights are non-finite.
        weights: the first non-finite parameter or buffer, when `failure` is None.
    """
    if state is None or assembly.data.unreplayable is not None:
        return _without_replay(assembly, failure, weights)
    restore_state(assembly, state)
    steps = assembly.steps
    if steps.epoch >= assembly.recipe.epochs:
        return _without_replay(assembly, failure, weights)
    if failure is None:
        return _explain_weights(assembly, weights)
    while steps.epoch < failure.epoch:
        _replay(assembly, None)
        steps.start_epoch(steps.epoch + 1)
    first = failure.batch - failure.batch % steps.accumulate
    _replay(assembly, first - steps.batch)
    cause = None
    batches = assembly.train_batches.epoch(failure.epoch, start=first)
    for batch in islice(batches, failure.batch - first + 1):
        before = network_state.capture(assembly.network)
        cause = _instrumented(assembly, *batch)
        network_state.restore(assembly.network, before)
        if cause is not None:
            break
    batches.close()
    found = assembly.processes.gathered(cause)  # only who holds the sample meets it
    cause = assembly.processes.agreed(lambda: next((c for c in found if c is not None), None))
    return _describe(assembly, failure, cause)


def without_look(assembly: Assembly, weights: str | None) -> str:
    """Say what became non-finite where no process holds whole layers to look into."""
    step = assembly.steps.step + 1
    return (
        f"training stopped at step {step}: {weights or 'the loss or a gradient'} is not finite. "
        "Fix: lower --lr, clip gradients with --clip-norm, or find the layer by training up to "
        "there without --shard."
    )


def _instrumented(assembly: Assembly, inputs: Any, target: Any) -> Cause | None:
    if assembly.autocast is None:
        return find_cause(assembly.network, inputs, target, assembly.steps.criterion)
    with assembly.autocast():
        return find_cause(assembly.network, inputs, target, assembly.steps.criterion)


def _replay(assembly: Assembly, num_batches: int | None) -> None:
    """Take the steps of this epoch again, all of them or those of `num_batches`."""
    steps = assembly.steps
    batches = assembly.train_batches.epoch(steps.epoch, start=steps.batch)
    steps.run(
        islice(batches, num_batches), due_at=lambda: (float("inf"), 2**62), on_due=lambda: True
    )
    steps.settle()
    batches.close()


def _explain_weights(assembly: Assembly, name: str | None) -> str:
    """Replay until the update that overflows."""
    steps = assembly.steps
    found: list[str] = []

    def still_finite() -> bool:
        found.extend(non_finite_state(assembly))
        if assembly.processes.any(bool(found)) and not found:
            found.append("a buffer of another process")
        return not found

    while not found and steps.epoch < assembly.recipe.epochs:
        batches = assembly.train_batches.epoch(steps.epoch, start=steps.batch)
        steps.run(batches, due_at=lambda: (0.0, 0), on_due=still_finite)
        batches.close()
        if not found:
            steps.start_epoch(steps.epoch + 1)
    if not found:
        return f"training stopped: {name} is not finite; a replay did not meet it again."
    where = f"step {steps.step} (epoch {steps.epoch + 1})"
    if found[0] in dict(assembly.network.named_buffers()):
        return (
            f"training stopped: buffer {found[0]} became non-finite in {where}; loss and gradients "
            "were finite. Fix: look at what the module that owns it computes."
        )
    return (
        f"training stopped: {found[0]} became non-finite in the update of {where}; loss and "
        "gradients were finite. Fix: lower --lr, or clip gradients with --clip-norm."
    )


def _describe(assembly: Assembly, failure: NonFiniteStep, cause: Cause | None) -> str:
    where = f"step {failure.step + 1} (epoch {failure.epoch + 1}, batch {failure.batch + 1})"
    indices = assembly.train_batches.sample_indices(failure.epoch, failure.batch)
    samples = ""
    if indices is not None:
        shown = ", ".join(str(int(index)) for index in indices[:5])
        samples = f" The batch holds the training samples {shown}, ..."
    if cause is None:
        return (
            f"training stopped: the loss or a gradient was not finite at {where}, and computing "
            f"the step again did not show it: an operator there is not deterministic.{samples}"
        )
    kind = type(assembly.network.get_submodule(cause.module)).__name__
    return (
        f"training stopped at {where}: the first non-finite value is the {cause.what} ({kind}): "
        f"{cause.counts}.{samples} Fix: bound what that computes (eps, clamp), lower --lr, or "
        "clip gradients with --clip-norm."
    )


def _without_replay(assembly: Assembly, failure: NonFiniteStep | None, weights: str | None) -> str:
    """The data cannot be had again: compute the failing batch once more, as the weights stand."""
    if failure is None:
        return f"training stopped: {weights} is not finite. Fix: lower --lr or clip gradients."
    batch = assembly.steps.failed_batch
    cause = None
    if batch is not None:
        for parameter in assembly.steps.parameters:
            parameter.grad = None
        cause = _instrumented(assembly, *batch)
    return _describe(assembly, failure, cause)
