"""The options of a MongoDB address: which of them is probably misspelt.

Addresses are shared by programs in many languages, so that one may name what PyMongo does not know:
that is passed over, as MongoDB asks of its drivers. But ``tsl=true`` would connect without TLS, and
so would ``tls=maybe``, whose value PyMongo passes over with a warning.
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
#: Those which are true or false, and without which passwords may be sent to anybody.
_TRUST = frozenset(
    {"ssl", "tls", "tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames"}
)


def check_options(url: str, place: str) -> None:
    """Raise for an option that is nearly one of those that there are, and for TLS that is no value.

    Raises
    ------
    SinkSpecError
        With the option that was probably meant, or the values that there are.
    """
    import difflib

    known = {option.lower(): option for option in _OPTIONS}
    query = url.partition("?")[2]
    for part in query.replace(";", "&").split("&"):
        name, _, value = part.partition("=")
        if name.lower() in _TRUST and value not in {"true", "false"}:
            raise SinkSpecError(
                f"the address of {place} has {name}={value[:80]}: write {name}=true or {name}=false"
            )
        if not name or name.lower() in known:
            continue
        near = difflib.get_close_matches(name.lower(), known, 1, 0.75)
        if near or sorted(name.lower()) == sorted("tls"):
            meant = known[near[0]] if near else "tls"
            raise SinkSpecError(
                f"the address of {place} has an option {name[:80]!r}, which MongoDB does not know; "
                f"did you mean {meant}?"
            )
