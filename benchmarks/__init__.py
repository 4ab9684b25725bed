"""The budgets of this project, measured beside Sacred and tensorboardX in one interleaved run."""
