"""Image maths on NumPy and the Spark frames that apply it. Never imports torch or mlflow."""
