package ecct.edge

/** What a signature answered, by name. The types were fixed by the port when it was allocated. */
internal class Outputs(private val values: Map<String, Any>) {
    fun floats(name: String): FloatArray = typed(name)

    fun ints(name: String): IntArray = typed(name)

    fun bytes(name: String): ByteArray = typed(name)

    fun floatRows(name: String): List<FloatArray> = rows(name)

    fun intRows(name: String): List<IntArray> = rows(name)

    fun byteRows(name: String): List<ByteArray> = rows(name)

    fun single(name: String): Float = floats(name).single()

    private inline fun <reified T> typed(name: String): T =
        values[name] as? T ?: throw ModelFileException(
            "output $name: expected ${T::class.simpleName}, the file declares another form; its " +
                "codec and its signatures contradict each other, export it again",
        )

    private inline fun <reified T> rows(name: String): List<T> =
        typed<Array<*>>(name).filterIsInstance<T>()
}

/** Runs signatures of [interpreter] whose inputs fit what the metadata declares. */
internal class SignatureRunner(
    private val interpreter: EdgeInterpreter,
    private val metadata: EdgeMetadata,
) : AutoCloseable {
    init {
        val keys = interpreter.signatureKeys.toSet()
        for (signature in metadata.signatures.values) {
            same("signatures", signature.name in keys, signature.name, keys)
            val inputs = interpreter.getSignatureInputs(signature.name).toSet()
            same(signature.name, inputs == signature.inputs.map { it.name }.toSet(), signature.inputs, inputs)
            val outputs = interpreter.getSignatureOutputs(signature.name).toSet()
            same(signature.name, outputs == signature.outputs.map { it.name }.toSet(), signature.outputs, outputs)
        }
    }

    /**
     * Runs [name].
     *
     * @param rows B or C of a dynamic file, which outputs are allocated for.
     * @throws InputException when an input is missing, or has another type or shape.
     */
    fun run(name: String, inputs: Map<String, Any>, rows: Int = 1): Outputs {
        val signature = metadata.signature(name)
        for (port in signature.inputs) {
            port.check(name, inputs[port.name] ?: throw InputException("$name: expected an input $port, got none"))
        }
        val given = signature.inputs.associate { it.name to inputs.getValue(it.name) }
        val outputs = signature.outputs.associate { it.name to it.allocate(rows) }
        interpreter.runSignature(given, outputs, name)
        return Outputs(outputs)
    }

    /** Runs a signature that only reads: a signature needs an input, what it is does not matter. */
    fun read(name: String): Outputs = run(name, mapOf("unused" to FloatArray(1)))

    override fun close() = interpreter.close()

    private fun same(where: String, fits: Boolean, expected: Any, received: Any) {
        if (!fits) {
            throw ModelFileException(
                "$where: expected $expected as in the metadata, the graph has $received; the file was " +
                    "put together wrongly, export it again",
            )
        }
    }
}
