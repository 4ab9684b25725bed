"""A support vector machine on the iris data: the example of Sacred's first README.

The text of that example has come down to us damaged, and scikit-learn has moved on. The repairs:

* the decorators ``@ex.config``, ``@ex.automain`` and the ``@`` lines above the functions were lost;
* ``permutation(`` had lost its argument, the number of samples;
* the two lines that shuffle data and targets with ``per`` had lost their left-hand sides;
* the ``fit`` call had lost its data and the ``score`` call its object's arguments: the first 90 samples train,
  the rest test, as their surviving slices say;
* ``svm.SVC(C, 'rbf', gamma=gamma)``: arguments are keyword-only today, and the kernel is ``kernel="rbf"``;
* numpy's global ``permutation`` became ``_rnd``'s, so that the seed of the run decides.

Try it::

    $ python iris_rbf_svm.py
    $ python iris_rbf_svm.py with C=10 gamma=0.1 -F my_runs
"""

from sklearn import datasets, svm

from sacred import Experiment

ex = Experiment("iris_rbf_svm")


@ex.config
def cfg():
    C = 1.0
    gamma = 0.7


@ex.automain
def run(C, gamma, _rnd):
    iris = datasets.load_iris()
    per = _rnd.permutation(iris.target.size)
    data, target = iris.data[per], iris.target[per]
    clf = svm.SVC(C=C, kernel="rbf", gamma=gamma)
    clf.fit(data[:90], target[:90])
    return float(clf.score(data[90:], target[90:]))
