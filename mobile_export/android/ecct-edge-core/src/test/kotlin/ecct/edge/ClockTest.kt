package ecct.edge

import java.io.File
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class ClockTest {
    private val case = Golden.Clock.case
    private val times = Golden.Clock.times
    private val now = Golden.Clock.now
    private val length = Golden.Clock.model.metadata.historyLength

    /** A device of the golden model with a clock, over a fake interpreter, whose own clock says [own]. */
    private class Bench(folder: File, val model: ModelFile, var own: Long) {
        val states = StateFile(File(folder, "device.state"))
        val fake = FakeInterpreter(model.metadata)

        fun open() = EdgeRecommender.open(model, { fake }, states, Golden.user, Golden.profile) { own }

        fun clockOf(device: EdgeRecommender, nowSeconds: Long? = null): FloatArray {
            device.score(Golden.candidates, nowSeconds)
            return fake.of("score").last().inputs["clock"] as FloatArray
        }
    }

    private fun bench(model: ModelFile = Golden.Clock.model, block: Bench.() -> Unit) =
        inFolder { Bench(it, model, now).block() }

    private fun assertAlike(expected: FloatArray, received: FloatArray) {
        assertEquals(expected.size, received.size)
        for (at in expected.indices) {
            assertTrue(abs(expected[at] - received[at]) <= 1e-6f * (1f + abs(expected[at])), "$at: ${received[at]}")
        }
    }

    @Test
    fun readingsAreThoseOfPython() {
        for (each in case.children("readings")) {
            val given = longs(each.list("times")).toLongArray()
            val found = clockReading(given, each.number("now").toLong(), length)
            assertAlike(floats(each.list("reading")), found)
        }
    }

    @Test
    fun aRequestIsMadeNowByTheDevicesClockOrWhenItSays() =
        bench {
            val device = open()
            device.interact(Golden.history, this@ClockTest.times)
            val expected = floats(case.children("readings").first().list("reading"))
            assertAlike(expected, clockOf(device))
            assertAlike(expected, clockOf(device, own))
            val later = clockOf(device, own + 3_600)
            assertEquals(expected.last() + 1f, later.last(), 1e-5f)
            own += 3_600
            assertContentEquals(later, clockOf(device))
            // Kept with the state.
            assertContentEquals(later, clockOf(open()))
            assertEquals(2, states.file.readBytes()[4].toInt())
        }

    @Test
    fun anUnknownTimeSilencesTheClockAndIsNoError() =
        bench {
            val device = open()
            device.interact(Golden.history, this@ClockTest.times.dropLast(1) + null)
            assertContentEquals(FloatArray(6 + length), clockOf(device))
            val golden = DeviceState.decode(case.hex("state"), "golden")
            assertContentEquals(golden.times, device.state.times)
            for (place in 1..length) {
                assertEquals(0f, clockOf(device)[0])
                device.interact(listOf("film $place"), listOf(own))
            }
            assertEquals(1f, clockOf(device)[0])
            // A phone whose clock was never set.
            own = 0
            assertEquals(0f, clockOf(device)[0])
        }

    @Test
    fun anItemThatTheModelDoesNotKnowTakesItsTimeWithIt() =
        bench {
            val device = open()
            assertEquals(1, device.interact(listOf("never seen", "film 2"), listOf(own - 9, own - 5)))
            assertContentEquals(longArrayOf(own - 5), device.state.times)
        }

    @Test
    fun timesThatCannotBeAreRefusedAndChangeNothing() =
        bench {
            val device = open()
            val before = device.state.encode()
            for ((wrong, told) in listOf(-1L to "seconds from 0", own + 90_000 to "a day from now", own * 1000 to "milliseconds")) {
                val error = assertFailsWith<InputException> { device.interact(listOf("film 1", "film 2"), listOf(own, wrong)) }
                assertTrue(error.message.orEmpty().contains("interaction 1") && error.message.orEmpty().contains(told))
                assertFailsWith<InputException> { device.score(Golden.candidates, wrong) }
            }
            assertFailsWith<InputException> { device.interact(listOf("film 1"), listOf(own, own)) }
            assertContentEquals(before, device.state.encode())
            // Without a time of its own it believes any.
            own = 0
            assertEquals(1, device.interact(listOf("film 1"), listOf(now)))
        }

    @Test
    fun aClockThatWasTenYearsAheadAndComesBackStopsNothing() =
        bench {
            val told = Golden.altered.child("came_back")
            val given = longs(told.list("times"))
            own = given[0]
            open().use { device ->
                for ((place, time) in given.withIndex()) {
                    own = if (place == 1) time else now
                    device.interact(listOf("film ${place + 1}"), listOf(time))
                }
                val error = assertFailsWith<InputException> { device.interact(listOf("film 5"), listOf(given[1])) }
                assertTrue("a day from now by this device's clock" in error.message.orEmpty())
                assertAlike(floats(told.list("reading")), clockOf(device, told.number("now").toLong()))
                device.train(TrainingOptions(epochs = 1))
                assertEquals(1, device.state.round)
                for (call in fake.of("train")) {
                    val rows = (call.inputs["clock"] as Array<*>).flatMap { (it as FloatArray).toList() }
                    assertTrue(rows.all { it.isFinite() && it >= -1f })
                }
                device.receive(Downlink.decode(Golden.downlink, model.metadata.exchange, cloudVersion = 3, round = 5))
                assertFailsWith<InputException> { device.uplinkRecord(own * 1000) }
                device.uplinkRecord(own)
            }
            assertContentEquals(given.toLongArray(), open().state.times)
        }

    @Test
    fun theStateOfPythonWithTimesIsReadAndWrittenByteForByte() {
        val golden = DeviceState.decode(case.hex("state"), "golden")
        assertContentEquals(times.dropLast(1).toLongArray() + 0L, golden.times)
        assertContentEquals(case.hex("state"), golden.encode())
        // Where no time is known it is one of format 1, which has none.
        val old = golden.copy(times = LongArray(golden.times.size)).encode()
        assertEquals(1, old[4].toInt())
        assertContentEquals(LongArray(6), DeviceState.decode(old, "old").times)
        val later = golden.encode().copyOf(old.size).also { it[4] = 4 }.let { it.copyOf(it.size - 32) }
        assertFailsWith<StateFileException> { DeviceState.decode(later + sha256(later), "later") }
    }

    @Test
    fun samplesHaveTheReadingOfTheirOwnTime() {
        val draw = Golden.wire.child("draw")
        val kept = DeviceState.decode(case.hex("state"), "golden").copy(times = times.toLongArray())
        val options = TrainingOptions(negatives = draw.count("negatives"))
        val seed = draw.count("seed").toLong()
        val samples = drawSamples(kept, Golden.Clock.model.metadata, options, seed)
        val clocks = checkNotNull(samples.clocks)
        case.list("clocks").forEachIndexed { row, expected -> assertAlike(floats(expected), clocks[row]) }
        val last = samples.batch(12, size = 6, rows = 6)["clock"] as Array<*>
        assertContentEquals(clocks[12], last[0] as FloatArray)
        assertContentEquals(FloatArray(6 + length), last[5] as FloatArray)
        // Of an item without a row the time goes too.
        val history = intArrayOf(3, 99, 1, 4, 15, 9, 26)
        val odd = kept.copy(history = history, times = longArrayOf(times[0], 7) + times.drop(1), olderItems = 3)
        val same = checkNotNull(drawSamples(odd, Golden.Clock.model.metadata, options, seed).clocks)
        assertEquals(clocks.map { it.toList() }, same.map { it.toList() })
    }

    @Test
    fun aModelWithoutAClockKeepsTimesAndReadsNone() =
        bench(Golden.model) {
            val device = open()
            assertFalse(model.metadata.readsClock)
            device.interact(Golden.history, this@ClockTest.times)
            device.score(Golden.candidates, own)
            assertFalse("clock" in fake.of("score").single().inputs)
            device.train(TrainingOptions(epochs = 1))
            assertFalse("clock" in fake.of("train").first().inputs)
            assertContentEquals(this@ClockTest.times.toLongArray(), device.state.times)
        }
}
