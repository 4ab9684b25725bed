"""The handwritten digits, as an ingredient that experiments can share.

An ingredient brings its own configuration (here ``data.test_size``, ``data.noise``) and its own functions.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sacred import Ingredient

data = Ingredient("data")


@data.config
def config():
    test_size = 0.25  # share of the pictures that is kept for testing
    noise = 0.0  # standard deviation of the noise added to the pixels (of 0 to 1)


@data.capture
def load(test_size, noise, _rnd):
    """Return training and test pictures (64 numbers from 0 to 1 each) and their digits."""
    digits = load_digits()
    pictures = digits.data / 16.0
    if noise:
        pictures = pictures + _rnd.normal(0.0, noise, pictures.shape)
    return train_test_split(
        pictures, digits.target, test_size=test_size, random_state=int(_rnd.integers(2**31))
    )
