"""The command line's page, from the verbs' docstrings, as `layerwright VERB --help` shows them."""

from layerwright.cli.app import build_app
from layerwright.cli.help_examples import EXAMPLES, EXIT_CODES


def verb_pages() -> dict[str, str]:
    """Return the Markdown of the command line's page, by path."""
    text = build_app().generate_docs(output_format="markdown", include_hidden=False)
    head, _, rest = text.replace("# layerwright\n", "# Command line\n", 1).partition("\n## ")
    summary, *verbs = rest[rest.index("**Commands**") :].split("\n## layerwright ")
    parts = [head, f"{EXIT_CODES} Every verb takes `--json`.", summary]
    parts += [f"## layerwright {verb.rstrip()}\n\n{_examples(verb)}" for verb in verbs]
    return {"command-line.md": "\n\n".join(parts) + "\n"}


def _examples(section: str) -> str:
    lines = EXAMPLES.get(section.partition("\n")[0], ())
    if not lines:
        return ""
    commands = "\n".join(f"layerwright {line}  # {purpose}" for line, purpose in lines)
    return f"**Examples**:\n\n```sh\n{commands}\n```"
