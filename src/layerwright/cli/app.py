"""The entry point: finds the verb, runs it, and turns errors into messages and exit codes.

Exit codes: 0 fine, 1 a run that failed, 2 wrong usage, 130 interrupted (docs/decisions/0003).
"""

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from layerwright import __version__
from layerwright.cli.help_examples import epilogue
from layerwright.errors import LayerwrightError

VERBS = (
    "check", "rule", "rules", "new", "init", "summary", "graph", "train", "evaluate", "predict",
    "resume", "report", "export", "env",
)  # fmt: skip
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what follows the program's name; None takes those of this process.
    """
    try:
        code = build_app()(
            sys.argv[1:] if arguments is None else list(arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()  # a reader that has gone is met here, not at exit
    except CycloptsError as error:
        verb = " ".join(["layerwright", *(error.command_chain or ())])
        return _fail(f"{error} See: {verb} --help", 2)
    except LayerwrightError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; let that go nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(code or 0)


def build_app() -> App:
    """Return the command line with all its verbs, none of them imported."""
    app = App(
        name="layerwright",
        help="Build custom PyTorch layers, know that they are right, and train them exactly.",
        version=__version__,
        help_format="markdown",
        default_parameter=Parameter(show_default=False),
        suppress_keyboard_interrupt=False,
    )
    for place, verb in enumerate(VERBS):
        app.command(
            f"layerwright.cli.{verb}:{verb}",
            name=verb,
            help=_docstring(verb),
            help_epilogue=epilogue(verb),
            sort_key=place,
        )
    app.register_install_completion_command(
        add_to_startup=False,  # a shell's own start file is the user's
        help="Write the script that completes verbs and options with the tab key.",
    )
    return app


def _docstring(verb: str) -> str | None:
    """Read a verb's help from its source, so that listing the verbs imports none of them."""
    source = Path(__file__).with_name(f"{verb}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == verb:
            return ast.get_docstring(node)
    return None


def _fail(message: str, code: int) -> int:
    rank = f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"{rank}error: {message}", file=sys.stderr)
    return code
