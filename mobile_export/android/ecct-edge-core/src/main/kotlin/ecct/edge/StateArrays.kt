package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

/**
 * The arrays behind the header of a state, checked before a state is made of them.
 *
 * The header lists them in the order in which they lie, each with its dtype and length. A later release may
 * add arrays of its own behind those known here; they are passed over, but their bytes count: a header that
 * promises more or less than there is, is refused.
 */
internal class StateArrays private constructor(private val parts: Map<String, Part>) {
    private class Part(val dtype: String, val content: ByteBuffer)

    fun has(name: String): Boolean = name in parts

    fun dtype(name: String): String = part(name).dtype

    fun bytes(name: String): ByteArray {
        val part = content(name)
        return ByteArray(part.remaining()).also { part.get(it) }
    }

    fun integers(name: String): IntArray {
        val part = content(name)
        return IntArray(part.remaining() / Int.SIZE_BYTES) { part.getInt() }
    }

    fun longs(name: String): LongArray {
        val part = content(name)
        return LongArray(part.remaining() / Long.SIZE_BYTES) { part.getLong() }
    }

    fun floats(name: String): FloatArray {
        val part = content(name)
        return FloatArray(part.remaining() / Float.SIZE_BYTES) { part.getFloat() }
    }

    private fun part(name: String) = parts[name] ?: throw JsonException("$name: expected an array, got none")

    private fun content(name: String): ByteBuffer = part(name).content.duplicate().order(ByteOrder.LITTLE_ENDIAN)

    companion object {
        const val INTEGERS = "<i4"
        const val LONGS = "<i8"
        const val FLOATS = "<f4"
        const val BYTES = "|u1"
        val EMBEDDINGS = mapOf(GraphCodec.Float32 to FLOATS, GraphCodec.Float16 to "<f2", GraphCodec.Int8 to "|i1")

        // In the order in which they lie.
        private val DTYPES =
            mapOf(
                "profile" to setOf(INTEGERS),
                "history" to setOf(INTEGERS),
                "times" to setOf(LONGS),
                "values" to setOf(FLOATS),
                "user_embedding" to EMBEDDINGS.values.toSet(),
                "queries" to setOf(INTEGERS),
                "start" to setOf(FLOATS),
                "context" to setOf(INTEGERS),
                "labels" to setOf(BYTES),
            )
        private val DTYPE = Regex("[<|][a-z]([1-8])")

        /**
         * Reads the header, called [name] in messages, and the arrays of a state whose checksum fits.
         *
         * @param body behind magic and format.
         * @throws JsonException when it is not laid out as it says.
         */
        fun read(body: ByteBuffer, name: String): Pair<JsonObject, StateArrays> {
            if (body.remaining() < PREFIX_BYTES) throw JsonException("expected a header, got ${body.remaining()} bytes")
            val reserved = body.getShort().toInt() and 0xFFFF
            if (reserved != 0) {
                throw JsonException(
                    "expected zeros where nothing is told yet, got $reserved; a later version of ECCT-TF wrote it",
                )
            }
            val length = body.getInt().toLong() and 0xFFFFFFFFL
            if (length > body.remaining()) throw JsonException("expected $length bytes of header, got ${body.remaining()}")
            val header = JsonObject.parse(utf8(ByteArray(length.toInt()).also { body.get(it) }), name)
            return header to arrays(header.child("arrays"), body)
        }

        private fun arrays(forms: JsonObject, body: ByteBuffer): StateArrays {
            val known = DTYPES.keys.filter { it in forms.names }
            if (forms.names.take(known.size) != known) {
                throw JsonException("arrays: expected ${known.joinToString()} first, got ${forms.names.joinToString()}")
            }
            val parts = LinkedHashMap<String, Part>()
            val start = body.position()
            var place = start.toLong()
            for (name in forms.names) {
                val (dtype, count, size) = form(forms, name)
                val end = place + count.toLong() * size
                if (end <= body.limit()) {
                    val content = body.duplicate()
                    content.position(place.toInt())
                    content.limit(end.toInt())
                    parts[name] = Part(dtype, content)
                }
                place = end
            }
            if (place != body.limit().toLong()) {
                throw JsonException(
                    "expected ${place - start} bytes of arrays, as the header says, got ${body.limit() - start}",
                )
            }
            return StateArrays(parts)
        }

        private fun form(forms: JsonObject, name: String): Triple<String, Int, Int> {
            val (dtype, count) = FileMeaning.entries(forms.value(name), 2)
            val told = (dtype as? String)?.let(DTYPE::matchEntire)
            val expected = DTYPES[name]
            if (told == null || (expected != null && told.value !in expected)) {
                throw JsonException(
                    "$name: expected ${expected?.joinToString(" or ") ?: "a dtype"} and a count, got $dtype and $count",
                )
            }
            try {
                return Triple(told.value, FileMeaning.count(count), told.groupValues[1].toInt())
            } catch (error: JsonException) {
                throw JsonException("$name: ${error.message}")
            }
        }

        private const val PREFIX_BYTES = 6
    }
}

/** [content] as text; nothing that is not UTF-8 is replaced by something else. */
internal fun utf8(content: ByteArray): String =
    try {
        Charsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT)
            .decode(ByteBuffer.wrap(content))
            .toString()
    } catch (error: CharacterCodingException) {
        throw JsonException("expected text in UTF-8: $error")
    }
