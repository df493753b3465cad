"""The command line's page, from the verbs' docstrings, as `layerwright VERB --help` shows them."""

from layerwright.cli.app import build_app

_EXIT_CODES = """
Exit codes: 0 fine, 1 a run that failed or a finding of severity error, 2 wrong usage, 130
interrupted. Every verb takes `--json`.
"""


def verb_pages() -> dict[str, str]:
    """Return the Markdown of the command line's page, by path."""
    text = build_app().generate_docs(output_format="markdown", include_hidden=False)
    head, _, rest = text.replace("# layerwright\n", "# Command line\n", 1).partition("\n## ")
    verbs = rest[rest.index("**Commands**") :]  # behind a table of contents, which the site has
    return {"command-line.md": f"{head}\n{_EXIT_CODES}\n{verbs}"}
