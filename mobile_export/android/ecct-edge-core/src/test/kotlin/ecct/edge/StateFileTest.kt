package ecct.edge

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

class StateFileTest {
    private val golden = DeviceState.decode(Golden.stateBytes, "golden")

    @Test
    fun theStateOfPythonIsReadAndWrittenByteForByte() {
        assertEquals(Golden.user, golden.user)
        assertEquals(Golden.model.sha256, golden.model)
        assertEquals(Golden.model.metadata.layout, golden.layout)
        assertContentEquals(intArrayOf(3, 1, 4, 15, 9, 26), golden.history)
        assertContentEquals(intArrayOf(7, 0, 40, 2), golden.downlink?.queries)
        assertEquals(0.0078125f, golden.downlink?.scale)
        assertEquals(3 to 5, golden.downlink?.cloudVersion to golden.downlink?.round)
        assertEquals(Golden.model.metadata.tableSha256, golden.downlink?.tableSha256)
        assertEquals(3 * 0.0009765625f, golden.values[3])
        assertContentEquals(Golden.stateBytes, golden.encode())
    }

    @Test
    fun aStateWithoutDownlinkOrValuesSurvives() {
        val bare = golden.copy(values = FloatArray(0), downlink = null, history = IntArray(0), olderItems = 0)
        val found = DeviceState.decode(bare.encode(), "bare")
        assertNull(found.downlink)
        assertEquals(0, found.values.size)
        assertContentEquals(bare.encode(), found.encode())
    }

    @Test
    fun everyTruncationAndEveryFlippedByteIsRefused() {
        val small = golden.copy(values = FloatArray(3)).encode()
        for (length in small.indices) {
            assertFailsWith<StateFileException>("length $length") { DeviceState.decode(small.copyOf(length), "x") }
        }
        for (at in small.indices) {
            val flipped = small.clone().also { it[at] = (it[at].toInt() xor 1).toByte() }
            assertFailsWith<StateFileException>("byte $at") { DeviceState.decode(flipped, "x") }
        }
    }

    @Test
    fun aHeaderThatLiesUnderAValidChecksumIsRefused() {
        val small = golden.copy(values = FloatArray(3)).encode()
        fun lying(from: String, to: String): ByteArray {
            val text = String(small, Charsets.ISO_8859_1)
            val at = text.indexOf(from)
            assertTrue(at > 0 && from.length == to.length)
            val body = text.replaceFirst(from, to).toByteArray(Charsets.ISO_8859_1).copyOf(small.size - 32)
            return body + sha256(body)
        }
        for ((from, to) in listOf(
            "[\"<i4\",6]" to "[\"<i4\",9]",
            "\"<f4\",3" to "\"<f8\",3",
            "\"scale\":0" to "\"scale\":x",
            "\"user\":11" to "\"user\":-1",
            "\"round\"" to "\"rouns\"",
        )) {
            assertFailsWith<StateFileException>(to) { DeviceState.decode(lying(from, to), "x") }
        }
        // The length of the header, larger than the file.
        val body = small.copyOf(small.size - 32).also { it[11] = 0x7F }
        assertFailsWith<StateFileException> { DeviceState.decode(body + sha256(body), "x") }
    }

    @Test
    fun aStateThatHoldsWhatNoDeviceMakesIsRefused() {
        fun state(values: FloatArray) = golden.copy(values = values).encode()
        assertFailsWith<StateFileException> { DeviceState.decode(state(floatArrayOf(1f, Float.NaN)), "x") }
        assertFailsWith<StateFileException> { DeviceState.decode(state(floatArrayOf(Float.POSITIVE_INFINITY)), "x") }
        // A count whose bytes would wrap into few: 4 * (2^30 + 3) is 12 in 32 bits.
        val small = state(FloatArray(3))
        val text = String(small, Charsets.ISO_8859_1)
        val wrapped = text.replace("\"values\":[\"<f4\",3]", "\"values\":[\"<f4\",1073741827]")
        val body = wrapped.toByteArray(Charsets.ISO_8859_1).copyOf(wrapped.length - 32)
        java.nio.ByteBuffer.wrap(body).order(java.nio.ByteOrder.LITTLE_ENDIAN).run { putInt(8, getInt(8) + 9) }
        assertFailsWith<StateFileException> { DeviceState.decode(body + sha256(body), "x") }
    }

    @Test
    fun aKillWhileWritingLeavesTheOldState() =
        inFolder { folder ->
            val states = StateFile(File(folder, "device.state"))
            assertNull(states.read())
            states.put(golden)
            // What a kill in the middle of the next write leaves behind.
            val draft = File(folder, ".device.state.part").apply { writeBytes(Golden.stateBytes.copyOf(100)) }
            assertContentEquals(Golden.stateBytes, states.read()?.state?.encode())
            states.put(golden.copy(round = 6))
            assertEquals(6, states.read()?.state?.round)
            assertFalse(draft.exists())
        }

    @Test
    fun aWriteThatFailsLeavesTheOldState() =
        inFolder { folder ->
            val states = StateFile(File(folder, "device.state"))
            states.put(golden)
            // A folder in the place of the draft: it cannot be written.
            File(folder, ".device.state.part").mkdir()
            val error = assertFailsWith<StateFileException> { states.put(golden.copy(round = 6)) }
            assertTrue(error.message.orEmpty().contains("device.state"))
            assertEquals(5, states.read()?.state?.round)
        }

    @Test
    fun aDamagedStateIsReportedAndCanBeDeleted() =
        inFolder { folder ->
            val states = StateFile(File(folder, "deep/device.state"))
            states.put(golden)
            states.file.writeBytes(Golden.stateBytes.copyOf(200))
            assertFailsWith<StateFileException> { states.read() }
            states.delete()
            assertNull(states.read())
        }
}
