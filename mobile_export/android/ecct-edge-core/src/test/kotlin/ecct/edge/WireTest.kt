package ecct.edge

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

/** Payloads, byte for byte as Python writes and reads them. */
class WireTest {
    @Test
    fun uplinksOfEveryCodecHaveTheBytesOfPython() {
        val cases = Golden.wire.children("wire")
        assertEquals(6, cases.size)
        for (case in cases) {
            val exchange = exchange(case.text("codec"), case.flag("with_logits"))
            val answered = case.child("outputs")
            val outputs = Outputs(answered.names.associateWith { array(exchange, it, answered) })
            assertContentEquals(case.hex("bytes"), encodeUplink(Golden.user, outputs, exchange), case.text("codec"))
            assertEquals(case.hex("bytes").size, exchange.uplinkBytes)
        }
    }

    @Test
    fun theRecordHasTheBytesOfPython() {
        val record = Golden.case.child("record")
        val found =
            encodeUplinkRecord(
                Golden.case.child("uplink").hex("bytes"),
                Golden.model.metadata.exchange,
                round = 5,
                cloudVersion = 3,
                createdAtSeconds = record.count("created_at_seconds").toLong(),
            )
        assertContentEquals(record.hex("bytes"), found)
    }

    @Test
    fun recordsByPlaceHaveTheBytesOfPython() {
        for (case in Golden.wire.children("wire")) {
            val exchange = exchange(case.text("codec"), case.flag("with_logits"))
            val record = encodeUplinkRecord(case.hex("bytes"), exchange, 5, 3, 1_790_000_000L)
            assertContentEquals(case.hex("record"), record)
            val placed = byPlace(record)
            assertContentEquals(case.hex("by_place"), placed, case.text("codec"))
            assertEquals(5, recordRound(placed))
            // It has no items to leave out, nor has what is damaged.
            assertFailsWith<PayloadException> { byPlace(placed) }
            assertFailsWith<PayloadException> { byPlace(record.also { it[50]++ }) }
        }
    }

    @Test
    fun aRecordWhoseItemsGoBeyondItsEndIsRefused() {
        val record = Golden.wire.children("wire")[0].hex("record")
        for (queries in listOf(0, 1_000, Int.MAX_VALUE, -1)) {
            val bytes = java.nio.ByteBuffer.wrap(record).order(java.nio.ByteOrder.LITTLE_ENDIAN)
            bytes.putInt(8, queries)
            val sum = java.util.zip.CRC32().apply { update(record, 0, record.size - 4) }
            bytes.putInt(record.size - 4, sum.value.toInt())
            assertFailsWith<PayloadException>("$queries") { byPlace(record) }
        }
    }

    @Test
    fun aRecordOfANegativeRoundIsRefused() {
        val payload = Golden.case.child("uplink").hex("bytes")
        assertFailsWith<InputException> {
            encodeUplinkRecord(payload, Golden.model.metadata.exchange, -1, 0, 0)
        }
    }

    @Test
    fun aDownlinkReachesTheSignatureAsPythonEncodedIt() {
        val downlink = Downlink.decode(Golden.downlink, Golden.model.metadata.exchange)
        val inputs = HashMap<String, Any>().also(downlink::addTo)
        assertContentEquals(byteArrayOf(-50, -30, -10, 10, 30, 50, 70, 90), inputs["user_embedding"] as ByteArray)
        assertContentEquals(floatArrayOf(0.0078125f), inputs["user_embedding_scale"] as FloatArray)
        assertContentEquals(intArrayOf(5, 35, 8, 0), downlink.queries)
    }

    @Test
    fun aDownlinkOfNumbersThatAreNoneIsRefused() {
        val exchange = Golden.model.metadata.exchange
        // The scale of an int8 embedding, a float16: infinite, not a number, negative.
        for (bits in listOf(0x7C00, 0x7E00, 0xFC00, 0x9000)) {
            val content = Golden.downlink.clone()
            content[8] = bits.toByte()
            content[9] = (bits shr 8).toByte()
            val error = assertFailsWith<PayloadException>("$bits") { Downlink.decode(content, exchange) }
            assertEquals(true, error.message?.contains("finite numbers and a scale"))
        }
        val half = Exchange(2, 1, 1, Codec.FLOAT16, withLogits = true, noiseMultiplier = 0.0)
        assertFailsWith<PayloadException> { Downlink.decode(byteArrayOf(0, 0x3C, 0, 0x7C, 9, 0, 0, 0), half) }
        val single = half.copy(codec = Codec.FLOAT32, cloudDim = 1)
        assertFailsWith<PayloadException> { Downlink.decode(byteArrayOf(0, 0, -64, 127, 9, 0, 0, 0), single) }
        // A query, a version, a round below 0, and a table that is no SHA-256.
        assertFailsWith<PayloadException> { Downlink.decode(byteArrayOf(0, 0, -128, 63, 9, 0, 0, -1), single) }
        assertFailsWith<PayloadException> { Downlink.decode(Golden.downlink, exchange, cloudVersion = -1) }
        assertFailsWith<PayloadException> { Downlink.decode(Golden.downlink, exchange, round = -1) }
        assertFailsWith<PayloadException> { Downlink.decode(Golden.downlink, exchange, tableSha256 = "\"") }
    }

    @Test
    fun downlinksOfOtherCodecsAreDecoded() {
        val half = Exchange(2, 1, 1, Codec.FLOAT16, withLogits = true, noiseMultiplier = 0.0)
        val downlink = Downlink.decode(byteArrayOf(0, 0x3C, 0, -0x3B, 9, 0, 0, 0), half)
        val inputs = HashMap<String, Any>().also(downlink::addTo)
        assertContentEquals(floatArrayOf(1f, -5f), inputs["user_embedding"] as FloatArray)
        assertEquals(setOf("user_embedding"), inputs.keys)
    }

    @Test
    fun aDownlinkOfAnotherLengthIsRefused() {
        val exchange = Golden.model.metadata.exchange
        for (content in listOf(ByteArray(0), Golden.downlink.copyOf(Golden.downlink.size - 1), Golden.downlink + 0)) {
            val error = assertFailsWith<PayloadException> { Downlink.decode(content, exchange) }
            assertEquals(true, error.message?.contains("expected ${exchange.downlinkBytes} bytes"))
        }
    }

    @Test
    fun theDownlinksOfAPublishedFileAreRead() {
        val content = Golden.case.hex("downlink_file")
        val file = DownlinkFile.parse(content)
        assertEquals(setOf(3, 11, 20), file.keys)
        assertEquals(listOf(false, 3, 5), listOf(file.segments, file.cloudVersion, file.round))
        assertEquals(Golden.model.metadata.tableSha256, file.tableSha256)
        val exchange = Golden.model.metadata.exchange
        val found = HashMap<String, Any>().also(checkNotNull(file.of(Golden.user, exchange))::addTo)
        val expected = HashMap<String, Any>().also(Downlink.decode(Golden.downlink, exchange)::addTo)
        assertContentEquals(expected["user_embedding"] as ByteArray, found["user_embedding"] as ByteArray)
        assertContentEquals(expected["user_embedding_scale"] as FloatArray, found["user_embedding_scale"] as FloatArray)
        assertEquals(null, file.of(4, exchange))
        assertFailsWith<PayloadException> { file.of(3, exchange.copy(cloudDim = 9)) }
    }

    @Test
    fun aDamagedDownlinkFileIsRefused() {
        val content = Golden.case.hex("downlink_file")
        for (length in listOf(0, 3, 63, 95, content.size - 1)) {
            assertFailsWith<PayloadException>("length $length") { DownlinkFile.parse(content.copyOf(length)) }
        }
        for (at in content.indices) {
            val flipped = content.clone().also { it[at] = (it[at].toInt() xor 4).toByte() }
            assertFailsWith<PayloadException>("byte $at") { DownlinkFile.parse(flipped) }
        }
        // A header that lies under a valid checksum: format, codec, kind, a count of 2^30 keys, version, round, keys.
        for ((at, value) in listOf(4 to 2, 6 to 9, 7 to 2, 27 to 64, 11 to -1, 15 to -1, 67 to -1, 64 to 99)) {
            val body = content.copyOf(content.size - 32).also { it[at] = value.toByte() }
            assertFailsWith<PayloadException>("byte $at") { DownlinkFile.parse(body + sha256(body)) }
        }
    }

    @Test
    fun halvesHaveTheValuesOfNumPy() {
        for (entry in Golden.wire.list("halves")) {
            val (bits, value) = (entry as List<*>).map { it as Double }
            assertEquals(value.toFloat().toRawBits(), halfToFloat(bits.toInt()).toRawBits(), "bits $bits")
        }
        assertEquals(Float.POSITIVE_INFINITY, halfToFloat(0x7C00))
        assertEquals(true, halfToFloat(0x7E00).isNaN())
    }

    private fun exchange(codec: String, withLogits: Boolean) =
        Exchange(8, 3, 2, GraphCodec.ALL.single { it.name == codec }, withLogits, noiseMultiplier = 0.0)

    /** The array that the port of such a file would have. */
    private fun array(exchange: Exchange, name: String, outputs: JsonObject): Any {
        val values =
            when (exchange.graph) {
                GraphCodec.Float32 -> TensorType.FLOAT32
                GraphCodec.Float16 -> TensorType.INT32
                GraphCodec.Int8 -> TensorType.INT8
            }
        val port =
            when (name) {
                "embeddings" -> Port(name, values, listOf(2, 3))
                "logits" -> Port(name, values, listOf(2))
                else -> Port(name, TensorType.INT32, listOf(null))
            }
        return typed(port, outputs.list(name))
    }
}
