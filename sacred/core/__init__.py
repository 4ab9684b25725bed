"""The experiment framework: configuration, ingredients, runs and the command line."""
