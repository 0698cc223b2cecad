package ecct.edge.android

import ecct.edge.EdgeInterpreter
import ecct.edge.EdgeInterpreterFactory
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer

/**
 * LiteRT's interpreter behind the interface of the core.
 *
 * One thread: the models are small, and training runs while the app does other things.
 */
public class LiteRtInterpreter private constructor(
    private val interpreter: Interpreter,
    // LiteRT reads the model from this memory for as long as it lives.
    @Suppress("unused") private val content: ByteBuffer,
) : EdgeInterpreter {
    override val signatureKeys: Array<String> get() = interpreter.signatureKeys

    override fun getSignatureInputs(key: String): Array<String> = interpreter.getSignatureInputs(key)

    override fun getSignatureOutputs(key: String): Array<String> = interpreter.getSignatureOutputs(key)

    override fun runSignature(
        inputs: Map<String, Any>,
        outputs: Map<String, Any>,
        signatureKey: String,
    ) {
        interpreter.runSignature(inputs, outputs, signatureKey)
    }

    override fun close() {
        interpreter.close()
    }

    /** Makes interpreters of models whose hash was checked. */
    public companion object : EdgeInterpreterFactory {
        override fun create(content: ByteBuffer): EdgeInterpreter =
            LiteRtInterpreter(Interpreter(content, Interpreter.Options().setNumThreads(1)), content)
    }
}
