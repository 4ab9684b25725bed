"""Look at runs from Python: choose them, compare them, take their points as arrays.

python look_at_runs.py           makes three small runs, and asks about those that are there
"""

import sacred

for momentum in (0.0, 0.5, 0.9):
    with sacred.start_run("descent", config={"momentum": momentum, "lr": 0.05}) as run:
        x, speed = 1.0, 0.0
        for step in range(50):
            speed = momentum * speed - 0.05 * 2 * x
            x += speed
            run.log_scalar("distance", abs(x), step)
        run.result = abs(x)

runs = sacred.runs().where("name = 'descent' and config.lr = 0.05").last(3)
print(f"{len(runs)} runs, the nearest first:")
for run in runs.sort("metrics.distance.last"):
    distance = run.metrics["distance"]
    near = int((distance.values < 0.01).sum())
    print(f"  momentum {run.config['momentum']}: {near} of {len(distance)} steps within 0.01")
