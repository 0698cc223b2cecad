package ecct.edge

import java.util.concurrent.atomic.AtomicInteger

/** A call as it reached the interpreter. */
internal class Call(val signature: String, val inputs: Map<String, Any>)

/**
 * Answers with the golden outputs of `score` and `uplink`, and keeps a state like a model: each
 * step of `train` adds 1 to every weight.
 */
internal class FakeInterpreter(
    private val metadata: EdgeMetadata,
    private val score: JsonObject = Golden.case.child("score"),
    private val uplink: JsonObject = Golden.case.child("uplink").child("outputs"),
) : EdgeInterpreter {
    val calls = ArrayList<Call>()
    var state = FloatArray(metadata.stateSize ?: 0)
    var loss = 0.5f
    var applied = 1f
    var failing: String? = null

    /** Logits of candidates, by the first weight; null answers as the golden file. */
    var ranking: ((Float, IntArray) -> FloatArray)? = null
    var closed = false
    val inside = AtomicInteger()
    var overlapped = false

    override val signatureKeys: Array<String> get() = metadata.signatures.keys.toTypedArray()

    override fun getSignatureInputs(key: String): Array<String> = names(metadata.signatures.getValue(key).inputs)

    override fun getSignatureOutputs(key: String): Array<String> = names(metadata.signatures.getValue(key).outputs)

    override fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signatureKey: String) {
        if (inside.incrementAndGet() > 1) overlapped = true
        try {
            synchronized(calls) { calls += Call(signatureKey, inputs) }
            if (signatureKey == failing) throw IllegalArgumentException("the runtime refused $signatureKey")
            answer(signatureKey, inputs, outputs)
        } finally {
            inside.decrementAndGet()
        }
    }

    override fun close() {
        closed = true
    }

    fun of(signature: String): List<Call> = calls.filter { it.signature == signature }

    private fun answer(signature: String, inputs: Map<String, Any>, outputs: Map<String, Any>) {
        when (signature) {
            "score" -> {
                fillGolden(score, signature, outputs)
                ranking?.let { it(state[0], inputs["candidates"] as IntArray).copyInto(outputs.floats("logit")) }
            }
            "uplink" -> fillGolden(uplink, signature, outputs)
            "train" -> {
                Thread.sleep(1)
                for (index in 0 until metadata.weights) state[index] += 1f
                outputs.floats("loss")[0] = loss
                outputs.floats("applied")[0] = applied
                (outputs["target_losses"] as FloatArray?)?.indices?.forEach { outputs.floats("target_losses")[it] = it + loss }
            }
            "save" -> state.copyInto(outputs.floats("state"))
            "restore" -> outputs.floats("accepted")[0] = take(inputs.floats("state"))
            "get_weights" -> state.copyInto(outputs.floats("weights"), 0, 0, metadata.weights)
            "set_weights" -> outputs.floats("accepted")[0] = take(inputs.floats("weights"))
            "reset_optimizer" -> state[state.size - 1] = 0f
        }
    }

    private fun take(values: FloatArray): Float {
        if (values.any { !it.isFinite() }) return 0f
        values.copyInto(state)
        return 1f
    }

    /** Repeats the golden values where a static file asks for more rows. */
    private fun fillGolden(golden: JsonObject, signature: String, outputs: Map<String, Any>) {
        for (port in metadata.signatures.getValue(signature).outputs) {
            val values = typed(port, golden.list(port.name))
            val target = outputs.getValue(port.name)
            for (index in 0 until java.lang.reflect.Array.getLength(target)) {
                val source = index % java.lang.reflect.Array.getLength(values)
                java.lang.reflect.Array.set(target, index, java.lang.reflect.Array.get(values, source))
            }
        }
    }

    private fun names(ports: List<Port>) = ports.map { it.name }.toTypedArray()

    private fun Map<String, Any>.floats(name: String) = getValue(name) as FloatArray
}
