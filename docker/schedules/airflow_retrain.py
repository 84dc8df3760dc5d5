"""A batch of retraining each night by Apache Airflow 3, on workers that have the checkout /opt/roadsign.

To be put into Airflow's folder of DAGs. Of several nights that were missed the last one is made up for: one batch takes
all that is new.
"""

from datetime import UTC, datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="roadsign_retrain",
    schedule="17 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
):
    BashOperator(
        task_id="retrain",
        bash_command="exec .venv/bin/python jobs/retrain.py dataset.root=data/raw/GTSRB",
        cwd="/opt/roadsign",
        skip_on_exit_code=75,  # another batch is running
    )
