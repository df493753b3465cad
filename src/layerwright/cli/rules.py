"""`layerwright rules`: all rules of the contract."""

from itertools import groupby
from typing import Annotated

from cyclopts import Parameter

from layerwright.cli.output import print_json


def rules(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """List the rules of the contract, your own too; layerwright rule ID prints one's page.

    Args:
        as_json: print one JSON object.
    """
    from layerwright.cli.project_config import project_config
    from layerwright.contract.catalog import catalog

    found = catalog(project_config().rules)
    if as_json:
        facts = ("id", "name", "promise", "family", "severity", "tier", "since", "status")
        print_json({"rules": [{key: getattr(item, key) for key in facts} for item in found]})
        return 0
    for family, members in groupby(found, key=lambda item: item.family):
        print(family)
        for item in members:
            marks: list[str] = [item.severity]
            if item.runs_with:
                marks.append(f"with {item.runs_with}")
            if item.status != "stable":
                marks.append(item.status)
            print(f"  {item.id} {item.name} ({', '.join(marks)})\n      {item.promise}")
    stable = sum(item.status == "stable" for item in found)
    print(f"{len(found)} rules, {stable} of them stable")
    return 0
