"""The search itself: configuration, strategies, the study, executors, exports and the command line."""
