"""The command line: ``wisdomgate``, and ``airflow wisdomgate`` if Airflow lets providers add commands."""
