"""A backward of your own, proved: the mistake in it, and the test that keeps it right.

SiLU, `x * sigmoid(x)`, is written as a `torch.autograd.Function` that saves only its input. The
first backward returns `sigmoid(x)`: it forgets that the gate depends on x too. Nothing raises, the
network even learns, only worse. `lw.check` compares backward with differences of forward and shows
an entry, the gradient that backward returned and the one that forward says.

`test_contract` below is what a test suite needs: one test for each rule on the layer. This file
runs it at its end, for which it needs pytest.

Run it: python examples/03_prove_your_own_backward.py
"""

import subprocess
import sys

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

import layerwright as lw


class WrongSiLUFunction(Function):
    """SiLU with a backward that treats the gate as a constant."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        """Return `x * sigmoid(x)`."""
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_output: Tensor) -> Tensor:
        """Return the gradient of x, without the part through the gate."""
        (x,) = ctx.saved_tensors
        return grad_output * torch.sigmoid(x)


class SiLUFunction(Function):
    """SiLU with the whole derivative."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        """Return `x * sigmoid(x)`."""
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_output: Tensor) -> Tensor:
        """Return the gradient of x: `gate + x * gate * (1 - gate)`."""
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return grad_output * (gate + x * gate * (1 - gate))


class WrongSiLU(nn.Module):
    """The layer on the wrong function."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x * sigmoid(x)`."""
        return WrongSiLUFunction.apply(x)


class SiLU(nn.Module):
    """The layer on the right function."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x * sigmoid(x)`."""
        return SiLUFunction.apply(x)


@lw.testing.parametrize_with_rules([lw.Case(SiLU, torch.linspace(-3.0, 3.0, 24).view(4, 6))])
def test_contract(promise: lw.testing.Promise) -> None:
    """Each promise of the contract is kept."""
    promise()


def main() -> int:
    """Tell the story; return 1 if a verdict is not the expected one."""
    x = torch.linspace(-3.0, 3.0, 24).view(4, 6)

    print("1. The wrong backward\n")
    wrong = lw.check(WrongSiLU(), x)
    for finding in wrong.findings:
        print(f"{finding.severity}: {finding.rule_id} {finding.rule_name}")
        print(f"  where     {finding.place}\n  expected  {finding.expected}")
        print(f"  found     {finding.found}\n  fix       {finding.fix}")

    print("\n2. The right one\n")
    right = lw.check(SiLU(), x)
    print(right)

    print("\n3. The same as tests, one for each rule\n")
    words = [sys.executable, "-m", "pytest", __file__, "-q", "-r", "fE", "-p", "no:cacheprovider"]
    tests = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - us
    print(tests.stdout.strip().splitlines()[-1] if tests.stdout.strip() else tests.stderr)

    ids = [finding.rule_id for finding in wrong.findings if finding.explained_by is None]
    expected = ids == ["GRD001"] and right.ok and not right.findings and tests.returncode == 0
    print("as expected" if expected else f"not as expected: found {ids}\n{tests.stdout}")
    return 0 if expected else 1


if __name__ == "__main__":
    sys.exit(main())
