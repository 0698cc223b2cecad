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
private const val SIZE_AT = 36
private const val MOST_VALUES = 1_000_000L
private const val UNSIGNED = 0xFFFFFFFFL

/** The end of the year 9999. */
private const val LAST_SECOND = 253_402_300_799L

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
    if (round < 0 || cloudVersion < 0 || createdAtSeconds !in 0..LAST_SECOND) {
        throw InputException(
            "uplink record: expected a round, a cloud version and a time of at least 0, the last up to " +
                "$LAST_SECOND, got $round, $cloudVersion and $createdAtSeconds",
        )
    }
    val bytes =
        ByteBuffer.allocate(HEADER_BYTES + payload.size + Int.SIZE_BYTES).order(ByteOrder.LITTLE_ENDIAN)
    bytes.put(MAGIC.toByteArray(Charsets.US_ASCII))
    bytes.putShort(SCHEMA)
    bytes.put(exchange.codec.code.toByte())
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
 * The round that a record answers, once all that its header says fits.
 *
 * @throws PayloadException when it is damaged, or none.
 */
internal fun recordRound(record: ByteArray): Int {
    val rest = HEADER_BYTES + Int.SIZE_BYTES
    if (record.size < rest || String(record, 0, MAGIC.length, Charsets.US_ASCII) != MAGIC) {
        throw refused("expected one of `uplinkRecord`, got ${record.size} bytes that are none")
    }
    val bytes = ByteBuffer.wrap(record).order(ByteOrder.LITTLE_ENDIAN)
    bytes.getInt()
    val schema = bytes.getShort()
    if (schema != SCHEMA && schema != PLACES_SCHEMA) {
        throw refused(
            "expected schema version $SCHEMA, got ${schema.toInt() and 0xFFFF}; device and cloud run different versions",
        )
    }
    val sum = CRC32().apply { update(record, 0, record.size - Int.SIZE_BYTES) }.value.toInt()
    if (bytes.getInt(record.size - Int.SIZE_BYTES) != sum) {
        throw refused("its CRC-32 does not fit; it was damaged on its way")
    }
    val code = bytes.get().toInt() and 0xFF
    val stage = bytes.get().toInt() and 0xFF
    val isBuiltIn = isBuiltIn(code) ?: throw refused("$EXPECTED_CODE, got $code")
    if (stage !in 1..2) throw refused("expected stage 1 or 2, got $stage")
    val queries = bytes.getInt().toLong() and UNSIGNED
    val width = bytes.getInt().toLong() and UNSIGNED
    val created = bytes.getLong()
    val (user, round, version, size) = List(4) { bytes.getInt() }
    val there = record.size - rest
    // In 64 bits, and below what wraps there.
    if (queries !in 1..MOST_VALUES || width !in 1..MOST_VALUES || queries * width > MOST_VALUES) {
        throw refused(
            "expected at least one query and one embedding dimension, and $MOST_VALUES values at most, got $queries and $width",
        )
    }
    if (size != there) throw refused("its header says ${size.toLong() and UNSIGNED} bytes of payload, it has $there")
    val before = Int.SIZE_BYTES + if (schema == PLACES_SCHEMA) Int.SIZE_BYTES.toLong() else Int.SIZE_BYTES * queries
    if (isBuiltIn) {
        val codec = GraphCodec.ALL[code]
        val logits = if (stage == 2) codec.rowBytes(queries.toInt()) else 0
        val expected = before + queries * codec.rowBytes(width.toInt()) + logits
        if (there.toLong() != expected) {
            throw refused("expected a payload of $expected bytes for ${codec.name}, got $there")
        }
    } else if (there <= before || Int.SIZE_BYTES * queries * (width + 3) > MOST_VALUES) {
        // How long its values are is known to the codec alone, which a record does not bring.
        throw refused("expected more than $before and at most $MOST_VALUES bytes of payload for $queries queries, got $there")
    }
    if (created !in 0..LAST_SECOND) throw refused("expected a created_at_seconds in 0..$LAST_SECOND, got $created")
    for ((name, value) in listOf("user" to user, "round_number" to round, "cloud_version" to version)) {
        if (value < 0) throw refused("expected a $name in 0..${Int.MAX_VALUE}, got $value")
    }
    val inside = bytes.getInt()
    if (inside != user) throw refused("its payload is of user $inside, expected user $user")
    return round
}

private fun refused(why: String) = PayloadException("uplink record: $why")

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
