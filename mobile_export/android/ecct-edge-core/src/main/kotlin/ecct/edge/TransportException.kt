package ecct.edge

/** The service cannot be used: what it says does not fit together, or it is not the one that is meant. */
public open class TransportException(
    message: String,
    cause: Throwable? = null,
) : EdgeException(message, cause)

/** The service could not be reached, or the connection broke; later it may work. */
public class UnreachableException(
    message: String,
    cause: Throwable? = null,
) : TransportException(message, cause)

/** The token is not valid: it expired or was revoked; the app has to get another one. */
public class TokenRefusedException(message: String) : TransportException(message)

/** The cloud published anew between two requests; ask for what is current again. */
public class StalePublicationException(message: String) : TransportException(message)

/** A publication is not signed by whom it must be, has expired, or is older than one that was accepted. */
public class SignatureException(
    message: String,
    cause: Throwable? = null,
) : TransportException(message, cause)

/**
 * The service can never take a record; it took none of the request.
 *
 * @property index of the record in the request.
 */
public class RecordRefusedException(
    message: String,
    public val index: Int,
) : TransportException(message)
