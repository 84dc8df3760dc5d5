"""Pure image mathematics on NumPy, and the Spark frames that apply it. Never imports torch or MLflow.

settings.py is the only reader of YAML; errors.py holds the errors that a user can cause and fix. Everything else is in
rooms."""
