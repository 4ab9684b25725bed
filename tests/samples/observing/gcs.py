from sacred import Experiment
from sacred.observers import GoogleCloudStorageObserver

ex = Experiment("gcs")
ex.observers.append(GoogleCloudStorageObserver(bucket="bucket-name", basedir="/experiment-name/"))
