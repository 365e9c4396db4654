"""`meterline rollout` with all its parts."""

from __future__ import annotations

from meterline.cli_acceptance import acceptance_app
from meterline.cli_assess import assess_app
from meterline.cli_council import conference_app, decision_app, matter_app, norm_app, training_app
from meterline.cli_release import release_app
from meterline.cli_rollout import rollout_app

__all__ = ["rollout_app"]

rollout_app.add_typer(release_app, name="release")
rollout_app.add_typer(assess_app, name="assess")
rollout_app.add_typer(acceptance_app, name="acceptance")
rollout_app.add_typer(matter_app, name="matter")
rollout_app.add_typer(conference_app, name="conference")
rollout_app.add_typer(decision_app, name="decision")
rollout_app.add_typer(norm_app, name="norm")
rollout_app.add_typer(training_app, name="training")
