from sacred import Experiment
from sacred.observers import S3Observer

ex = Experiment("s3")
ex.observers.append(
    S3Observer(bucket="my-awesome-bucket", basedir="/my-project/my-cool-experiment/")
)
