package ecct.edge

import java.nio.ByteBuffer

/**
 * The calls of LiteRT's `org.tensorflow.lite.Interpreter` that this library makes.
 *
 * The shapes of the methods are those of the Java class, so that an implementation only
 * delegates. Values are Java arrays: `IntArray`, `FloatArray`, `ByteArray`, or an `Array` of
 * these for two axes. LiteRT takes the shapes of inputs from arrays and resizes a dynamic
 * signature to them; for a `ByteBuffer` it never does, hence no buffers here.
 */
public interface EdgeInterpreter : AutoCloseable {
    /** The names of the signatures in the file. */
    public val signatureKeys: Array<String>

    /** The names of the inputs of signature [key]. */
    public fun getSignatureInputs(key: String): Array<String>

    /** The names of the outputs of signature [key]. */
    public fun getSignatureOutputs(key: String): Array<String>

    /**
     * Runs [signatureKey] on [inputs], and fills the arrays of [outputs].
     *
     * @throws IllegalArgumentException when a name, a type or a shape does not fit.
     */
    public fun runSignature(
        inputs: Map<String, Any>,
        outputs: Map<String, Any>,
        signatureKey: String,
    )

    /** Frees the native memory. */
    override fun close()
}

/** Makes an interpreter of a model whose hash was checked: [content] is direct, native order. */
public fun interface EdgeInterpreterFactory {
    /** Loads the model. */
    public fun create(content: ByteBuffer): EdgeInterpreter
}
