"""Train a small neural network on handwritten digits, and record what a real training records.

Metrics of several names per epoch, printed progress, a picture as an artifact, a file that is read
as a resource, a named configuration and an ingredient for the data.

Try it::

    $ python digits.py
    $ python digits.py with wide epochs=50 data.noise=0.1
    $ python digits.py -F my_runs
    $ sacred show last
    $ sacred query "select metric, max(value) from metrics group by metric"
"""

import logging
import os
import tempfile
import time

from digits_data import data, load
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.neural_network import MLPClassifier

from sacred import Experiment

ex = Experiment("digits", ingredients=[data])


@ex.config
def config():
    epochs = 20  # how often the network sees every picture
    batch_size = 32  # pictures per step
    hidden = [32]  # width of each hidden layer
    learning_rate = 0.003
    pause = 0.0  # seconds to rest after each epoch, to have time to watch


@ex.named_config
def wide():
    """Two broad layers."""
    hidden = [128, 64]
    learning_rate = 0.001


@ex.capture
def build(hidden, learning_rate, batch_size, _seed):
    return MLPClassifier(
        hidden_layer_sizes=tuple(hidden),
        learning_rate_init=learning_rate,
        batch_size=batch_size,
        random_state=_seed,
    )


def draw_confusion(matrix, names, filename):
    """Draw how often which digit was taken for which."""
    import matplotlib as mpl

    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its font cache is no news of ours
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
    image = axes.imshow(matrix, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=45)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    figure.colorbar(image, label="pictures")
    figure.savefig(filename, dpi=100)
    plt.close(figure)


@ex.automain
def train(epochs, pause, _run, _log):
    here = os.path.dirname(os.path.abspath(__file__))
    with ex.open_resource(os.path.join(here, "digits_classes.txt")) as file:
        names = file.read().split()
    train_x, test_x, train_y, test_y = load()
    network = build()
    _log.info("training on %d pictures, testing on %d", len(train_x), len(test_x))
    accuracy = 0.0
    for epoch in range(epochs):
        network.partial_fit(train_x, train_y, classes=range(10))
        probabilities = network.predict_proba(test_x)
        accuracy = float((probabilities.argmax(axis=1) == test_y).mean())
        _run.log_scalar("train.loss", network.loss_, epoch)
        _run.log_scalar("test.loss", log_loss(test_y, probabilities, labels=range(10)), epoch)
        _run.log_scalar("test.accuracy", accuracy, epoch)
        _run.info["best_accuracy"] = max(accuracy, _run.info.get("best_accuracy", 0.0))
        print(f"epoch {epoch + 1:3}/{epochs}  loss {network.loss_:.4f}  accuracy {accuracy:.3f}")
        time.sleep(pause)
    with tempfile.TemporaryDirectory() as folder:
        picture = os.path.join(folder, "confusion.png")
        draw_confusion(confusion_matrix(test_y, network.predict(test_x)), names, picture)
        _run.add_artifact(picture, content_type="image/png")
    return accuracy
