"""Every layer and network of five tutorials, as a reader would type it, and what check says of it.

The tutorials teach how to write custom layers; about half of their snippets do not work. Beside
each snippet stands a verdict that was written by hand:

- right: it does what its tutorial says; check finds no error and no warning;
- wasteful: the values are right, but computed in a roundabout way; check warns or notes;
- wrong: it raises, or its numbers mean something else; check names the fault and the cure, as the
  only error or warning.

The table shows the verdict, what check found, and the cure in the words of check. The exit code is
1 if check disagrees with a verdict.

Run it: python examples/02_the_articles_snippets.py
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import layerwright as lw
from layerwright.contract.loading.scripts import find_in, load_script
from layerwright.errors import TargetError

CUSTOM_CONV = """
import torch
import torch.nn as nn

class CustomConv2d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride, padding):
        super(CustomConv2d, self).__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)

    def forward(self, x):
        return self.conv(x)
"""

CUSTOM_MODULE = """
import torch
import torch.nn as nn

class CustomModule(nn.Module):
    def __init__(self):
        super(CustomModule, self).__init__()
        self.conv = nn.Conv2d(3, 64, 3, 1, 1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x):
        x = self.conv(x)
        x = self.relu(x)
        x = self.pool(x)
        return x
"""

MY_LINEAR = """
import torch
import torch.nn as nn

class MyLinear(nn.Module):
    def __init__(self, in_features, out_features):
        super(MyLinear, self).__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.linear(x)

ml = MyLinear(10, 5)
print(ml)
"""

MY_CONV = """
import torch
import torch.nn as nn

class MyConv2d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=False):
        super(MyConv2d, self).__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)

    def forward(self, x):
        return self.conv(x)

mc = MyConv2d(3, 6, 3)
"""  # noqa: E501 - as the tutorial has it

MY_CONV_BIAS = (
    MY_CONV
    + """
model = mc
print(model.conv.weight.shape) # weight shape is [6, 3, 3, 3]
print(model.conv.bias.shape)   # bias shape is [6]
"""
)

SIMPLE_NET = """
import torch
import torch.nn as nn
import torch.nn.functional as F

class SimpleNet(nn.Module):
    def __init__(self):
        super(SimpleNet, self).__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)
"""

TRAINING = """
train_dataset = torchvision.datasets.MNIST(root='./data', train=True, transform=torchvision.transforms.ToTensor(), download=True)
train_loader = torch.utils.data.DataLoader(dataset=train_dataset, batch_size=64, shuffle=True)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
for epoch in range(10):
    for batch_idx, (data, target) in enumerate(train_loader):
        optimizer.zero_grad()
        output = model(data)
        loss = criterion(output, target)
        loss.backward()
        optimizer.step()
"""  # noqa: E501 - as the tutorial has it

CUSTOM_NET = """
import torch
import torch.nn as nn
import torch.nn.functional as F

class CustomNet(nn.Module):
    def __init__(self):
        super(CustomNet, self).__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 64 * 7 * 7)
        x = self.dropout(F.relu(self.fc1(x)))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)
"""

CUSTOM_NET_CIFAR = CUSTOM_NET.replace("nn.Conv2d(1, 32", "nn.Conv2d(3, 32")  # with dropout too

CUSTOM_NET_BATCHNORM = """
import torch
import torch.nn as nn
import torch.nn.functional as F

class CustomNet(nn.Module):
    def __init__(self):
        super(CustomNet, self).__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.batchnorm1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = self.batchnorm1(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 64 * 7 * 7)
        x = self.dropout(F.relu(self.fc1(x)))
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)
"""

CUSTOM_RELU = """
import torch
import torch.nn as nn

class CustomReLU(nn.Module):
    def __init__(self):
        super(CustomReLU, self).__init__()

    def forward(self, x):
        return torch.max(x, 0)
"""

CONV_NET = """
import torch.nn as nn

class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()

        self.conv1 = nn.Conv2d(1, 10, kernel_size=5) # in_channels, out_channels, kernel_size
        self.pool1 = nn.MaxPool2d(kernel_size=2)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.pool2 = nn.MaxPool2d(kernel_size=2)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = nn.functional.relu(self.conv1(x))
        x = self.pool1(x)
        x = nn.functional.relu(self.conv2(x))
        x = self.pool2(x)
        x = x.view(-1, 320)
        x = nn.functional.relu(self.fc1(x))
        x = self.fc2(x)
        return x
"""

SEQUENTIAL = """
import torch.nn as nn

model = nn.Sequential(
    nn.Conv2d(in_channels=3, out_channels=6, kernel_size=5),
    nn.ReLU(),
    nn.MaxPool2d(kernel_size=2),

    nn.Conv2d(in_channels=6, out_channels=16, kernel_size=5),
    nn.ReLU(),
    nn.MaxPool2d(kernel_size=2),

    nn.Flatten(),
    nn.Linear(7*7*16, 120),
    nn.ReLU(),

    nn.Linear(120, 84),
    nn.ReLU(),

    nn.Linear(84, num_classes))

for m in model.modules():
    if isinstance(m, nn.Conv2d):
        nn.init.kaiming_normal_(m.weight, mode='fan_out', nonlinearity='relu')
    elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
        nn.init.constant_(m.weight, 1)
        nn.init.constant_(m.bias, 0)
    elif isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        nn.init.constant_(m.bias, 0)
"""

SEQUENTIAL_10 = SEQUENTIAL.replace(
    "import torch.nn as nn", "import torch.nn as nn\nnum_classes = 10"
)
SEQUENTIAL_CURED = SEQUENTIAL_10.replace("7*7*16", "5*5*16")

CLASSES = torch.tensor([3, 1, 4, 1])


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A snippet, how a reader uses it, and the verdict written by hand.

    Attributes:
        article: the tutorial, 1 to 5.
        title: what it is and what it is fed with.
        code: as it was typed.
        build: makes the layer from what the code defines.
        shape: of the input.
        verdict: "right", "wasteful" or "wrong".
        rule: the rule that has to say so; "" for none, "loading" if the code itself cannot run.
        why: the verdict's reason.
        loss: train with CrossEntropyLoss, as the tutorial does.
        run_script: run all of the code, not only what it defines.
    """

    article: int
    title: str
    code: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    verdict: Literal["right", "wasteful", "wrong"]
    rule: str = ""
    why: str = ""
    loss: bool = False
    run_script: bool = False


SNIPPETS = [
    Snippet(
        article=1,
        title="CustomConv2d",
        code=CUSTOM_CONV,
        build=lambda names: names.CustomConv2d(3, 6, 3, 1, 1),
        shape=(4, 3, 8, 8),
        verdict="right",
    ),
    Snippet(
        article=1,
        title="CustomModule",
        code=CUSTOM_MODULE,
        build=lambda names: names.CustomModule,
        shape=(4, 3, 8, 8),
        verdict="right",
    ),
    Snippet(
        article=2,
        title="MyLinear(10, 5)",
        code=MY_LINEAR,
        build=lambda names: names.MyLinear(10, 5),
        shape=(2, 10),
        verdict="right",
    ),
    Snippet(
        article=2,
        title="MyConv2d(3, 6, 3)",
        code=MY_CONV,
        build=lambda names: names.MyConv2d(3, 6, 3),
        shape=(2, 3, 28, 28),
        verdict="right",
    ),
    Snippet(
        article=2,
        title="MyConv2d: mc.conv.bias.shape",
        code=MY_CONV_BIAS,
        build=lambda names: names.mc,
        shape=(2, 3, 28, 28),
        verdict="wrong",
        rule="loading",
        why="bias=False is the default here, so that mc.conv.bias is None",
        run_script=True,
    ),
    Snippet(
        article=3,
        title="SimpleNet on 784 features",
        code=SIMPLE_NET,
        build=lambda names: names.SimpleNet,
        shape=(4, 784),
        verdict="right",
    ),
    Snippet(
        article=3,
        title="SimpleNet with CrossEntropyLoss",
        code=SIMPLE_NET,
        build=lambda names: names.SimpleNet,
        shape=(4, 784),
        verdict="wasteful",
        rule="NET005",
        why="the loss applies log_softmax a second time",
        loss=True,
    ),
    Snippet(
        article=3,
        title="SimpleNet in its training loop: images",
        code=SIMPLE_NET + TRAINING,
        build=lambda names: names.SimpleNet,
        shape=(4, 1, 28, 28),
        verdict="wrong",
        rule="NET001",
        why="the loader yields images, nothing flattens them",
        loss=True,
    ),
    Snippet(
        article=3,
        title="its training loop, run",
        code=SIMPLE_NET + TRAINING,
        build=lambda names: names.SimpleNet,
        shape=(4, 1, 28, 28),
        verdict="wrong",
        rule="loading",
        why="torchvision is never imported, model never made",
        run_script=True,
    ),
    Snippet(
        article=3,
        title="CustomNet on MNIST, 28x28",
        code=CUSTOM_NET,
        build=lambda names: names.CustomNet,
        shape=(4, 1, 28, 28),
        verdict="right",
    ),
    Snippet(
        article=3,
        title="CustomNet with CrossEntropyLoss",
        code=CUSTOM_NET,
        build=lambda names: names.CustomNet,
        shape=(4, 1, 28, 28),
        verdict="wasteful",
        rule="NET005",
        why="the loss applies log_softmax a second time",
        loss=True,
    ),
    Snippet(
        article=3,
        title="CustomNet on CIFAR-10, 32x32",
        code=CUSTOM_NET_CIFAR + TRAINING,
        build=lambda names: names.CustomNet,
        shape=(4, 3, 32, 32),
        verdict="wrong",
        rule="NET001",
        why="two poolings leave 8x8 of 32x32, not 7x7",
        loss=True,
    ),
    Snippet(
        article=3,
        title="CustomReLU",
        code=CUSTOM_RELU,
        build=lambda names: names.CustomReLU,
        shape=(4, 3, 8, 8),
        verdict="wrong",
        rule="BAT011",
        why="torch.max(x, 0) is the maximum over the samples, with its places",
    ),
    Snippet(
        article=3,
        title="CustomReLU in a network",
        code=CUSTOM_RELU,
        build=lambda names: nn.Sequential(nn.Linear(12, 8), names.CustomReLU(), nn.Linear(8, 3)),
        shape=(4, 12),
        verdict="wrong",
        rule="NET001",
        why="torch.max(x, 0) is a pair",
    ),
    Snippet(
        article=3,
        title="CustomNet with batch norm, 32x32",
        code=CUSTOM_NET_BATCHNORM,
        build=lambda names: names.CustomNet,
        shape=(4, 3, 32, 32),
        verdict="wrong",
        rule="NET001",
        why="a pooling was lost: 16x16 is left, not 7x7",
    ),
    Snippet(
        article=3,
        title="CustomNet with batch norm, 28x28",
        code=CUSTOM_NET_BATCHNORM,
        build=lambda names: names.CustomNet,
        shape=(4, 3, 28, 28),
        verdict="wrong",
        rule="NET003",
        why="a pooling was lost: view makes 16 rows of 4 samples",
    ),
    Snippet(
        article=3,
        title="the same with CrossEntropyLoss",
        code=CUSTOM_NET_BATCHNORM,
        build=lambda names: names.CustomNet,
        shape=(4, 3, 28, 28),
        verdict="wrong",
        rule="NET003",
        why="16 answers for 4 targets",
        loss=True,
    ),
    Snippet(
        article=3,
        title="CustomNet with dropout, 32x32",
        code=CUSTOM_NET_CIFAR,
        build=lambda names: names.CustomNet,
        shape=(4, 3, 32, 32),
        verdict="wrong",
        rule="NET001",
        why="two poolings leave 8x8 of 32x32, not 7x7",
    ),
    Snippet(
        article=4,
        title="ConvNet on one image, 28x28",
        code=CONV_NET,
        build=lambda names: names.ConvNet,
        shape=(1, 1, 28, 28),
        verdict="right",
    ),
    Snippet(
        article=4,
        title="ConvNet with CrossEntropyLoss",
        code=CONV_NET,
        build=lambda names: names.ConvNet,
        shape=(4, 1, 28, 28),
        verdict="right",
        loss=True,
    ),
    Snippet(
        article=4,
        title="ConvNet on 16 images, 32x32",
        code=CONV_NET,
        build=lambda names: names.ConvNet,
        shape=(16, 1, 32, 32),
        verdict="wrong",
        rule="NET003",
        why="view(-1, 320) makes 25 rows of 16 samples",
    ),
    Snippet(
        article=5,
        title="Sequential",
        code=SEQUENTIAL,
        build=lambda names: names.model,
        shape=(4, 3, 32, 32),
        verdict="wrong",
        rule="loading",
        why="num_classes is not defined",
    ),
    Snippet(
        article=5,
        title="Sequential, 10 classes, 32x32",
        code=SEQUENTIAL_10,
        build=lambda names: names.model,
        shape=(4, 3, 32, 32),
        verdict="wrong",
        rule="NET001",
        why="its poolings leave 5x5 of 32x32, not 7x7",
        run_script=True,
    ),
    Snippet(
        article=5,
        title="Sequential, 10 classes, 28x28",
        code=SEQUENTIAL_10,
        build=lambda names: names.model,
        shape=(4, 3, 28, 28),
        verdict="wrong",
        rule="NET001",
        why="its poolings leave 4x4 of 28x28, not 7x7",
        run_script=True,
    ),
    Snippet(
        article=5,
        title="Sequential, cured, and its initialisation loop",
        code=SEQUENTIAL_CURED,
        build=lambda names: names.model,
        shape=(4, 3, 32, 32),
        verdict="right",
        loss=True,
        run_script=True,
    ),
]


@dataclass(frozen=True)
class Said:
    """What check said of a snippet: severity by rule of its root findings, and the first cure."""

    findings: dict[str, str]
    cure: str


def judge(snippet: Snippet, file: Path) -> Said:
    """Write the snippet to a file, load it as `layerwright check` does, and check the layer."""
    file.write_text(snippet.code.lstrip(), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # some snippets print
            script = load_script(file, run=snippet.run_script, wanted=["model"])
        if snippet.rule == "loading":
            find_in(script, "model")
        layer = snippet.build(script.module)
    except TargetError as error:
        return Said({"loading": "error"}, str(error).replace(f"{file.parent}/", ""))
    loss = nn.CrossEntropyLoss() if snippet.loss else None
    target = CLASSES if snippet.loss else None
    torch.manual_seed(0)
    report = lw.check(layer, torch.randn(snippet.shape), loss=loss, target=target)
    roots = [item for item in report.findings if item.explained_by is None]
    crashes = {item.rule_id: "crash" for item in report.results if item.outcome == "error"}
    return Said(
        {item.rule_id: item.severity or "error" for item in roots} | crashes,
        roots[0].fix if roots else "",
    )


def agrees(snippet: Snippet, said: Said) -> bool:
    """Tell whether what check said is the verdict."""
    loud = {rule: severity for rule, severity in said.findings.items() if severity != "note"}
    if snippet.verdict == "right":
        return not loud
    if snippet.verdict == "wasteful":
        return snippet.rule in said.findings and "error" not in loud.values()
    return set(loud) == {snippet.rule}


def main() -> int:
    """Print the table; return 1 if check disagrees with a verdict."""
    table = Table(
        "", "snippet", "verdict", "check found", "cure, in the words of check", show_lines=True
    )
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number, snippet in enumerate(SNIPPETS, start=1):
            said = judge(snippet, Path(folder) / f"typed_{number}.py")
            found = ", ".join(f"{rule} {severity}" for rule, severity in said.findings.items())
            mark = "" if agrees(snippet, said) else f"\nDISAGREES: expected {snippet.rule or 'ok'}"
            table.add_row(
                str(snippet.article),
                snippet.title,
                snippet.verdict + (f": {snippet.why}" if snippet.why else ""),
                (found or "nothing") + mark,
                said.cure,
            )
            wrong += [snippet] * bool(mark)
    Console(width=140).print(table)
    for snippet in wrong:
        print(f"check disagrees: {snippet.title}, expected {snippet.rule or 'nothing'}")
    print(f"{len(SNIPPETS) - len(wrong)} of {len(SNIPPETS)} verdicts as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
