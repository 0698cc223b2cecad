import ecct.edge.Codec
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/**
 * `int4` of `own_codecs/four_bits.py` on Android: a scale for each row, then two numbers of -7..7 in each byte.
 *
 * @property name as the run has it: `own_codecs.four_bits:int4`, or `int4` where the package was installed.
 */
class FourBits(override val name: String) : Codec {
    override fun rowBytes(width: Int) = 2 + (width + 1) / 2

    override fun encode(row: FloatArray): ByteArray {
        val bytes = ByteBuffer.allocate(rowBytes(row.size)).order(ByteOrder.LITTLE_ENDIAN)
        if (row.any { !it.isFinite() }) {
            // What is no number is told by the scale, which is none.
            bytes.putShort(0x7E00)
            while (bytes.hasRemaining()) bytes.put(0x88.toByte())
            return bytes.array()
        }
        val half = toHalf((row.maxOf { abs(it) } / MOST).coerceIn(SMALLEST, LARGEST))
        // Divided by the scale as the receiver reads it.
        val scale = fromHalf(half)
        fun code(place: Int): Int {
            val value = if (place < row.size) row[place] else 0f
            return Math.rint((value / scale).toDouble()).coerceIn(-7.0, 7.0).toInt() + 8
        }
        bytes.putShort(half.toShort())
        for (place in row.indices step 2) bytes.put((code(place) or (code(place + 1) shl 4)).toByte())
        return bytes.array()
    }

    override fun decode(content: ByteArray, width: Int): FloatArray {
        val bits = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).getShort().toInt() and 0xFFFF
        // No encoder writes a scale that is negative, subnormal or infinite: the bytes were damaged.
        val scale = if (bits in SMALLEST_BITS..LARGEST_BITS) fromHalf(bits) else Float.NaN
        return FloatArray(width) { ((content[2 + it / 2].toInt() shr 4 * (it % 2) and 0xF) - 8) * scale }
    }

    /** The bits of the next float16, of two the even one, of a number between the smallest and the largest normal one. */
    private fun toHalf(value: Float): Int {
        val bits = value.toRawBits()
        return bits - (112 shl 23) + 0xFFF + (bits shr 13 and 1) shr 13
    }

    private fun fromHalf(bits: Int): Float = Float.fromBits((bits shl 13) + (112 shl 23))

    private companion object {
        const val MOST = 7f

        // The smallest and the largest normal float16.
        const val SMALLEST = 6.1035156e-5f
        const val LARGEST = 65_504f
        const val SMALLEST_BITS = 0x0400
        const val LARGEST_BITS = 0x7BFF
    }
}
