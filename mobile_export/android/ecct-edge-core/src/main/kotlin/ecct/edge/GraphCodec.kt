package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/**
 * The library's own codecs. The graph of a file reads and writes their rows itself; of any other codec it takes and
 * gives [Float32].
 *
 * @property valueBytes of a number, without the scale of its row.
 */
internal sealed class GraphCodec(
    override val name: String,
    val valueBytes: Int,
) : Codec {
    override fun rowBytes(width: Int): Int = valueBytes * width

    override fun encode(row: FloatArray): ByteArray {
        val bytes = ByteBuffer.allocate(rowBytes(row.size)).order(ByteOrder.LITTLE_ENDIAN)
        put(row, bytes)
        return bytes.array()
    }

    override fun decode(content: ByteArray, width: Int): FloatArray {
        val bytes = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
        return FloatArray(width) { read(bytes) }
    }

    protected abstract fun put(row: FloatArray, bytes: ByteBuffer)

    /** The next value; of int8 without its scale. */
    abstract fun read(bytes: ByteBuffer): Float

    override fun toString(): String = name

    object Float32 : GraphCodec("float32", 4) {
        override fun put(row: FloatArray, bytes: ByteBuffer) = row.forEach { bytes.putFloat(it) }

        override fun read(bytes: ByteBuffer): Float = bytes.getFloat()
    }

    object Float16 : GraphCodec("float16", 2) {
        // Without the bounds a large value would be transmitted as infinity.
        override fun put(row: FloatArray, bytes: ByteBuffer) =
            row.forEach { bytes.putShort(floatToHalf(it.coerceIn(-LARGEST, LARGEST)).toShort()) }

        override fun read(bytes: ByteBuffer): Float = bytes.half()
    }

    /** One byte a value, and a float16 scale for each row. */
    object Int8 : GraphCodec("int8", 1) {
        override fun rowBytes(width: Int): Int = width + 2

        override fun put(row: FloatArray, bytes: ByteBuffer) {
            val peak = row.maxOf { abs(it) }
            val half = floatToHalf((peak / MOST).coerceIn(SMALLEST, LARGEST))
            // Divided by the scale as the receiver reads it.
            val scale = halfToFloat(half)
            row.forEach { bytes.put(Math.rint((it / scale).toDouble()).coerceIn(-MOST.toDouble(), MOST.toDouble()).toInt().toByte()) }
            bytes.putShort(half.toShort())
        }

        override fun decode(content: ByteArray, width: Int): FloatArray {
            val scale = ByteBuffer.wrap(content, width, 2).order(ByteOrder.LITTLE_ENDIAN).half()
            return FloatArray(width) { content[it] * scale }
        }

        override fun read(bytes: ByteBuffer): Float = bytes.get().toFloat()
    }

    companion object {
        private const val LARGEST = 65_504f
        private const val MOST = 127f

        // The smallest normal float16.
        private const val SMALLEST = 6.1035156e-5f

        /** By their numbers in headers. */
        val ALL: List<GraphCodec> get() = listOf(Float32, Float16, Int8)
    }
}

/** The next float16. */
internal fun ByteBuffer.half(): Float = halfToFloat(getShort().toInt() and 0xFFFF)
