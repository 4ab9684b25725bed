"""A script of one's own, recorded without an experiment: no decorators, its own command line.

$ python plain_script.py --degree 2
run 1: error 0.0000

$ python plain_script.py --degree 1
run 2: error 0.9614

$ sacred query "select run, value from metrics where metric = 'error' order by value limit 1"
"""

from __future__ import annotations

import argparse

import sacred


def values(coefficients: list[float], points: list[float]) -> list[float]:
    """Return a polynomial's values."""
    return [sum(c * x**power for power, c in enumerate(coefficients)) for x in points]


def fit(run: sacred.ActiveRun, degree: int, rate: float, steps: int) -> float:
    """Fit a polynomial to a parabola by going downhill, and return the mean square error."""
    points = [-1 + i / 10 for i in range(21)]
    wanted = [3 * x**2 for x in points]
    coefficients = [0.0] * (degree + 1)
    error = 0.0
    for step in range(steps):
        differences = [
            value - aim for value, aim in zip(values(coefficients, points), wanted, strict=True)
        ]
        error = sum(d * d for d in differences) / len(points)
        run.log_scalar("error", error, step)
        for power in range(degree + 1):
            slope = sum(d * x**power for d, x in zip(differences, points, strict=True))
            coefficients[power] -= rate * 2 * slope / len(points)
    run.info["coefficients"] = coefficients
    return error


def main() -> None:
    """Read the command line, run, say what came out."""
    parser = argparse.ArgumentParser(description="Fit a polynomial to a parabola.")
    parser.add_argument("--degree", type=int, default=2)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()

    with sacred.start_run("parabola", config=vars(arguments)) as run:
        run.result = fit(run, **run.config)
        with open("coefficients.txt", "w", encoding="utf-8") as file:
            print(*run.info["coefficients"], file=file)
        run.add_artifact("coefficients.txt")
    print(f"run {run.id}: error {run.result:.4f}")


if __name__ == "__main__":
    main()
