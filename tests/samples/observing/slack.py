from sacred import Experiment
from sacred.observers import SlackObserver

ex = Experiment("slack")
slack_obs = SlackObserver.from_config("slack.json")
ex.observers.append(slack_obs)
slack_obs = SlackObserver("https://hooks.slack.com/services/T0/B0/X")
