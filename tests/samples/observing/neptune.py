from hello_cs import ex
from neptunecontrib.monitoring.sacred import NeptuneObserver

ex.observers.append(
    NeptuneObserver(api_token="YOUR_API_TOKEN", project_name="USER_NAME/PROJECT_NAME")
)

ex.run()
