"""What `--help` of each verb ends with: commands as a person types them, and the exit codes."""

EXIT_CODES = (
    "Exit codes: 0 fine, 1 a run that failed or a finding of severity error, 2 wrong usage, "
    "130 interrupted."
)

# by verb: command lines without the program's name, and what each is for
EXAMPLES = {
    "check": (
        ('check "net.py:Net(3)" --input 4x3x32x32', "one layer, on one input"),
        ("check net.py", "every layer of a file that has example_inputs"),
        ("check mypackage --tier full --format sarif --output f.sarif", "a package, for a review"),
        ("check net.py:Net --input 4x3x32x32 --pdb", "stop where the first finding points"),
    ),
    "rule": (("rule GRD001", "a page by id"), ("rule wrong-gradient", "or by name")),
    "rules": (("rules", "all of them, by family"), ("rules --json", "for a program")),
    "new": (("new attention/my_layer", "a layer, its test and its case"),),
    "init": (
        ('init "net.py:Net(30)" --input 32x1x8x8', "what the first values do"),
        ("init runs/customnet-digits-1 --picture init.png", "of a run, drawn"),
    ),
    "summary": (("summary net.py:Net --input 16x3x32x32 --backward", "parameters, FLOPs, memory"),),
    "graph": (("graph net.py:Net net.svg --input 2x3x32x32", "a drawing"),),
    "train": (
        ("train", "CustomNet on the bundled digits"),
        ("train net.py:Net --data photos/ --epochs 20", "your network on your images"),
        ("train lenet --data mnist --optimizer sgd --lr 0.1", "built-in parts, other options"),
        ('train --from runs/net-1 --freeze "conv*"', "start with the weights of another run"),
    ),
    "evaluate": (
        ("evaluate runs/customnet-digits-1", "the test split"),
        ("evaluate runs/net-1 --network net.py:Net --split validation", "your own network"),
    ),
    "predict": (("predict runs/customnet-digits-1 seven.png", "class and probability"),),
    "resume": (
        ("resume runs/customnet-digits-1", "go on where it stopped"),
        (
            "resume runs/net-1 --network net.py:Net --loss losses.py:focal",
            "with your own parts named",
        ),
    ),
    "report": (("report runs/customnet-digits-1", "one page about the run"),),
    "export": (("export runs/customnet-digits-1 net.onnx", "for onnxruntime"),),
    "env": (("env", "for people"), ("env --json", "for a program")),
}


def epilogue(verb: str) -> str:
    """Return the end of a verb's help, in Markdown.

    Args:
        verb: a verb; one without examples has the exit codes only.
    """
    examples = EXAMPLES.get(verb, ())
    lines = [f"    # {purpose}\n    layerwright {line}" for line, purpose in examples]
    return "\n\n".join([*(["\n".join(["Examples:", "", *lines])] if lines else []), EXIT_CODES])
