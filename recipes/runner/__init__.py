"""The command line of the recipes: training, evaluation and the folder of a run."""
