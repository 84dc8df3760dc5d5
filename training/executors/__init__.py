"""The code that runs inside Spark tasks: attack, score, generate; and the settings of the jobs that submit it. Imported
by jobs and by retraining."""
