"""A study: many trainings of a classifier whose settings Optuna proposes, judged by their accuracy on the validation
tracks. Hands out `tune`, which runs a study or goes on with it; imported by jobs. The only importer of Optuna."""
