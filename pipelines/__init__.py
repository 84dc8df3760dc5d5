"""Pure image mathematics on NumPy, and the Spark frames that apply it. Never imports torch or MLflow.

settings.py is the only reader of YAML; errors.py has what users can do wrong. All else lies in rooms."""
