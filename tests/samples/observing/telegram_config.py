from sacred import Experiment
from sacred.observers import TelegramObserver

ex = Experiment("telegram")
telegram_obs = TelegramObserver.from_config("telegram.json")
ex.observers.append(telegram_obs)
