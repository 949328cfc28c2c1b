"""A DAG of Airflow: the sync runs when the models before it are built.

Exit code 3 (dead letters, or rows that cannot be sent) fails the task. It may be retried: a run goes on where it was.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="customers_to_hubspot",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a missed run is made up for by the next one: it sends all that has changed
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    build = BashOperator(task_id="build", bash_command="cd /srv/dbt && dbt build --select customers")
    sync = BashOperator(
        task_id="sync", bash_command="cd /srv/writeback && writeback syncs run customers --wait --timeout 3600"
    )
    build >> sync
