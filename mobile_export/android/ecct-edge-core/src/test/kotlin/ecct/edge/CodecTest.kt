package ecct.edge

import FourBits
import org.junit.Assume
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Codecs of the library's and of an app, byte for byte as Python: see `test_mobile_export_android_own_codec.py`. */
class CodecTest {
    private val golden = Golden.OwnCodec.case
    private val int4 = FourBits(golden.text("codec"))
    private val model = Golden.OwnCodec.model(listOf(Brief, int4))
    private val exchange = model.metadata.exchange
    private val published = golden.hex("downlink_file")

    private fun device(folder: File, interpreters: EdgeInterpreterFactory): EdgeRecommender =
        EdgeRecommender.open(model, interpreters, StateFile(File(folder, "device.state")), golden.count("user")).apply {
            interact(golden.strings("items"))
            setKnownToCloud(golden.count("older"))
        }

    private fun downlink(of: ModelFile = model): Downlink =
        checkNotNull(DownlinkFile.parse(published).of(golden.count("user"), of.metadata.exchange))

    private fun EdgeRecommender.record() =
        uplinkRecord(golden.child("record").count("created_at_seconds").toLong())

    @Test
    fun rowsOfEveryCodecHaveTheBytesAndTheNumbersOfPython() {
        val codecs = (GraphCodec.ALL + int4 + Brief).associateBy { it.name }
        val cases = golden.children("rows")
        assertEquals(codecs.keys.toList(), cases.map { it.text("codec") })
        for (case in cases) {
            val codec = codecs.getValue(case.text("codec"))
            for (row in case.children("rows")) {
                val values = floats(row.list("values"))
                val told = "${codec.name}: ${values.toList()}"
                val content = codec.encodeRow(values)
                assertContentEquals(row.hex("bytes"), content, told)
                assertContentEquals(floats(row.list("decoded")), codec.decodeRow(content, values.size), told)
            }
        }
    }

    @Test
    fun aRoundThroughACodecOfTheAppHasTheBytesOfPython() {
        inFolder { folder ->
            val fake = FakeInterpreter(model.metadata, uplink = golden.child("uplink"))
            device(folder) { fake }.use { device ->
                device.receive(downlink())
                assertContentEquals(golden.hex("state"), File(folder, "device.state").readBytes())
                val record = device.record()
                assertContentEquals(golden.child("record").hex("bytes"), record)
                assertContentEquals(golden.hex("by_place"), byPlace(record))
                assertEquals(5, recordRound(record))
                val inputs = fake.of("uplink").single().inputs
                assertContentEquals(floats(golden.list("user_embedding")), inputs["user_embedding"] as FloatArray)
                assertTrue("user_embedding_scale" !in inputs)
            }
        }
    }

    @Test
    fun aRealFileAnswersThroughACodecOfTheAppAsInPython() {
        val command = System.getProperty("ecct.interpreter").orEmpty().split(" ")
        Assume.assumeTrue("the property ecct.interpreter names no interpreter", command.size == 3)
        inFolder { folder ->
            device(folder) { PythonInterpreter(command, it) }.use { device ->
                device.receive(downlink())
                assertContentEquals(golden.child("record").hex("bytes"), device.record())
                assertTrue(device.train().applied > 0)
            }
        }
    }

    @Test
    fun aFileOfACodecThatTheAppDidNotPassIsRefusedByNameWithTheWayOut() {
        for (codecs in listOf(emptyList(), listOf(Brief), listOf(FourBits("int4")))) {
            val error = assertFailsWith<ModelFileException> { Golden.OwnCodec.model(codecs) }
            val says = error.message.orEmpty()
            assertTrue("expected codec float32, float16, int8" in says, says)
            assertTrue("got ${int4.name};" in says && "ModelFile.open(file, codecs = listOf" in says, says)
        }
    }

    @Test
    fun aCodecWithoutANameOfItsOwnIsRefused() {
        for (codecs in listOf(listOf(FourBits("")), listOf(FourBits("int8"), int4), listOf(int4, FourBits(int4.name)))) {
            val error = assertFailsWith<CodecException> { Golden.OwnCodec.model(codecs) }
            assertTrue("expected a name that no other codec has" in error.message.orEmpty(), error.message)
        }
    }

    /** [int4] with another part. */
    private inner class Changed(
        private val bytes: (Int) -> Int = int4::rowBytes,
        private val write: (FloatArray) -> ByteArray = int4::encode,
        private val read: (ByteArray, Int) -> FloatArray = int4::decode,
    ) : Codec {
        override val name = int4.name

        override fun rowBytes(width: Int) = bytes(width)

        override fun encode(row: FloatArray) = write(row)

        override fun decode(content: ByteArray, width: Int) = read(content, width)
    }

    @Test
    fun aCodecThatDoesNotDoWhatACodecDoesIsRefusedWhenTheFileIsOpened() {
        var drawn = 0
        val wrong =
            listOf(
                Changed(bytes = { 0 }) to "rowBytes(1): expected a number above 0, got 0",
                Changed(write = { ByteArray(2) }) to "encode: expected 3 bytes of 1 numbers, as rowBytes says, got 2",
                Changed(write = { ByteArray(int4.rowBytes(it.size)) { drawn++.toByte() } }) to "expected equal rows to have equal bytes",
                Changed(read = { _, _ -> FloatArray(3) }) to "decode: expected 1 numbers, got 3",
                Changed(read = { _, _ -> error("beyond") }) to "decode failed: java.lang.IllegalStateException: beyond",
            )
        for ((codec, message) in wrong) {
            val says = assertFailsWith<CodecException>(message) { Golden.OwnCodec.model(listOf(codec)) }.message.orEmpty()
            assertTrue(says.startsWith("codec ${int4.name}") && message in says, says)
        }
    }

    @Test
    fun downlinksOfAnotherCodecOrOfAnotherVersionOfItAreRefusedWithBoth() {
        val file = DownlinkFile.parse(published)
        val wrong =
            listOf(
                Codec.INT8 to "expected int8 with ${exchange.cloudDim} values and 4 queries, got a custom codec of code",
                Brief to "expected my_pkg.codecs:brief with ${exchange.cloudDim} values and 4 queries, got a custom codec of code",
                Changed(bytes = { it }) to "cloud and app have different versions of it",
            )
        for ((codec, message) in wrong) {
            val error = assertFailsWith<PayloadException> { file.of(golden.count("user"), exchange.copy(codec = codec)) }
            assertTrue(message in error.message.orEmpty(), error.message)
        }
        // And a header of a codec that has other rows.
        val body = published.copyOf(published.size - 32).also { it[6] = 2 }
        assertFailsWith<PayloadException> { DownlinkFile.parse(body + sha256(body)) }
    }

    @Test
    fun aDamagedRowThatIsNoNumberLeavesTheDeviceAsItWas() {
        val body = published.copyOf(published.size - 32)
        // The scale of the second of three records.
        val at = 64 + 3 * 4 + (body.size - 64 - 3 * 4) / 3
        body[at] = 0
        body[at + 1] = 0x7C
        val file = DownlinkFile.parse(body + sha256(body))
        val error = assertFailsWith<PayloadException> { file.of(golden.count("user"), exchange) }
        assertTrue("finite numbers" in error.message.orEmpty(), error.message)
        assertEquals(4, checkNotNull(file.of(3, exchange)).queries.size)
    }

    @Test
    fun anAnswerOfAnotherLengthThanTheCodecSaysIsRefused() {
        val short = Changed(write = { if (it.size == exchange.queries) byteArrayOf(0) else int4.encode(it) })
        val other = Golden.OwnCodec.model(listOf(short))
        inFolder { folder ->
            val fake = FakeInterpreter(other.metadata, uplink = golden.child("uplink"))
            val states = StateFile(File(folder, "device.state"))
            EdgeRecommender.open(other, { fake }, states, golden.count("user")).use { device ->
                device.receive(downlink(other))
                val error = assertFailsWith<CodecException> { device.uplink() }
                assertTrue("encode: expected 4 bytes of 4 numbers" in error.message.orEmpty(), error.message)
            }
        }
    }

    @Test
    fun filesOfTheLibrarysCodecsNeedNoneOfTheApp() {
        assertEquals(Codec.INT8, Golden.model.metadata.exchange.codec)
        assertEquals(listOf("float32", "float16", "int8"), listOf(Codec.FLOAT32, Codec.FLOAT16, Codec.INT8).map { it.name })
    }
}
