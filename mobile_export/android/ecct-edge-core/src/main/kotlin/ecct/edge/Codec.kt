package ecct.edge

import java.util.zip.CRC32

/**
 * How a row of numbers is written in what crosses between a device and the cloud.
 *
 * The library has [FLOAT32], [FLOAT16] and [INT8]. For a run of another one (`exchange.codec=module:name`)
 * the app writes the same codec in Kotlin and passes it to [ModelFile.open]: equal rows have the bytes of the
 * Python form, to the last bit. A file that names a codec which the app did not pass is refused.
 */
public interface Codec {
    /** As run and file name it, such as `my_pkg.codecs:int4`. */
    public val name: String

    /** Bytes of a row of [width] numbers, for any width from 1. */
    public fun rowBytes(width: Int): Int

    /** The `rowBytes(row.size)` bytes of a row; equal rows have equal bytes. */
    public fun encode(row: FloatArray): ByteArray

    /**
     * The [width] numbers of a row. Bytes that no encoder writes give any numbers, or NaN, which the device refuses.
     */
    public fun decode(content: ByteArray, width: Int): FloatArray

    public companion object {
        /** Each number as such. */
        public val FLOAT32: Codec = GraphCodec.Float32

        /** Each number as a float16. */
        public val FLOAT16: Codec = GraphCodec.Float16

        /** Steps of -127..127, and a float16 scale behind each row. */
        public val INT8: Codec = GraphCodec.Int8
    }
}

/**
 * The codecs that a file may name: the library's, and those of the app.
 *
 * @param own of the app.
 * @throws CodecException when one of them has no name of its own.
 */
internal class Codecs(own: List<Codec>) {
    private val known = LinkedHashMap<String, Codec>()

    init {
        for (codec in GraphCodec.ALL + own) {
            if (codec.name.isEmpty() || known.put(codec.name, codec) != null) {
                throw CodecException(
                    "codec '${codec.name}': expected a name that no other codec has, such as my_pkg.codecs:int4; name it as " +
                        "the run does, and pass it once",
                )
            }
        }
    }

    /**
     * The codec [name], which was tried where it is the app's.
     *
     * @throws ModelFileException when there is none.
     * @throws CodecException when it does not do what [Codec] says.
     */
    fun named(name: String): Codec {
        val found =
            known[name] ?: throw ModelFileException(
                "expected codec ${known.keys.joinToString()}, got $name; write it as a Codec of this name and pass it: " +
                    "ModelFile.open(file, codecs = listOf(…))",
            )
        if (found !is GraphCodec) TRIED.forEach { tryOn(found, it) }
        return found
    }

    private fun tryOn(codec: Codec, width: Int) {
        val row = FloatArray(width) { (it % 5 - 2) * 0.375f }
        val content = codec.encodeRow(row)
        if (!content.contentEquals(codec.encodeRow(row))) {
            throw CodecException("codec ${codec.name}: expected equal rows to have equal bytes, they differ; draw no random numbers")
        }
        codec.decodeRow(content, width)
    }

    private companion object {
        val TRIED = listOf(1, 7, 24)
    }
}

private const val OWN_CODES = 128

/** The byte that stands for a codec in headers, `ecct_tf.wire.codec_codes` in Python. */
internal val Codec.code: Int
    get() {
        val built = GraphCodec.ALL.indexOf(this)
        val sum = CRC32().apply { update(name.toByteArray(Charsets.UTF_8)) }
        return if (built >= 0) built else OWN_CODES + (sum.value % OWN_CODES).toInt()
    }

/** Whether [code] is that of a codec of the library's; null where it stands for none. */
internal fun isBuiltIn(code: Int): Boolean? =
    if (code in GraphCodec.ALL.indices) true else if (code >= OWN_CODES) false else null

/** What is expected of a code that stands for no codec. */
internal val EXPECTED_CODE: String get() = "expected a codec below ${GraphCodec.ALL.size}, or a custom one from $OWN_CODES"

/** Bytes of a row of [width] numbers. */
internal fun Codec.checkedRowBytes(width: Int): Int {
    val length = guarded("rowBytes($width)") { rowBytes(width) }
    if (length < 1) throw CodecException("codec $name: rowBytes($width): expected a number above 0, got $length")
    return length
}

/** The bytes of a row, as many as the codec says. */
internal fun Codec.encodeRow(row: FloatArray): ByteArray {
    val expected = checkedRowBytes(row.size)
    val content = guarded("encode") { encode(row.copyOf()) }
    if (content.size != expected) {
        throw CodecException(
            "codec $name: encode: expected $expected bytes of ${row.size} numbers, as rowBytes says, got ${content.size}",
        )
    }
    return content
}

/** The numbers of a row, as many as were asked for. */
internal fun Codec.decodeRow(content: ByteArray, width: Int): FloatArray {
    val row = guarded("decode") { decode(content.copyOf(), width) }
    if (row.size != width) throw CodecException("codec $name: decode: expected $width numbers, got ${row.size}")
    return row
}

private fun <T> Codec.guarded(call: String, block: () -> T): T =
    try {
        block()
    } catch (error: RuntimeException) {
        throw CodecException("codec $name: $call failed: $error", error)
    }
