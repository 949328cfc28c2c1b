"""An asset of Dagster: what HubSpot has of the customers, with each run's reckoning as its metadata."""

import json
import subprocess

import dagster as dg

RUN = ["writeback", "syncs", "run", "customers", "--wait", "--timeout", "3600", "--json"]
INCOMPLETE = 3


@dg.asset(deps=["customers"], retry_policy=dg.RetryPolicy(max_retries=2, delay=300))
def hubspot_customers() -> dg.MaterializeResult:
    """All that has changed is delivered; dead letters fail the run, after it has counted them."""
    done = subprocess.run(RUN, cwd="/srv/writeback", capture_output=True, text=True, check=False)
    if done.returncode not in {0, INCOMPLETE}:
        raise dg.Failure(done.stderr)
    reckoning = json.loads(done.stdout)
    if done.returncode == INCOMPLETE:
        raise dg.Failure("not everything was delivered", metadata=reckoning)
    return dg.MaterializeResult(metadata={name: reckoning[name] for name in ("read", "sent", "delivered", "dead")})


every_morning = dg.ScheduleDefinition(job=dg.define_asset_job("sync", [hubspot_customers]), cron_schedule="0 6 * * *")
defs = dg.Definitions(assets=[hubspot_customers], schedules=[every_morning])
