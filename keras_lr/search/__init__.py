"""Measuring what each learning rate leads to: a log-grid search on KerasTuner."""
