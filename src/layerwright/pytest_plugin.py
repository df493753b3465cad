"""The pytest plugin: one option. It imports neither torch nor the contract."""

from typing import Any

# What the command line asked for; read by layerwright.testing, if a test module imports it.
tier: str | None = None


def pytest_addoption(parser: Any) -> None:
    """Add `--layerwright-tier`."""
    parser.getgroup("layerwright").addoption(
        "--layerwright-tier",
        choices=("standard", "full"),
        default=None,
        help="rules that parametrize_with_rules runs, instead of what the tests ask for: "
        "standard, or full with compilers, export and distribution",
    )


def pytest_configure(config: Any) -> None:
    """Keep the option for the test modules, which are imported later."""
    global tier  # noqa: PLW0603 - a process has one command line
    tier = config.getoption("--layerwright-tier")
