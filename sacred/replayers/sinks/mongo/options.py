"""The options of a MongoDB address: which of them is probably misspelt.

Addresses are shared by programs in many languages, so that one may name what PyMongo does not know:
that is passed over, as MongoDB asks of its drivers. But ``tsl=true`` would connect without TLS.
"""

from __future__ import annotations

from sacred.replayers.errors import SinkSpecError

__all__ = ["check_options"]

#: https://www.mongodb.com/docs/manual/reference/connection-string-options
_OPTIONS = (
    *("appName", "authMechanism", "authMechanismProperties", "authSource", "compressors"),
    *("connectTimeoutMS", "directConnection", "enableOverloadRetargeting", "heartbeatFrequencyMS"),
    *(
        "gssapiServiceName",
        "journal",
        "loadBalanced",
        "localThresholdMS",
        "maxConnecting",
        "maxIdleTimeMS",
    ),
    *("maxPoolSize", "maxStalenessSeconds", "minPoolSize", "proxyHost", "proxyPassword"),
    *("proxyPort", "proxyUsername", "readConcernLevel", "readPreference", "readPreferenceTags"),
    *("replicaSet", "retryReads", "retryWrites", "serverMonitoringMode"),
    *("serverSelectionTimeoutMS", "serverSelectionTryOnce", "socketTimeoutMS", "srvMaxHosts"),
    *("srvServiceName", "ssl", "timeoutMS", "tls", "tlsAllowInvalidCertificates"),
    *("tlsAllowInvalidHostnames", "tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"),
    *("tlsCertificateKeyFilePassword", "tlsDisableCertificateRevocationCheck"),
    *("tlsDisableOCSPEndpointCheck", "tlsInsecure", "unicode_decode_error_handler"),
    *("uuidRepresentation", "w", "waitQueueMultiple", "waitQueueTimeoutMS", "wTimeoutMS"),
    *("zlibCompressionLevel", "document_class", "tz_aware", "connect", "type_registry", "fsync"),
)


def check_options(url: str, place: str) -> None:
    """Raise for an option that is nearly one of those that there are.

    Raises
    ------
    SinkSpecError
        With the option that was probably meant.
    """
    import difflib

    known = {option.lower(): option for option in _OPTIONS}
    query = url.partition("?")[2]
    for part in query.replace(";", "&").split("&"):
        name = part.partition("=")[0]
        if not name or name.lower() in known:
            continue
        near = difflib.get_close_matches(name.lower(), known, 1, 0.75)
        if near or sorted(name.lower()) == sorted("tls"):
            meant = known[near[0]] if near else "tls"
            raise SinkSpecError(
                f"the address of {place} has an option {name[:80]!r}, which MongoDB does not know; "
                f"did you mean {meant}?"
            )
