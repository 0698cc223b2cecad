package ecct.edge

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.DataInputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream
import java.util.zip.ZipOutputStream

/**
 * A real interpreter, in a Python process: `mobile_export/runtime/interpreter_worker.py`, which describes
 * the messages. It stands in for the AAR of LiteRT, whose native code is for Android only.
 *
 * @param command Python, the worker, and the runtime (`litert` or `tensorflow`).
 */
internal class PythonInterpreter(command: List<String>, content: ByteBuffer) : EdgeInterpreter {
    private val file = File.createTempFile("ecct", ".tflite")
    private val process: Process
    private val signatures: JsonObject

    init {
        file.writeBytes(ByteArray(content.remaining()).also { content.get(it) })
        process = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start()
        receive()
        signatures = ask("""{"do": "load", "path": "${file.path}"}""", emptyMap()).header.child("signatures")
    }

    override val signatureKeys: Array<String> get() = signatures.names.toTypedArray()

    override fun getSignatureInputs(key: String): Array<String> = names(key, "inputs")

    override fun getSignatureOutputs(key: String): Array<String> = names(key, "outputs")

    private fun names(key: String, side: String) = signatures.child(key).child(side).names.toTypedArray()

    override fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signatureKey: String) {
        val reply = ask("""{"do": "run", "signature": "$signatureKey"}""", inputs.mapValues { npy(it.value) })
        for ((name, target) in outputs) fill(target, reply.arrays.getValue(name))
    }

    override fun close() {
        process.destroy()
        process.waitFor()
        file.delete()
    }

    private class Message(val header: JsonObject, val arrays: Map<String, ByteArray>)

    private fun ask(header: String, arrays: Map<String, ByteArray>): Message {
        val zipped = ByteArrayOutputStream()
        ZipOutputStream(zipped).use { zip ->
            val entries = mapOf("header" to npyOfText(header)) + arrays.mapKeys { "_${it.key}" }
            for ((name, content) in entries) {
                zip.putNextEntry(ZipEntry("$name.npy"))
                zip.write(content)
            }
        }
        val length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(zipped.size().toLong())
        process.outputStream.write(length.array() + zipped.toByteArray())
        process.outputStream.flush()
        return receive()
    }

    private fun receive(): Message {
        val stream = DataInputStream(process.inputStream)
        val content = ByteArray(java.lang.Long.reverseBytes(stream.readLong()).toInt()).also(stream::readFully)
        val entries = HashMap<String, ByteArray>()
        ZipInputStream(ByteArrayInputStream(content)).use { zip ->
            generateSequence { zip.nextEntry }.forEach { entries[it.name.removeSuffix(".npy")] = zip.readBytes() }
        }
        val header = JsonObject.parse(data(entries.getValue("header")).toString(Charsets.UTF_32LE), "reply")
        if (header.has("error")) throw IllegalArgumentException(header.text("error"))
        return Message(header, entries.filterKeys { it != "header" }.mapKeys { it.key.removePrefix("_") })
    }

    private companion object {
        const val PREFIX_BYTES = 10

        fun npyOfText(text: String) = npy("<U${text.length}", "()", text.toByteArray(Charsets.UTF_32LE))

        fun npy(value: Any): ByteArray {
            val rows = if (value is Array<*>) value.map { checkNotNull(it) } else listOf(value)
            val columns = java.lang.reflect.Array.getLength(rows.first())
            val (dtype, width) =
                when (rows.first()) {
                    is FloatArray -> "<f4" to 4
                    is IntArray -> "<i4" to 4
                    else -> "|i1" to 1
                }
            val bytes = ByteBuffer.allocate(rows.size * columns * width).order(ByteOrder.LITTLE_ENDIAN)
            for (row in rows) {
                when (row) {
                    is FloatArray -> row.forEach { bytes.putFloat(it) }
                    is IntArray -> row.forEach { bytes.putInt(it) }
                    is ByteArray -> bytes.put(row)
                }
            }
            return npy(dtype, if (value is Array<*>) "(${rows.size}, $columns)" else "($columns,)", bytes.array())
        }

        fun npy(dtype: String, shape: String, data: ByteArray): ByteArray {
            val header = "{'descr': '$dtype', 'fortran_order': False, 'shape': $shape, }\n".toByteArray()
            val prefix = byteArrayOf(-109) + "NUMPY".toByteArray() + byteArrayOf(1, 0)
            return prefix + byteArrayOf(header.size.toByte(), (header.size shr 8).toByte()) + header + data
        }

        fun data(npy: ByteArray): ByteArray {
            val length = (npy[8].toInt() and 0xFF) or ((npy[9].toInt() and 0xFF) shl 8)
            return npy.copyOfRange(PREFIX_BYTES + length, npy.size)
        }

        fun fill(target: Any, npy: ByteArray) {
            val bytes = ByteBuffer.wrap(data(npy)).order(ByteOrder.LITTLE_ENDIAN)
            for (row in if (target is Array<*>) target.toList() else listOf(target)) {
                when (row) {
                    is FloatArray -> row.indices.forEach { row[it] = bytes.getFloat() }
                    is IntArray -> row.indices.forEach { row[it] = bytes.getInt() }
                    is ByteArray -> bytes.get(row)
                }
            }
            // LiteRT's Java class refuses an output array of another size; so does this.
            require(!bytes.hasRemaining()) { "an output is larger than the array for it" }
        }
    }
}
