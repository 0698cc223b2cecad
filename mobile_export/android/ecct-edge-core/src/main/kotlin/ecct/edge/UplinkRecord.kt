package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32

private const val HEADER_BYTES = 40
private const val SCHEMA: Short = 1
private const val PLACES_SCHEMA: Short = 2
private const val SCHEMA_AT = 4
private const val QUERIES_AT = 8
private const val MAGIC = "ECUP"
private const val ROUND_AT = 28
private const val SIZE_AT = 36

/**
 * An uplink in the envelope that the cloud's log reads, `ecct_tf.wire.record` in Python.
 *
 * A header of 40 bytes, the payload, and the CRC-32 of both; little-endian. (user, round) tells
 * the cloud whether two records are the same uplink, so that sending again does no harm.
 *
 * @param payload what [encodeUplink] wrote; it begins with the user's id.
 * @param round the round of the exchange that the uplink answers.
 * @param cloudVersion whose downlink and item table the device used.
 * @param createdAtSeconds when the device answered, in whole seconds since 1970, UTC.
 */
internal fun encodeUplinkRecord(
    payload: ByteArray,
    exchange: Exchange,
    round: Int,
    cloudVersion: Int,
    createdAtSeconds: Long,
): ByteArray {
    if (round < 0 || cloudVersion < 0 || createdAtSeconds < 0) {
        throw InputException(
            "uplink record: expected a round, a cloud version and a time of at least 0, got $round, " +
                "$cloudVersion and $createdAtSeconds",
        )
    }
    val bytes =
        ByteBuffer.allocate(HEADER_BYTES + payload.size + Int.SIZE_BYTES).order(ByteOrder.LITTLE_ENDIAN)
    bytes.put(MAGIC.toByteArray(Charsets.US_ASCII))
    bytes.putShort(SCHEMA)
    bytes.put(exchange.codec.ordinal.toByte())
    bytes.put(if (exchange.withLogits) 2 else 1)
    bytes.putInt(exchange.queries)
    bytes.putInt(exchange.embeddingDim)
    bytes.putLong(createdAtSeconds)
    bytes.put(payload, 0, Int.SIZE_BYTES)
    bytes.putInt(round)
    bytes.putInt(cloudVersion)
    bytes.putInt(payload.size)
    bytes.put(payload)
    val sum = CRC32().apply { update(bytes.array(), 0, bytes.position()) }
    bytes.putInt(sum.value.toInt())
    return bytes.array()
}

/**
 * The round that a record answers, once its length and its checksum fit.
 *
 * @throws PayloadException when it is damaged, or none.
 */
internal fun recordRound(record: ByteArray): Int {
    val bytes = ByteBuffer.wrap(record).order(ByteOrder.LITTLE_ENDIAN)
    val rest = HEADER_BYTES + Int.SIZE_BYTES
    val whole =
        record.size >= rest && String(record, 0, MAGIC.length, Charsets.US_ASCII) == MAGIC &&
            bytes.getInt(SIZE_AT) == record.size - rest && bytes.getInt(ROUND_AT) >= 0 &&
            bytes.getInt(record.size - Int.SIZE_BYTES) ==
            CRC32().apply { update(record, 0, record.size - Int.SIZE_BYTES) }.value.toInt()
    if (!whole) {
        throw PayloadException("uplink record: expected one of `uplinkRecord`, got ${record.size} bytes that are none")
    }
    return bytes.getInt(ROUND_AT)
}

/**
 * A record as it travels to a service that knows what it asked: with the CRC-32 of the items in their place, which
 * names the questions that were answered, in their order; `ecct_tf.wire.places` in Python.
 *
 * @throws PayloadException when it is damaged, or none.
 */
internal fun byPlace(record: ByteArray): ByteArray {
    recordRound(record)
    val bytes = ByteBuffer.wrap(record).order(ByteOrder.LITTLE_ENDIAN)
    val start = HEADER_BYTES + Int.SIZE_BYTES
    // As a Long: a damaged count must not wrap.
    val end = start + Int.SIZE_BYTES * bytes.getInt(QUERIES_AT).toLong()
    if (bytes.getShort(SCHEMA_AT) != SCHEMA || end <= start || end > record.size - Int.SIZE_BYTES) {
        throw PayloadException("uplink record: expected one with items, got ${record.size} bytes without")
    }
    val from = end.toInt()
    val found =
        ByteBuffer.allocate(record.size - from + start + Int.SIZE_BYTES).order(ByteOrder.LITTLE_ENDIAN)
    found.put(record, 0, start)
    found.putShort(SCHEMA_AT, PLACES_SCHEMA)
    found.putInt(SIZE_AT, found.capacity() - HEADER_BYTES - Int.SIZE_BYTES)
    found.putInt(CRC32().apply { update(record, start, from - start) }.value.toInt())
    found.put(record, from, record.size - Int.SIZE_BYTES - from)
    found.putInt(CRC32().apply { update(found.array(), 0, found.position()) }.value.toInt())
    return found.array()
}
