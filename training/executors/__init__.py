"""What runs inside Spark tasks: attack, score, generate; and the settings of the jobs that send it there. Imported by
jobs and by retraining."""
