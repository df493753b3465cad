"""`layerwright rules`: the list of all rules."""

import json
import sys

from layerwright.cli.app import main
from layerwright.contract.catalog import catalog


def test_every_rule_is_listed_with_its_promise(capsys):
    """Under its family, with severity, and what a check must be given for it to run."""
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for rule in catalog():
        (place,) = [n for n, line in enumerate(lines) if line.startswith(f"  {rule.id} ")]
        assert rule.name in lines[place]
        assert rule.severity in lines[place]
        wanted = "" if rule.tier == "standard" else "with --tier full"
        wanted = "with --ranks 2" if "ranks" in rule.needs else wanted
        wanted = f"with --select {rule.id}" if rule.status == "preview" else wanted
        assert wanted in lines[place]
        assert wanted or "with --" not in lines[place]
        assert lines[place + 1].strip() == rule.promise
    families = [line for line in lines if not line.startswith(" ")][:-1]
    assert families == list(dict.fromkeys(rule.family for rule in catalog()))
    stable = sum(rule.status == "stable" for rule in catalog())
    assert lines[-1] == f"{len(catalog())} rules, {stable} of them stable"


def test_json_holds_them_all(capsys):
    """One object, one entry for each rule."""
    assert main(["rules", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["rules"]
    assert [item["id"] for item in listed] == [rule.id for rule in catalog()]
    keys = {"id", "name", "promise", "family", "severity", "tier", "since", "status"}
    assert {frozenset(item) for item in listed} == {frozenset(keys)}


def test_own_rules_are_listed_and_a_missing_module_is_wrong_usage(capsys, tmp_path, monkeypatch):
    """The project file of the current folder names them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "list_rules.py").write_text(
        "from layerwright.contract import rule\n"
        "@rule('OWN003', 'never-wrong', promise='nothing', family='own', since='1')\n"
        "def never_wrong(probe):\n    '''Finds nothing.'''\n    return []\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.layerwright]\nrules = ["list_rules"]\n')
    assert main(["rules"]) == 0
    assert "OWN003 never-wrong (error)" in capsys.readouterr().out
    assert main(["rule", "OWN003"]) == 0  # a page of one line is a page
    assert "Finds nothing." in capsys.readouterr().out
    (tmp_path / "pyproject.toml").write_text('[tool.layerwright]\nrules = ["no_such_rules"]\n')
    assert main(["rules"]) == 2
    assert "'no_such_rules'" in capsys.readouterr().err
