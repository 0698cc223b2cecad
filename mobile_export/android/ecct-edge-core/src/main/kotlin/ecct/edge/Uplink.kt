package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * The bytes of one user's uplink, from the outputs of the signature `uplink`.
 *
 * Little-endian, in this order: the user's id (int32), the items (int32), the embeddings as
 * their codec writes them followed by their scales (float16), then the logits likewise.
 *
 * @param user the id that the cloud knows the user by.
 */
internal fun encodeUplink(user: Int, outputs: Outputs, exchange: Exchange): ByteArray {
    val bytes = ByteBuffer.allocate(exchange.uplinkBytes).order(ByteOrder.LITTLE_ENDIAN)
    bytes.putInt(user)
    outputs.ints("items").forEach { bytes.putInt(it) }
    when (exchange.graph) {
        // As the codec writes them, be it this one or the app's.
        GraphCodec.Float32 -> {
            outputs.floatRows("embeddings").forEach { bytes.put(exchange.codec.encodeRow(it)) }
            if (exchange.withLogits) bytes.put(exchange.codec.encodeRow(outputs.floats("logits")))
        }
        // The graph has no float16 outputs: their bits come in the low half of an int32.
        GraphCodec.Float16 -> {
            outputs.intRows("embeddings").forEach(bytes::putHalves)
            if (exchange.withLogits) bytes.putHalves(outputs.ints("logits"))
        }
        GraphCodec.Int8 -> {
            outputs.byteRows("embeddings").forEach { bytes.put(it) }
            bytes.putHalves(outputs.ints("embedding_scales"))
            if (exchange.withLogits) {
                bytes.put(outputs.bytes("logits"))
                bytes.putHalves(outputs.ints("logit_scale"))
            }
        }
    }
    return bytes.array()
}

private fun ByteBuffer.putHalves(bits: IntArray) = bits.forEach { putShort(it.toShort()) }
