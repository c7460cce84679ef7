"""MAML on Omniglot as a submission: `fuxian new`, then the whole acceptance but for the chain.

The chain of a recipe with a forward of its own is in tests/submission/test_recipe_commands.py.
"""

import json

import pytest

from fuxian.datasets import omniglot
from fuxian.errors import InputError
from fuxian.paper import load_paper
from fuxian.submission.manifest import reproduced_papers
from fuxian.submission.new import new
from fuxian.verdict import Measurements, rule
from fuxian.verify.verify import verify

CLAIM = "omniglot-5way-1shot"


def test_it_gives_the_main_jobs_figure_and_verdict(sandbox, tmp_path):
    try:
        omniglot.load()
    except InputError as error:
        pytest.skip(f"Omniglot is not here: {error}")
    team = {"name": "The Learners", "number": "7", "repo": "https://github.com/learners/maml"}
    team |= {"members": ["Ada"], "email": "ada@learners.net"}
    made = new(tmp_path / "maml", f"maml/{CLAIM}", team)
    assert [one.id for one in made.findings if one.status == "fail"] == []
    with (made.folder / "fuxian.toml").open("a") as manifest:
        manifest.write("\n[commands]\nexport = []\n")

    done = verify(str(made.folder), tmp_path / "results")
    assert (done.verdict, done.reason.value) == ("accepted", "OK"), done.detail
    statuses = {step.name: step.status for step in done.steps}
    assert (statuses["replay"], statuses["chain"]) == ("pass", "not_applicable")
    assert done.measured.how == "predictions scored by the paper's recipe"
    assert done.measured.labels == "public labels"
    # What `fuxian new` has evaluated outside of any sandbox, ruled on as `fuxian evaluate` does.
    kept = json.loads((made.folder / f"results/{CLAIM}/measurements.json").read_text())
    claim = load_paper(reproduced_papers()["maml"]).claim(CLAIM)
    assert done.ruling == rule(claim, Measurements.from_dict(kept))
    assert f"{done.ruling.value:.4f}" == "0.9923"
