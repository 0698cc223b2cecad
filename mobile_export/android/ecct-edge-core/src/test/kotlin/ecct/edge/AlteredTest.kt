package ecct.edge

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Altered bytes, refused as Python refuses them: see `tests/mobile_export/test_mobile_export_android_altered.py`. */
class AlteredTest {
    private val golden = Golden.altered

    /** How a kind is read into what it tells; what proves its bytes, and how long that is. */
    private class Reader(val proof: Int, val prove: (ByteArray) -> ByteArray, val told: (ByteArray) -> String)

    private val readers =
        mapOf(
            "downlinks" to
                Reader(32, ::sealed) {
                    val file = DownlinkFile.parse(it)
                    "${if (file.segments) "segments" else "users"} ${file.cloudVersion} ${file.round} ${file.tableSha256} " +
                        file.keys.joinToString(",")
                },
            "state" to Reader(32, ::sealed) { sha256(DeviceState.decode(it, "kept.state").encode()).toHex() },
            "record" to Reader(4, ::withCrc) { recordRound(it).toString() },
            "current" to
                Reader(0, { it }) {
                    Publication.parse(it).run { "$cloudVersion $round $tableSha256" }
                },
            "receipt" to
                Reader(0, { it }) {
                    Sent.read(JsonObject.parse(utf8(it), "answer"), 2).run { "$taken $repeated $tooOld" }
                },
        )

    @Test
    fun alteredBytesAreRefusedByFieldWithTheWayOut() {
        val cases = golden.children("cases")
        assertEquals(readers.keys, cases.map { it.text("kind") }.toSet())
        assertTrue(cases.size > 100)
        for (case in cases) {
            val name = "${case.text("kind")}, ${case.text("change")}"
            val refusal = refusal(readers.getValue(case.text("kind")), case.hex("bytes"))
            checkNotNull(refusal) { "$name was read" }
            for (part in case.strings("says")) {
                assertTrue(part.lowercase() in refusal.lowercase(), "$name: $part in $refusal")
            }
        }
    }

    @Test
    fun whatNobodyAlteredIsRead() {
        val sound = golden.child("sound")
        for ((kind, reader) in readers) assertNull(refusal(reader, sound.hex(kind)), kind)
        val state = sound.hex("state")
        assertContentEquals(state, DeviceState.decode(state, "x").encode())
    }

    @Test
    fun ofHostileInputsTheSameAreRefusedAsByPythonAndOfTheOthersTheSameIsRead() {
        val hostile = golden.child("hostile")
        for ((kind, reader) in readers) {
            val sound = golden.child("sound").hex(kind)
            val body = sound.copyOf(sound.size - reader.proof)
            val draw = Draw(hostile.count("seed").toLong())
            val letters = hostile.child(kind).text("letters")
            val found = ArrayList<String?>()
            for (place in 0 until hostile.count("count")) {
                val content = reader.prove(changed(body, draw))
                var what: String? = null
                val refusal = refusal(reader, content) { what = it }
                val told = "$kind $place: $refusal, $what"
                // Of a publication devices read a part.
                if (letters[place] == 'A') found += what else if (kind != "current") assertNull(what, told)
            }
            assertEquals(hostile.child(kind).text("read"), sha256(found.joinToString("\n").toByteArray()).toHex(), kind)
        }
    }

    /** What a reader says of [content]; null where it reads it. Any other error than those of this library ends the test. */
    private fun refusal(reader: Reader, content: ByteArray, read: (String) -> Unit = {}): String? =
        try {
            read(reader.told(content))
            null
        } catch (error: EdgeException) {
            error.message.orEmpty()
        } catch (error: JsonException) {
            // The client says which answer it was.
            error.message.orEmpty()
        }

    /** The numbers that all languages draw. */
    private class Draw(private var state: Long) {
        fun below(limit: Int): Int {
            state = state * 48_271 % Int.MAX_VALUE
            return (state % limit).toInt()
        }
    }

    /** One to four bytes changed, perhaps cut or longer, as in Python. */
    private fun changed(body: ByteArray, draw: Draw): ByteArray {
        val content = body.clone()
        repeat(1 + draw.below(4)) {
            val place = draw.below(content.size)
            when (draw.below(3)) {
                0 -> content[place] = draw.below(256).toByte()
                1 -> content[place] = (content[place].toInt() xor (1 shl draw.below(8))).toByte()
                else -> content[place] = listOf(0, 127, 128, 255)[draw.below(4)].toByte()
            }
        }
        return when (draw.below(8)) {
            0 -> content.copyOf(draw.below(content.size))
            1 -> content + ByteArray(1 + draw.below(5))
            else -> content
        }
    }
}

private fun sealed(body: ByteArray): ByteArray = body + sha256(body)

private fun withCrc(body: ByteArray): ByteArray {
    val sum = CRC32().apply { update(body) }.value.toInt()
    return body + ByteBuffer.allocate(Int.SIZE_BYTES).order(ByteOrder.LITTLE_ENDIAN).putInt(sum).array()
}
