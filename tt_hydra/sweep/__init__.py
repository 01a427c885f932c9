"""Studies: Optuna over any key of the configuration, and what a study found."""
