package ecct.edge

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

// What `docs/extend_codec.md` shows: a test of Python compares both.

/** bfloat16: the first two bytes of a float32, rounded to the next, of two to the even one. */
object Brief : Codec {
    override val name = "my_pkg.codecs:brief"

    override fun rowBytes(width: Int) = 2 * width

    override fun encode(row: FloatArray): ByteArray {
        val bytes = ByteBuffer.allocate(rowBytes(row.size)).order(ByteOrder.LITTLE_ENDIAN)
        for (value in row) {
            val bits = value.toRawBits()
            bytes.putShort(if (value.isNaN()) 0x7FC0 else (bits + 0x7FFF + (bits ushr 16 and 1) ushr 16).toShort())
        }
        return bytes.array()
    }

    override fun decode(content: ByteArray, width: Int): FloatArray {
        val bytes = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
        return FloatArray(width) { Float.fromBits(bytes.getShort().toInt() shl 16) }
    }
}

fun openWithBrief(file: File): ModelFile = ModelFile.open(file, codecs = listOf(Brief))
