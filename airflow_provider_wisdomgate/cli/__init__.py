"""The command line: ``wisdomgate``, and ``airflow wisdomgate`` where Airflow lets providers add commands."""
