import ssl

from hello_cs import ex

from sacred.observers import MongoObserver

ex.observers.append(
    MongoObserver(
        url="mongodb://<X.509 derived username>@example.com/?authMechanism=MONGODB-X509",
        db_name="MY_DB",
        ssl=True,
        ssl_certfile="/path/to/client.pem",
        ssl_cert_reqs=ssl.CERT_REQUIRED,
        ssl_ca_certs="/path/to/ca.pem",
    )
)
