package ecct.edge

/**
 * What this library refuses. Each message says what was expected, what came, and the way out.
 *
 * An app that catches one of these has the same weights as before the call.
 */
public sealed class EdgeException(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** A model file, or the manifest beside it, is not what was exported; it was not loaded. */
public class ModelFileException(
    message: String,
    cause: Throwable? = null,
) : EdgeException(message, cause)

/** A state file cannot be used: damaged, or of another model. The model keeps its weights. */
public class StateFileException(
    message: String,
    cause: Throwable? = null,
) : EdgeException(message, cause)

/** Bytes of a downlink or an uplink that do not have the declared form. */
public class PayloadException(message: String) : EdgeException(message)

/** A [Codec] of the app failed, or does not do what a codec does. */
public class CodecException(
    message: String,
    cause: Throwable? = null,
) : EdgeException(message, cause)

/** An argument that no model of this form can take. */
public class InputException(message: String) : EdgeException(message)

/** The model refused values from inside its graph, or answered what it must not. */
public class RefusedException(message: String) : EdgeException(message)

/** The recommender was closed before the call. */
public class ClosedException : EdgeException(
    "EdgeRecommender: expected an open one, this one was closed; open the model file again",
)
